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
    type: str
    choices: [set_map, show_map, show_stat, wait_idle, wait_up]
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
    description: Seconds that C(wait_idle) and C(wait_up) wait at most.
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
    backends: [application_write]
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
  returned: for wait_idle and wait_up
  type: float
commands:
  description: The commands that changed something.
  returned: for set_map
  type: list
  elements: str
"""

import contextlib
import csv
import os
import re
import socket
import tempfile
import time

from ansible.module_utils.basic import AnsibleModule

POLL_SECONDS = 0.05
# The runtime API splits commands at spaces and semicolons; nothing that is written here needs either.
SAFE_WORD = re.compile(r"^[A-Za-z0-9_.:/@%+=,-]+$")


class ProxyError(Exception):
    """HAProxy refused a command or did not answer; the text is for the operator."""


class Runtime:
    """One admin socket."""

    def __init__(self, path: str, timeout: float) -> None:
        self.path = path
        self.timeout = timeout

    def ask(self, command: str) -> str:
        """Send one command and return the answer."""
        answer = b""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(self.timeout)
                connection.connect(self.path)
                connection.sendall(command.encode() + b"\n")
                while True:
                    part = connection.recv(65536)
                    if not part:
                        break
                    answer += part
        except OSError as error:
            raise ProxyError(
                f"HAProxy did not answer on {self.path}: {error}. Is it running, and may this user open the socket?"
            ) from error
        return answer.decode(errors="replace").strip()

    def map_entries(self, path: str) -> dict[str, str]:
        """The entries of a map as they are in memory."""
        answer = self.ask(f"show map {path}")
        entries = {}
        for line in answer.splitlines():
            words = line.split(None, 2)
            # Each line is an address, the key and the value; anything else is a complaint.
            if len(words) < 2 or not words[0].startswith("0x"):
                raise ProxyError(f"HAProxy at {self.path} does not know the map {path}: {answer}")
            entries[words[1]] = words[2] if len(words) == 3 else ""
        return entries

    def set_entry(self, path: str, key: str, value: str, present: bool) -> str:
        """Set or add one entry in memory; returns the command."""
        command = f"{'set' if present else 'add'} map {path} {key} {value}"
        answer = self.ask(command)
        if answer:
            raise ProxyError(f"HAProxy refused {command!r}: {answer}")
        return command

    def statistics(self) -> list[dict[str, str]]:
        """All lines of `show stat`."""
        text = self.ask("show stat").lstrip("# ")
        return [{name: value for name, value in row.items() if name} for row in csv.DictReader(text.splitlines())]

    def backends(self, names: list[str]) -> list[dict[str, str]]:
        """The statistics of the named backends."""
        found = [row for row in self.statistics() if row.get("svname") == "BACKEND" and row.get("pxname") in names]
        missing = sorted(set(names) - {row["pxname"] for row in found})
        if missing:
            # An unknown name must not look like an idle backend.
            raise ProxyError(f"HAProxy at {self.path} has no backend named {', '.join(missing)}")
        return found

    def wait_idle(self, names: list[str], deadline: float) -> float:
        """Wait until nothing is in flight or queued; returns the seconds it took."""
        started = time.monotonic()
        idle_before = False
        while True:
            count = sum(int(row["scur"] or 0) + int(row["qcur"] or 0) for row in self.backends(names))
            # Twice in a row: a request that passed the rules just before the map changed
            # may not have reached its backend at the first look.
            if count == 0 and idle_before:
                return time.monotonic() - started
            idle_before = count == 0
            if time.monotonic() - started > deadline:
                raise ProxyError(
                    f"{count} request(s) still in flight on {', '.join(names)} after {deadline:g} s. "
                    "Look for a slow request or an open upload, then run this again."
                )
            time.sleep(POLL_SECONDS)

    def wait_up(self, names: list[str], deadline: float) -> float:
        """Wait until every backend has a server to send requests to; returns the seconds it took."""
        started = time.monotonic()
        while True:
            down = [row["pxname"] for row in self.backends(names) if not row["status"].startswith("UP")]
            if not down:
                return time.monotonic() - started
            if time.monotonic() - started > deadline:
                raise ProxyError(
                    f"No server of {', '.join(down)} has passed HAProxy's health check within {deadline:g} s."
                )
            time.sleep(POLL_SECONDS)


def file_text(path: str) -> str:
    """The map's file."""
    with open(path, encoding="utf-8") as file:
        return file.read()


def with_entry(text: str, key: str, value: str) -> str:
    """The file's text with one entry replaced or added; comments and other keys stay."""
    lines, done = [], False
    for line in text.splitlines():
        if line.split(None, 1)[:1] == [key]:
            if not done:
                lines.append(f"{key} {value}")
            done = True
        else:
            lines.append(line)
    if not done:
        lines.append(f"{key} {value}")
    return "\n".join(lines) + "\n"


def write_file(module: AnsibleModule, path: str, text: str) -> None:
    """Replace the file in one step, with owner and mode kept."""
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".cutover-map-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        module.atomic_move(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def set_map(module: AnsibleModule, runtime: Runtime) -> None:
    """Bring file and memory to the wanted value."""
    path, key, value = (module.params[name] for name in ("path", "key", "value"))
    for word in (path, key, value):
        if not SAFE_WORD.match(word):
            module.fail_json(
                msg=f"{word!r} cannot be sent to HAProxy's runtime API: use letters, digits and _.:/@%+=,-"
            )
    text = file_text(path)
    wanted = with_entry(text, key, value)

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
            write_file(module, path, wanted)
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
                "choices": ["set_map", "show_map", "show_stat", "wait_idle", "wait_up"],
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
            ("action", "wait_idle", ("backends",)),
            ("action", "wait_up", ("backends",)),
        ],
        supports_check_mode=True,
    )
    runtime = Runtime(module.params["socket"], module.params["timeout"])
    try:
        action = module.params["action"]
        if action == "set_map":
            set_map(module, runtime)
        elif action == "show_map":
            module.exit_json(changed=False, entries=runtime.map_entries(module.params["path"]))
        elif action == "show_stat":
            module.exit_json(changed=False, statistics=runtime.statistics())
        else:
            wait = runtime.wait_idle if action == "wait_idle" else runtime.wait_up
            waited = wait(module.params["backends"], module.params["deadline"])
            module.exit_json(changed=False, waited_seconds=round(waited, 3))
    except ProxyError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"The map {module.params['path']} cannot be read or written: {error}")


if __name__ == "__main__":
    main()
