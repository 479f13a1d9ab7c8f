# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster, a database, PgBouncer, HAProxy and a small application, for the tests beside this file.

The stack lives in one directory with ports of its own and is taken down at the end, whatever happened.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from support.roles_stack import CLUSTER, STACK, ansible, application, wait_for_proxy


@pytest.fixture(scope="session")
def stack() -> Iterator[str]:
    """The running stack; the output of the playbook that made it."""
    if os.geteuid() != 0:
        pytest.skip("creates a cluster and starts servers: needs root")
    if STACK.exists():
        # Left from a test run that was killed.
        ansible("down.yml")
    try:
        output = ansible("up.yml")
        application("start")
        wait_for_proxy()
        yield output
    finally:
        ansible("down.yml")
        assert not STACK.exists()
        listed = subprocess.run(["pg_lsclusters"], capture_output=True, text=True, check=True).stdout
        assert CLUSTER not in listed
