# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL, PgBouncer and two instances of an application that write all the time."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from support.rotate_stack import STACK, ansible


@pytest.fixture(scope="session")
def stack() -> Iterator[None]:
    """The running stack, taken down at the end, whatever happened."""
    if os.geteuid() != 0:
        pytest.skip("creates a cluster and starts servers: needs root")
    if STACK.exists():
        # Left from a test run that was killed.
        ansible("tests/e2e/rotate/down.yml")
    try:
        ansible("tests/e2e/rotate/up.yml")
        yield
    finally:
        ansible("tests/e2e/rotate/down.yml")
        assert not STACK.exists()
