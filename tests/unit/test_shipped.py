# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine copied to where a service runs it, out of a folder and out of an archive as a module brings it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from cutover import shipped
from cutover.errors import CutoverError

ENGINE = Path(__file__).resolve().parents[2] / "module_utils"


def test_it_is_copied_once_and_runs(tmp_path: Path) -> None:
    directory = tmp_path / "engines" / "app"
    program, changed = shipped.install(str(directory), check_mode=True)
    assert changed
    assert not directory.exists()
    assert shipped.install(str(directory)) == (program, True)
    assert shipped.install(str(directory)) == (program, False)
    folder = Path(program)
    assert folder.parent == directory
    assert (folder / "cutover/service.py").read_bytes() == (ENGINE / "cutover/service.py").read_bytes()
    assert {path.stat().st_mode & 0o777 for path in [folder, *folder.rglob("*")]} == {0o755, 0o644}
    done = subprocess.run(
        [sys.executable, "-B", program, "--config", "/nowhere"], cwd="/", capture_output=True, text=True, check=False
    )
    assert (done.returncode, "/nowhere: the configuration cannot be read" in done.stderr) == (3, True)
    assert shipped.install(str(directory)) == (program, False), "running it leaves nothing behind"


def test_a_copy_that_was_changed_is_made_anew(tmp_path: Path) -> None:
    program, _ = shipped.install(str(tmp_path))
    (Path(program) / "cutover/lock.py").write_text("raise SystemExit")
    assert shipped.install(str(tmp_path)) == (program, True)
    (Path(program) / "cutover/lock.py").unlink()
    assert shipped.install(str(tmp_path)) == (program, True)
    assert shipped.install(str(tmp_path)) == (program, False)


def test_only_former_engines_are_removed(tmp_path: Path) -> None:
    program, _ = shipped.install(str(tmp_path))
    former = tmp_path / "former"
    former.mkdir()
    (former / "__main__.py").touch()
    (tmp_path / "of-somebody-else").mkdir()
    assert shipped.tidy(str(tmp_path), program, check_mode=True) == [str(former)]
    assert shipped.tidy(str(tmp_path), program) == [str(former)]
    assert shipped.tidy(str(tmp_path), None) == [program]
    assert [path.name for path in tmp_path.iterdir()] == ["of-somebody-else"]
    (tmp_path / "of-somebody-else").rmdir()
    assert shipped.tidy(str(tmp_path), None) == []
    assert not tmp_path.exists()
    assert shipped.tidy(str(tmp_path), None) == []


def test_it_comes_out_of_an_archive_under_another_name(tmp_path: Path) -> None:
    """As in the archive in which Ansible sends a module: only some parts, below ansible.module_utils."""
    archive = tmp_path / "payload.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("ansible/__init__.py", "ansible/module_utils/__init__.py"):
            file.writestr(name, "")
        for name in ("__init__.py", "errors.py", "shipped.py", "plan/__init__.py", "plan/model.py"):
            file.write(ENGINE / "cutover" / name, f"ansible/module_utils/cutover/{name}")
    script = (
        f"import sys; sys.path.insert(0, {str(archive)!r})\n"
        "from ansible.module_utils.cutover import shipped\n"
        f"print(shipped.install({str(tmp_path / 'engines')!r})[0])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    folder = Path(done.stdout.strip())
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.py"))
    assert found == [
        "__main__.py", "cutover/__init__.py", "cutover/errors.py", "cutover/plan/__init__.py", "cutover/plan/model.py",
        "cutover/shipped.py",
    ]  # fmt: skip
    assert (folder / "cutover/plan/model.py").read_bytes() == (ENGINE / "cutover/plan/model.py").read_bytes()


def test_without_its_source_it_is_refused_with_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As Mitogen loads it: the loader gives code and nothing to copy.
    monkeypatch.setattr("importlib.util.find_spec", lambda name: ModuleSpec(name, loader=object()))
    with pytest.raises(CutoverError, match="ANSIBLE_STRATEGY=linear"):
        shipped.install(str(tmp_path / "engines"))
    assert list(tmp_path.iterdir()) == []
