# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks run as an operator runs them, each in a process group of its own that a test may kill."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.project import ROOT

#: Seconds for one run on a busy machine; a hang must not take the tests with it.
LIMIT = 400


def ansible(*arguments: str, timeout: float = LIMIT, **environment: str) -> subprocess.CompletedProcess[str]:
    """ansible-playbook with the project's configuration, to its end; what it printed, errors too, is ``stdout``."""
    return subprocess.run(
        [str(ROOT / ".venv/bin/ansible-playbook"), *arguments],
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_NOCOLOR": "1",
            **environment,
        },
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )


def run_local(playbook: str, url: str, variables: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run a playbook on this host to its end, with nothing but a target URL and variables."""
    given = ("-e", json.dumps(dict(variables)))
    path = str(ROOT / "playbooks" / playbook)
    return ansible("-i", "localhost,", "-c", "local", path, *given, CUTOVER_TARGET_URL=url)


@dataclass(frozen=True)
class Playbooks:
    """Runs with one inventory, state directory and environment."""

    inventory: str
    state: Path
    #: A folder for what the runs print.
    output: Path
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def start(self, playbook: str, *arguments: str) -> subprocess.Popen[bytes]:
        """ansible-playbook as the leader of a process group of its own; its output goes to a file."""
        program = str(ROOT / ".venv/bin/ansible-playbook")
        with self._output(playbook).open("wb") as output:
            return subprocess.Popen(
                [program, "-i", self.inventory, *self.options, str(ROOT / playbook), *arguments],
                cwd=ROOT,
                env={**os.environ, **self.environment, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _output(self, playbook: str) -> Path:
        return self.output / f"{Path(playbook).stem}.out"

    def run(self, playbook: str, *arguments: str, fails: bool = False) -> str:
        """One run to its end; what it printed."""
        return self._ended(self.start(playbook, *arguments), playbook, fails)

    def _ended(self, process: subprocess.Popen[bytes], playbook: str, fails: bool) -> str:
        try:
            process.wait(LIMIT)
        finally:
            kill(process)
        said = self._output(playbook).read_text()
        assert (process.returncode != 0) == fails, said[-6000:]
        return said

    def killed(
        self, playbook: str, moment: Callable[[dict[str, Any]], bool], *arguments: str, later: float = 0
    ) -> None:
        """A run that is killed, with everything it started in its group, ``later`` seconds after an event of its own
        in the journal for which ``moment`` is true."""
        seen = len(self.events())
        process = self.start(playbook, *arguments)
        try:
            self._until(process, playbook, moment, seen)
            time.sleep(later)
            assert process.poll() is None, "it ended before it could be killed"
        finally:
            kill(process)

    def disturbed(
        self,
        playbook: str,
        moment: Callable[[dict[str, Any]], bool],
        disturb: Callable[[], object],
        *arguments: str,
        fails: bool = False,
    ) -> str:
        """A run to its end, with something done to it at once at such an event; what it printed."""
        seen = len(self.events())
        process = self.start(playbook, *arguments)
        try:
            self._until(process, playbook, moment, seen)
            disturb()
        except BaseException:
            kill(process)
            raise
        return self._ended(process, playbook, fails)

    def _until(
        self, process: subprocess.Popen[bytes], playbook: str, moment: Callable[[dict[str, Any]], bool], seen: int
    ) -> None:
        deadline = time.monotonic() + LIMIT
        while not any(moment(event) for event in self.events()[seen:]):
            said = self._output(playbook).read_text()
            assert process.poll() is None, f"it ended before its moment came:\n{said[-6000:]}"
            assert time.monotonic() < deadline, said[-6000:]
            time.sleep(0.02)

    def events(self) -> list[dict[str, Any]]:
        """The journal so far; a line that is being written is left out."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.state / "journal.jsonl").read_text().split("\n")[:-1]
            return [json.loads(line) for line in lines]
        return []


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a run and its group, as the machine's end would: without a word."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


def phase(name: str, state: str = "started") -> Callable[[dict[str, Any]], bool]:
    """The moment at which a phase begins, ends (done) or fails (failed)."""
    return lambda event: event["event"] == "phase" and (event["phase"], event["state"]) == (name, state)
