#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talk to a running HAProxy through its admin socket."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: haproxy_runtime
short_description: Read and change a running HAProxy through its admin socket
description:
  - Sets and shows map entries, shows statistics, and waits until a backend has no request in flight.
  - A map entry is written into the map's file as well, so that it survives a reload of HAProxy.
    The file is written first. If the module is killed between the two, running it again finishes the work.
version_added: 0.1.0
author:
  - pg-cutover contributors
options:
  socket:
    description: The admin socket.
    type: path
    required: true
  action:
    description:
      - C(set_map) sets I(key) of the map I(path) to I(value), in the running HAProxy and in the file.
      - C(show_map) returns the entries of the map I(path).
      - C(show_stat) returns the statistics, one dictionary a line.
      - C(wait_idle) waits until each of I(backends) has no session in flight.
      - C(wait_up) waits until each of I(backends) has a server that passed its health check.
      - C(wait_alone) waits until the process that the last reload replaced has ended. It would not know of a hold.
      - C(may_reload) fails while requests are held, and when the map I(path) says something else in memory than in its
        file, which is what a reload reads.
    type: str
    choices: [set_map, show_map, show_stat, wait_idle, wait_up, wait_alone, may_reload]
    required: true
  path:
    description: The map's file, spelled as in HAProxy's configuration.
    type: path
  key:
    description: The key to set.
    type: str
  value:
    description: The value to set.
    type: str
  backends:
    description: The backends to wait for.
    type: list
    elements: str
  deadline:
    description: Seconds that C(wait_idle), C(wait_up) and C(wait_alone) wait at most.
    type: float
    default: 30
  timeout:
    description: Seconds to wait for an answer of the socket.
    type: float
    default: 5
attributes:
  check_mode:
    description: C(set_map) says whether it would change something. The rest only reads.
    support: full
  diff_mode:
    description: C(set_map) shows the value before and after.
    support: full
"""

EXAMPLES = r"""
- name: Refuse writes
  haproxy_runtime:
    socket: /run/haproxy/admin.sock
    action: set_map
    path: /etc/haproxy/maps/cutover.map
    key: maintenance
    value: writes

- name: Wait for the writes that are under way
  haproxy_runtime:
    socket: /run/haproxy/admin.sock
    action: wait_idle
    backends: [blue_write]
    deadline: 30
"""

RETURN = r"""
entries:
  description: The map as HAProxy has it in memory, after the change.
  returned: for set_map and show_map
  type: dict
  sample: {"maintenance": "writes"}
statistics:
  description: One dictionary for each line of C(show stat), keyed by HAProxy's column names.
  returned: for show_stat
  type: list
  elements: dict
waited_seconds:
  description: How long it took.
  returned: for wait_idle, wait_up and wait_alone
  type: float
commands:
  description: The commands that changed something.
  returned: for set_map
  type: list
  elements: str
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cutover.switch import mapfile
from ansible.module_utils.cutover.switch.proxy import older_workers
from ansible.module_utils.cutover.switch.runtime import SAFE_WORD, Endpoint, ProxyError, Runtime, wait_idle

POLL_SECONDS = 0.05


def wait_up(runtime: Runtime, names: list[str], deadline: float) -> float:
    """Wait until every backend has a server to send requests to; returns the seconds it took."""
    started = time.monotonic()
    while True:
        down = [row["pxname"] for row in runtime.backends(names) if not row["status"].startswith("UP")]
        if not down:
            return time.monotonic() - started
        if time.monotonic() - started > deadline:
            raise ProxyError(f"No server of {', '.join(down)} has passed HAProxy's health check within {deadline:g} s.")
        time.sleep(POLL_SECONDS)


def wait_alone(runtime: Runtime, deadline: float) -> float:
    """Wait until no process that a reload replaced serves any more; returns the seconds it took."""
    started = time.monotonic()
    while True:
        old = older_workers(runtime.process().get("Pid", ""))
        if not old:
            return time.monotonic() - started
        if time.monotonic() - started > deadline:
            raise ProxyError(
                f"The process {', '.join(old)} that the last reload replaced still serves after {deadline:g} s. "
                "It keeps the configuration and the map of before; it should end within hard-stop-after."
            )
        time.sleep(POLL_SECONDS)


def may_reload(runtime: Runtime, path: str) -> None:
    """Raise ProxyError when a reload would lose what the map says in memory only, or end a hold."""
    memory = runtime.map_entries(path)
    on_disk = mapfile.entries_of(mapfile.text_of(path))
    hold = memory.get("hold", "0")
    if hold.isdigit() and int(hold) / 1000 > time.time():
        raise ProxyError("Requests are held at this moment: a switch is under way. Try again when it is done.")
    different = [
        f"{key} is {memory[key]}, {path} says {on_disk.get(key)}"
        for key in ("route", "maintenance")
        if key in memory and memory[key] != on_disk.get(key)
    ]
    if different:
        raise ProxyError(
            f"A reload would change what HAProxy does now: {'; '.join(different)}. Run the playbook that was interrupted "
            "again, or write what is right into the file."
        )


def set_map(module: AnsibleModule, runtime: Runtime) -> None:
    """Bring file and memory to the wanted value."""
    path, key, value = (module.params[name] for name in ("path", "key", "value"))
    for word in (path, key, value):
        if not SAFE_WORD.match(word):
            module.fail_json(
                msg=f"{word!r} cannot be sent to HAProxy's runtime API: use letters, digits and _.:/@%+=,-"
            )
    text = mapfile.text_of(path)
    wanted = mapfile.with_entries(text, {key: value})

    before: dict[str, str] | None
    try:
        before = runtime.map_entries(path)
    except ProxyError:
        # In check mode before the first start there is nothing to ask yet.
        if not module.check_mode:
            raise
        before = None
    in_memory = before.get(key) if before is not None else None
    changed = wanted != text or in_memory != value

    commands: list[str] = []
    entries = dict(before or {})
    if changed and not module.check_mode:
        if wanted != text:
            mapfile.write(path, wanted, module.atomic_move)
        if in_memory != value:
            commands.append(runtime.set_entry(path, key, value, key in entries))
        entries = runtime.map_entries(path)
        if entries.get(key) != value:
            module.fail_json(msg=f"HAProxy took {key}={value} for {path}, but answers {key}={entries.get(key)}")
    module.exit_json(
        changed=changed,
        entries=entries,
        commands=commands,
        diff={"before": f"{key} {in_memory}\n", "after": f"{key} {value}\n"},
    )


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "socket": {"type": "path", "required": True},
            "action": {
                "type": "str",
                "choices": ["set_map", "show_map", "show_stat", "wait_idle", "wait_up", "wait_alone", "may_reload"],
                "required": True,
            },
            "path": {"type": "path"},
            "key": {"type": "str", "no_log": False},
            "value": {"type": "str"},
            "backends": {"type": "list", "elements": "str"},
            "deadline": {"type": "float", "default": 30.0},
            "timeout": {"type": "float", "default": 5.0},
        },
        required_if=[
            ("action", "set_map", ("path", "key", "value")),
            ("action", "show_map", ("path",)),
            ("action", "may_reload", ("path",)),
            ("action", "wait_idle", ("backends",)),
            ("action", "wait_up", ("backends",)),
        ],
        supports_check_mode=True,
    )
    path = module.params["path"]
    endpoint = Endpoint(name=module.params["socket"], map_path=path or "", socket=module.params["socket"])
    runtime = Runtime(endpoint, module.params["timeout"])
    try:
        action = module.params["action"]
        if action == "set_map":
            set_map(module, runtime)
        elif action == "show_map":
            module.exit_json(changed=False, entries=runtime.map_entries(path))
        elif action == "show_stat":
            module.exit_json(changed=False, statistics=runtime.statistics())
        elif action == "may_reload":
            may_reload(runtime, path)
            module.exit_json(changed=False)
        else:
            names, deadline = module.params["backends"], module.params["deadline"]
            if action == "wait_idle":
                until = time.monotonic() + deadline
                waited = wait_idle(lambda: runtime.queued_and_served(names), names, until, POLL_SECONDS)
            elif action == "wait_up":
                waited = wait_up(runtime, names, deadline)
            else:
                waited = wait_alone(runtime, deadline)
            module.exit_json(changed=False, waited_seconds=round(waited, 3))
    except ProxyError as error:
        module.fail_json(msg=error.message)
    except OSError as error:
        module.fail_json(msg=f"The map {module.params['path']} cannot be read or written: {error}")


if __name__ == "__main__":
    main()
