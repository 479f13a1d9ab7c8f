# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for all tests, and rules: a skip is a failure in CI; what lies in tests/e2e is marked so, and a folder of it stays
together where tests run side by side."""

from __future__ import annotations

import os
import signal
import sqlite3
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any, Union

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from support import quicker
from support.postgres import Cluster

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")

# Examples that start with a database round trip vary too much in time for a deadline to mean anything.
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.register_profile("ci", settings.get_profile("dev"), max_examples=400, derandomize=True, print_blob=True)
settings.load_profile("ci" if IN_CI else "dev")

MakeSqlite = Callable[[Union[str, Callable[[sqlite3.Connection], object]]], Path]


def pytest_configure(config: pytest.Config) -> None:
    """Let a request to end (TERM) take the same way as Ctrl-C, so that fixtures stop what they started; let playbooks that
    tests run share what each would do for itself."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Workers of a run side by side have it from the process that started them.
    if "PG_CUTOVER_BUILT_MODULES" not in os.environ:
        shared = tempfile.TemporaryDirectory()
        config.add_cleanup(shared.cleanup)
        os.environ.update(quicker.environment(Path(shared.name)))


# Applications under load, with holds of milliseconds: what runs beside these folders of tests/e2e would be measured too.
ALONE = ("application", "cutover", "keyed", "online", "proxy", "rolling")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in tests/e2e."""
    here = Path(__file__).parent / "e2e"
    for item in items:
        if here in item.path.parents:
            item.add_marker("e2e")
            if item.path.parent.name in ALONE:
                item.add_marker("alone")


class _Together(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """One worker has what belongs together: a file, in tests/e2e a folder, which has its own ports.

    Not by marks (`--dist loadgroup`): xdist 3.8 writes them into what pytest 9.2 does not read any more.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = PurePosixPath(nodeid.split("::")[0])
        return str(path.parent if path.parts[:2] == ("tests", "e2e") and len(path.parts) > 3 else path)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Together:
    """How tests are given to workers, where there are several."""
    return _Together(config, log)


def _fail_if_skipped(report: Any) -> None:
    """Turn a skip into a failure: in CI a test that did not run proves nothing."""
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        where, line, reason = report.longrepr if isinstance(report.longrepr, tuple) else ("", 0, report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{where}:{line}: skipped, which counts as failed in CI: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Tests that skip themselves."""
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    """Files that skip themselves while they are imported."""
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A running PostgreSQL of its own, for the whole test run; see support.postgres.Cluster."""
    cluster = Cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def database(postgres: Cluster) -> Iterator[str]:
    """URL of the owner (no superuser) of a fresh, empty database, dropped after the test."""
    made = postgres.create_database()
    try:
        yield made.url
    finally:
        postgres.drop_database(made)


@pytest.fixture
def make_sqlite(tmp_path: Path) -> MakeSqlite:
    """Return a function that writes a SQLite file from a script, or from a callable given the connection."""
    made = 0

    def make(content: str | Callable[[sqlite3.Connection], object]) -> Path:
        nonlocal made
        made += 1
        path = tmp_path / f"source-{made}.sqlite"
        with closing(sqlite3.connect(path)) as connection:
            if isinstance(content, str):
                connection.executescript(content)
            else:
                content(connection)
            connection.commit()
        return path

    return make
