# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster, a database and PgBouncer with TLS on both ways, for the tests beside this file; taken down at the end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.tls_stack import CLUSTER, HERE, STACK, TRUST, playbook


@pytest.fixture(scope="session")
def stack() -> Iterator[str]:
    """The running stack; the output of the playbook that made it."""
    if os.geteuid() != 0:
        pytest.skip("creates a cluster and starts servers: needs root")
    if STACK.exists():
        # Left from a test run that was killed.
        playbook(HERE / "down.yml")
    try:
        yield playbook(HERE / "up.yml")
    finally:
        playbook(HERE / "down.yml")
        assert not STACK.exists()
        assert not TRUST.exists()
        listed = subprocess.run(["pg_lsclusters"], capture_output=True, text=True, check=True).stdout
        assert CLUSTER not in listed
        assert not list(Path("/etc/postgresql").glob(f"*/{CLUSTER}/tls")), "a key stays behind"
