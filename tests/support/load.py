# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's load generator on the demo's application, and what it found."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .project import ROOT

#: After the last request: asking for every write.
ENDS_SECONDS = 120
BEGINS_SECONDS = 60


@dataclass
class Load:
    """What a load came to, once its block was left; see demo/loading."""

    figures: dict[str, Any] = field(default_factory=dict)
    check: dict[str, Any] = field(default_factory=dict)
    acknowledged: list[str] = field(default_factory=list)

    @property
    def lost(self) -> list[str]:
        """Acknowledged writes that are not there."""
        found: list[str] = self.check["lost"]
        return found

    def spotless(self) -> None:
        """Fail when a request failed, an acknowledged write is not there, or a read was stale."""
        assert self.figures["failed"] == 0, self.figures["failures"]
        assert self.figures["unavailable"] == 0
        assert self.figures["stale"] == 0
        assert (self.lost, self.check["unknown"]) == ([], [])
        assert self.figures["acknowledged"] > 0


@contextmanager
def load(port: int, folder: Path, rate: float, write_share: float = 0.3) -> Iterator[Load]:
    """Load through the proxy's port for as long as the block lasts. ``folder`` takes its files."""
    done, begun, out, said = (folder / name for name in ("done", "begun", "load.json", "load.out"))
    command = [
        *(sys.executable, str(ROOT / "demo/load.py"), "--port", str(port), "--rate", str(rate), "--check"),
        *("--write-share", str(write_share), "--until-file", str(done), "--begun-file", str(begun), "--out", str(out)),
    ]
    found = Load()
    with said.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            deadline = time.monotonic() + BEGINS_SECONDS
            while not begun.exists():
                assert process.poll() is None, said.read_text()
                assert time.monotonic() < deadline, said.read_text()
                time.sleep(0.05)
            yield found
            done.touch()
            process.wait(ENDS_SECONDS)
        finally:
            process.kill()
    assert out.exists(), said.read_text()
    report = json.loads(out.read_text())
    found.figures, found.check, found.acknowledged = report["summary"], report["check"], report["acknowledged"]
