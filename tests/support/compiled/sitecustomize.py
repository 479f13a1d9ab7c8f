# SPDX-License-Identifier: GPL-3.0-or-later
"""Python keeps what it has compiled of modules in archives, as it does of others: in tests, and on the hosts of scenarios.

Ansible sends each task as an archive of sources, and compiling them is most of what a task costs a host. Without the folder, or
where Python has no such function any more, nothing is changed.
"""

from __future__ import annotations

import os
import sys
import zipimport

#: Where they are kept. The image of the scenarios' hosts has this one, tests name their own.
FOLDER = os.environ.get("PG_CUTOVER_COMPILED") or "/var/cache/pg-cutover-compiled"

_compile = getattr(zipimport, "_compile_source", None)


# Without annotations from typing: each Python of a test reads this file at its start.
def _kept(path: str, source: bytes) -> object:
    """What was compiled of the same source before; else it is compiled, and kept."""
    import hashlib
    import marshal

    assert _compile is not None
    name = os.path.join(FOLDER, f"{sys.implementation.cache_tag}-{hashlib.sha256(source).hexdigest()}")
    try:
        with open(name, "rb") as file:
            return marshal.loads(file.read())  # noqa: S302 - the user's own folder
    except (OSError, EOFError, ValueError, TypeError):
        pass
    code = _compile(path, source)
    written = f"{name}.{os.getpid()}"
    try:
        with open(written, "wb") as file:
            file.write(marshal.dumps(code))
        os.replace(written, name)
    except OSError:
        # The tests that the folder was for have ended, or the disk is full.
        pass
    return code


# What is read from there is run: nobody else may write to it.
if _compile is not None and os.path.isdir(FOLDER) and os.stat(FOLDER).st_uid == os.getuid():
    zipimport._compile_source = _kept  # type: ignore[attr-defined]  # a private function: there is no public way
