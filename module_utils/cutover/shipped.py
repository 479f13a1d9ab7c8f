# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine put where a service can run it: a copy of the very code that the module runs, named by its contents.

A module brings the parts of the engine that it needs in an archive which is gone when it ends. A running service keeps
the folder that it was started from, so that a newer engine beside it takes nothing away from under it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pkgutil
import shutil
import tempfile

from .errors import CutoverError

#: The name by which the copy is imported.
_PACKAGE = "cutover"
_MAIN = b"""# SPDX-License-Identifier: GPL-3.0-or-later
\"\"\"python3 <this folder> --config FILE\"\"\"

from cutover.service import main

raise SystemExit(main())
"""


def contents() -> dict[str, bytes]:
    """The files of the copy by their path in it, in order: those parts of the engine that came along, and a __main__."""
    root = __name__.rpartition(".")[0]
    found = {"__main__.py": _MAIN}
    for name in [root, *_modules(root)]:
        spec = importlib.util.find_spec(name)
        reader = getattr(spec.loader, "get_source", None) if spec else None
        source = reader(name) if reader else None
        if spec is None or source is None:
            raise CutoverError(
                f"the engine's part {name} cannot be copied: it came without its source. Run the playbook with Ansible's own "
                "strategy (ANSIBLE_STRATEGY=linear): Mitogen's do not bring it."
            )
        path = (_PACKAGE + name[len(root) :]).replace(".", "/")
        found[path + ("/__init__.py" if spec.submodule_search_locations is not None else ".py")] = source.encode()
    return dict(sorted(found.items()))


def _modules(root: str) -> list[str]:
    package = importlib.import_module(root)
    return [found.name for found in pkgutil.walk_packages(package.__path__, root + ".")]


def install(directory: str, check_mode: bool = False) -> tuple[str, bool]:
    """Put the engine below ``directory``; (the folder to run, whether anything had to be done). Raises CutoverError."""
    files = contents()
    folder = os.path.join(directory, _digest(files))
    if _read(folder) == files:
        return folder, False
    if check_mode:
        return folder, True
    try:
        os.makedirs(directory, mode=0o755, exist_ok=True)
        temporary = tempfile.mkdtemp(prefix=".", dir=directory)
        try:
            for name, content in files.items():
                path = os.path.join(temporary, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "wb") as file:
                    file.write(content)
            _open_to_read(temporary)
            # One that somebody changed; a service that runs from it has read it long ago.
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise CutoverError(
            f"{directory}: the engine cannot be written there ({error.strerror}); set replication_directory."
        ) from None
    return folder, True


def tidy(directory: str, keep: str | None, check_mode: bool = False) -> list[str]:
    """Remove the copies below ``directory`` but the one called ``keep``; the paths (to be) removed."""
    gone = [path for path in _copies(directory) if path != keep]
    if not check_mode and os.path.isdir(directory):
        for path in gone:
            shutil.rmtree(path)
        if keep is None:
            _remove_empty(directory)
    return gone


def _copies(directory: str) -> list[str]:
    """Nothing but what this file makes, whatever the directory is."""
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    paths = [os.path.join(directory, name) for name in names]
    return [path for path in paths if os.path.exists(os.path.join(path, "__main__.py"))]


def _remove_empty(directory: str) -> None:
    if not os.listdir(directory):
        os.rmdir(directory)


def _digest(files: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _read(folder: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for where, folders, names in os.walk(folder):
        if "__pycache__" in folders:
            folders.remove("__pycache__")
        for name in names:
            path = os.path.join(where, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = file.read()
    return dict(sorted(found.items()))


def _open_to_read(folder: str) -> None:
    # Whatever umask the module runs with; there is nothing secret in it.
    for where, _, names in os.walk(folder):
        os.chmod(where, 0o755)  # noqa: S103 - whoever runs the service must get in
        for name in names:
            os.chmod(os.path.join(where, name), 0o644)
