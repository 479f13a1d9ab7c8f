#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a daemon by its pid file, where no service manager does it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pidfile_daemon
short_description: Start, reload and stop a daemon that writes a pid file
description:
  - For daemons that are not run by a service manager, for example in a container or in the demo.
  - A pid file alone proves nothing, because the number may belong to another process after a reboot.
    The module takes a process for the daemon only when I(match) stands in its command line.
  - Never sends SIGKILL. A daemon that does not stop in time is an error that somebody should look at.
version_added: 0.1.0
author:
  - pg-cutover contributors
options:
  state:
    description:
      - C(started) starts it when it does not run.
      - C(stopped) sends I(stop_signal) when it runs, waits for its end and removes the pid file.
      - C(reloaded) sends I(reload_signal), or starts it when it does not run.
      - C(restarted) is C(stopped) and then C(started).
    type: str
    choices: [started, stopped, reloaded, restarted]
    default: started
  pid_file:
    description: Where the daemon writes its process id.
    type: path
    required: true
  match:
    description: Text that must stand in the process's command line, usually its configuration's path.
    type: str
    required: true
  argv:
    description: The command that starts it in the background and returns. Not needed for C(stopped).
    type: list
    elements: str
  reload_signal:
    description: The signal that makes it read its configuration again.
    type: str
    default: HUP
  stop_signal:
    description: The signal that ends it.
    type: str
    default: TERM
  timeout:
    description: Seconds to wait for the pid file after a start, and for the end after a stop.
    type: int
    default: 30
attributes:
  check_mode:
    description: Says what it would do.
    support: full
"""

EXAMPLES = r"""
- name: Start PgBouncer as its own daemon
  pidfile_daemon:
    pid_file: /var/lib/example/run/pgbouncer.pid
    match: /var/lib/example/pgbouncer/pgbouncer.ini
    argv: [pgbouncer, -d, -u, postgres, /var/lib/example/pgbouncer/pgbouncer.ini]

- name: Let HAProxy read its configuration again without dropping a connection
  pidfile_daemon:
    state: reloaded
    pid_file: /var/lib/example/run/haproxy.pid
    match: /var/lib/example/haproxy/haproxy.cfg
    argv: [haproxy, -W, -D, -p, /var/lib/example/run/haproxy.pid, -f, /var/lib/example/haproxy/haproxy.cfg]
    reload_signal: USR2
"""

RETURN = r"""
pid:
  description: The process id, or null when it does not run.
  returned: always
  type: int
was_running:
  description: Whether it ran before.
  returned: always
  type: bool
"""

import contextlib
import os
import signal
import time

from ansible.module_utils.basic import AnsibleModule

POLL_SECONDS = 0.05


def running_pid(pid_file: str, match: str) -> int | None:
    """The pid in the file when that process is alive and is the daemon, else None."""
    try:
        with open(pid_file, encoding="ascii") as file:
            pid = int(file.read().split()[0])
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command_line = file.read().replace(b"\0", b" ").decode(errors="replace")
    except (OSError, ValueError, IndexError):
        return None
    # A zombie has an empty command line, so it counts as ended.
    return pid if match in command_line else None


def begun(pid: int) -> str | None:
    """When a process began, in the kernel's ticks; None once it is gone or a zombie.

    Its command line is no measure of its end: that empties before the kernel closes its sockets,
    and a successor would find the address in use.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            # The name in brackets may hold anything.
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]


def signal_number(module: AnsibleModule, name: str) -> int:
    """The number for HUP, SIGHUP and the like."""
    full = name.upper() if name.upper().startswith("SIG") else f"SIG{name.upper()}"
    number = getattr(signal, full, None)
    if not isinstance(number, signal.Signals):
        module.fail_json(msg=f"{name!r} is not a signal's name")
    return int(number)


def start(module: AnsibleModule) -> int | None:
    """Start the daemon and wait until its pid file names a live process."""
    pid_file: str = module.params["pid_file"]
    # What lies here is of a process that is gone; some daemons refuse to start beside it.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(pid_file)
    # A playbook that gives way to an application starts no server that would.
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    code, out, err = module.run_command(module.params["argv"])
    if code != 0:
        module.fail_json(
            msg=f"{module.params['argv'][0]} did not start (exit status {code}): {(err or out).strip()}",
            rc=code,
        )
    deadline = time.monotonic() + module.params["timeout"]
    while True:
        pid = running_pid(pid_file, module.params["match"])
        if pid is not None:
            return pid
        if time.monotonic() > deadline:
            module.fail_json(
                msg=f"{module.params['argv'][0]} was started, but in {module.params['timeout']} s {pid_file} "
                f"did not name a running process with {module.params['match']!r} in its command line. "
                f"Look at its log. Its output: {(err or out).strip()}"
            )
        time.sleep(POLL_SECONDS)


def stop(module: AnsibleModule, pid: int) -> None:
    """End the daemon and wait for it."""
    start_time = begun(pid)
    # It may end by itself in between: that is what was wanted.
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal_number(module, module.params["stop_signal"]))
    deadline = time.monotonic() + module.params["timeout"]
    # Compared by its start: the number may go to another process at once.
    while start_time is not None and begun(pid) == start_time:
        if time.monotonic() > deadline:
            module.fail_json(
                msg=f"Process {pid} ({module.params['match']}) still runs {module.params['timeout']} s after "
                f"signal {module.params['stop_signal']}. It was not killed: look at what it waits for."
            )
        time.sleep(POLL_SECONDS)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(module.params["pid_file"])


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "state": {
                "type": "str",
                "choices": ["started", "stopped", "reloaded", "restarted"],
                "default": "started",
            },
            "pid_file": {"type": "path", "required": True},
            "match": {"type": "str", "required": True},
            "argv": {"type": "list", "elements": "str"},
            "reload_signal": {"type": "str", "default": "HUP"},
            "stop_signal": {"type": "str", "default": "TERM"},
            "timeout": {"type": "int", "default": 30},
        },
        required_if=[("state", state, ("argv",)) for state in ("started", "reloaded", "restarted")],
        supports_check_mode=True,
    )
    state: str = module.params["state"]
    pid = running_pid(module.params["pid_file"], module.params["match"])
    was_running = pid is not None
    changed = was_running if state == "stopped" else not (state == "started" and was_running)

    if changed and not module.check_mode:
        if pid is not None and state == "reloaded":
            os.kill(pid, signal_number(module, module.params["reload_signal"]))
        if pid is not None and state in ("stopped", "restarted"):
            stop(module, pid)
            pid = None
        if pid is None and state != "stopped":
            pid = start(module)

    module.exit_json(changed=changed, pid=pid, was_running=was_running)


if __name__ == "__main__":
    main()
