# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a secret must not show: command lines and environments of processes, output, files that others may read."""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote


def forms(secret: str) -> set[bytes]:
    """A secret as it is, percent-encoded, and in base64 at each of the three positions it may have in a longer text."""
    raw = secret.encode()
    found = {raw, quote(secret, safe="").encode()}
    for offset in range(3):
        text = base64.b64encode(b"\0" * offset + raw).decode().rstrip("=")
        # The first and last characters depend on what stands beside it.
        found.add(text[(offset * 8 + 5) // 6 + (1 if offset else 0) : -1].encode())
    return {form for form in found if len(form) > 8}


class Processes:
    """Collects the command lines and environments of all processes for as long as it runs."""

    def __init__(self, every: float = 0.2) -> None:
        self.seen: dict[bytes, str] = {}
        self._every = every
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._collect, daemon=True)

    def __enter__(self) -> Processes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _collect(self) -> None:
        while not self._ended.wait(self._every):
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit():
                    for name in ("cmdline", "environ"):
                        with contextlib.suppress(OSError):
                            self.seen.setdefault((entry / name).read_bytes(), f"{name} of {entry.name}")

    def showing(self, secrets: Iterable[str]) -> list[str]:
        """Where one of them stood."""
        wanted = set().union(*map(forms, secrets))
        return [where for text, where in self.seen.items() if any(form in text for form in wanted)]


def files_showing(folder: Path, secrets: Iterable[str]) -> Iterator[Path]:
    """The files below a folder that hold one of them."""
    wanted = set().union(*map(forms, secrets))
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with contextlib.suppress(FileNotFoundError):
                content = path.read_bytes()
                if any(form in content for form in wanted):
                    yield path
