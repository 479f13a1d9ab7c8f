# SPDX-License-Identifier: GPL-3.0-or-later
"""Python on a host of a scenario keeps what it has compiled of modules in archives, as it does of others.

Ansible sends each task as an archive of sources, and compiling them is most of what a task costs a host. Without its folder,
which the image has, or where Python has no such function any more, nothing is changed.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import sys
import zipimport
from typing import Any

FOLDER = "/var/cache/pg-cutover-compiled"

_compile = getattr(zipimport, "_compile_source", None)


def _kept(path: str, source: bytes) -> Any:
    """What was compiled of the same source before; else it is compiled, and kept."""
    assert _compile is not None
    name = os.path.join(FOLDER, f"{sys.implementation.cache_tag}-{hashlib.sha256(source).hexdigest()}")
    try:
        with open(name, "rb") as file:
            return marshal.loads(file.read())  # noqa: S302 - root's own folder
    except (OSError, EOFError, ValueError, TypeError):
        pass
    code = _compile(path, source)
    written = f"{name}.{os.getpid()}"
    with open(written, "wb") as file:
        file.write(marshal.dumps(code))
    os.replace(written, name)
    return code


# What is read from there is run: nobody else may write to it.
if _compile is not None and os.path.isdir(FOLDER) and os.stat(FOLDER).st_uid == os.getuid():
    zipimport._compile_source = _kept  # type: ignore[attr-defined]  # a private function: there is no public way
