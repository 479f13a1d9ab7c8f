# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests and the hosts of scenarios have compiled of an archive is compiled once, and is what it was."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from support import quicker


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An archive with a module."""
    path = tmp_path / "sent.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("sent.py", "def answer():\n    return 'from the archive'\n")
    return path


def imported(archive: Path, folder: Path, first: str = "") -> str:
    """What the archive's module answers to a Python that keeps things in a folder, after something else was done."""
    script = f"import shutil, sys; sys.path.insert(0, sys.argv[1]); {first}\nimport sent; print(sent.answer())"
    done = subprocess.run(
        [sys.executable, "-c", script, str(archive), str(folder)],
        env={**os.environ, **quicker.environment(archive.parent), "PG_CUTOVER_COMPILED": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_is_compiled_once(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    assert imported(archive, folder) == "from the archive"
    [kept] = folder.iterdir()
    # Whether it is read: something else stands there now.
    other = "import marshal, sys; open(sys.argv[1], 'wb').write(marshal.dumps(compile(sys.argv[2], 'x', 'exec')))"
    text = "answer = lambda: 'kept'"
    subprocess.run([sys.executable, "-c", other, str(kept), text], check=True)
    assert imported(archive, folder) == "kept"


@pytest.mark.parametrize("content", [b"", b"\xff", b"something"])
def test_what_cannot_be_read_is_compiled_again(archive: Path, tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    imported(archive, folder)
    [kept] = folder.iterdir()
    kept.write_bytes(content)
    assert imported(archive, folder) == "from the archive"
    assert kept.read_bytes() != content


def test_without_the_folder_nothing_is_kept(archive: Path, tmp_path: Path) -> None:
    assert imported(archive, tmp_path / "none") == "from the archive"
    assert not (tmp_path / "none").exists()


def test_a_folder_that_goes_meanwhile_is_no_failure(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    assert imported(archive, folder, "shutil.rmtree(sys.argv[2])") == "from the archive"
    assert not folder.exists()
