# SPDX-License-Identifier: GPL-3.0-or-later
"""Small disks that can be filled."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Disk:
    """A file system in memory."""

    place: Path

    @property
    def _filler(self) -> Path:
        return self.place / "filler"

    def fill(self, leave: int = 0) -> None:
        """Leave no more than ``leave`` bytes."""
        with self._filler.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                free = os.statvfs(self.place).f_bavail * 4096 - leave
                if free <= 0:
                    return
                file.write(bytes(min(free, 1 << 20)))

    def clear(self) -> None:
        """Give the room back."""
        self._filler.unlink(missing_ok=True)


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Disk]:
    """A disk of some MB, for root only."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0777", "tmpfs", str(place)], check=True)
    try:
        yield Disk(place)
    finally:
        # Lazily: a process that is ending may still have a file open.
        subprocess.run(["umount", "--lazy", str(place)], check=True)
