# SPDX-License-Identifier: GPL-3.0-or-later
"""The project's own files, for tests: plugins loaded as Python, modules run as Ansible runs them."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def load(path: str) -> ModuleType:
    """Import one file of the project that lies in no package, such as a filter plugin."""
    file = ROOT / path
    spec = importlib.util.spec_from_file_location(f"project_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Ansible puts the project's module_utils beside its own when it ships a module; so does this.
_SHIPPED = """
import runpy, sys
import ansible.module_utils
ansible.module_utils.__path__.append(sys.argv.pop(1))
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_module(name: str, check: bool = False, /, **arguments: Any) -> dict[str, Any]:
    """Run library/<name>.py in a process of its own and return what it answers."""
    payload = {"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check}}
    done = subprocess.run(
        [sys.executable, "-c", _SHIPPED, str(ROOT / "module_utils"), str(ROOT / "library" / f"{name}.py")],
        input=json.dumps(payload),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.startswith("\n{") or done.stdout.startswith("{"), done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert bool(answer.get("failed")) == (done.returncode != 0)
    return answer
