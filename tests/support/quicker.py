# SPDX-License-Identifier: GPL-3.0-or-later
"""An environment in which hundreds of runs of playbooks share what each would do for itself."""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).parent


def environment(folder: Path) -> dict[str, str]:
    """Variables for runs that share a folder, the user's own, which has to be there as long as one of them lives."""
    built, compiled = folder / "built", folder / "compiled"
    for each in (built, compiled):
        each.mkdir(mode=0o700, exist_ok=True)
    return {
        # What Ansible puts together for a module.
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback"),
        "ANSIBLE_CALLBACKS_ENABLED": "preload",
        "PG_CUTOVER_BUILT_MODULES": str(built),
        # What Python compiles of it where it runs, which is this machine; sudo would take that from it.
        "PG_CUTOVER_COMPILED": str(compiled),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(HERE / "compiled"), os.environ.get("PYTHONPATH")))),
        "ANSIBLE_SUDO_FLAGS": "-H -S -n --preserve-env=PYTHONPATH,PG_CUTOVER_COMPILED",
    }
