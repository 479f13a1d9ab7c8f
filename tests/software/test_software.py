# SPDX-License-Identifier: GPL-3.0-or-later
"""Real software writes SQLite, migrate.yml moves it, and the software goes on working on PostgreSQL: it reads the same,
writes, is refused what it was refused before, and its next release changes the tables."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest
import yaml

from cutover.access import open_access
from cutover.plan.model import from_dict
from support.postgres import Cluster, Database
from support.project import ROOT
from support.software import HERE, Application, installed

pytestmark = pytest.mark.slow

APPLICATIONS = sorted(path.parent.name for path in (HERE / "apps").glob("*/overrides.yml"))
MODES = ("derive", "existing")
LIMIT = 300


@dataclass(frozen=True)
class Moved:
    """An application whose data is in both databases. owner, url: addresses of the owner and of the application's role."""

    application: Application
    source: Path
    owner: str
    url: str


def migrate(source: Path, url: str, folder: Path, mode: str, overrides: dict[str, Any]) -> None:
    """Run migrate.yml as an operator does."""
    decisions = folder / "decisions.yml"
    decisions.write_text(yaml.safe_dump({"cutover_schema": mode, "cutover_plan_overrides": overrides}))
    done = subprocess.run(
        [
            str(ROOT / ".venv/bin/ansible-playbook"),
            *("-i", "localhost,", "-c", "local", str(ROOT / "playbooks/migrate.yml")),
            *("-e", f"cutover_source_path={source}", "-e", f"cutover_state_dir={folder / 'state'}"),
            *("-e", f"cutover_report_dir={folder / 'reports'}", "-e", f"@{decisions}"),
        ],
        cwd=ROOT,
        env={**os.environ, "CUTOVER_TARGET_URL": url, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    report = json.loads((folder / "reports/app/latest/report.json").read_text())
    assert report["ok"], report


def execute(url: str, *statements: str) -> None:
    """Run statements, each for itself."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def move(application: Application, mode: str, database: Database, superuser: str, folder: Path) -> Moved:
    """Let the application write its SQLite file and move it."""
    # What every server has unless told otherwise; psycopg and pg insist on it. The tests' own cluster is odd on purpose.
    for setting in ("datestyle = 'ISO, MDY'", "intervalstyle = 'postgres'"):
        execute(superuser, f'ALTER DATABASE "{database.name}" SET {setting}')
    decided = yaml.safe_load((HERE / "apps" / application.name / "overrides.yml").read_text())
    source = folder / "app.sqlite"
    application.run("create", f"sqlite://{source}")
    application.run("fill", f"sqlite://{source}")
    if mode == "existing":
        application.run("create", database.url)
    migrate(source, database.url, folder, mode, decided[mode] or {})
    if mode == "derive":
        execute(database.url, *decided.get("after", ()))
    # As at the switch of cutover.yml: the application's role may read and write, and nothing else.
    role = f"{database.name}_app"
    execute(superuser, f"CREATE ROLE {role} LOGIN PASSWORD '{role}'")
    plan = from_dict(yaml.safe_load((folder / "reports/app/plan.yml").read_text()))
    with closing(psycopg2.connect(database.url)) as connection:
        open_access(connection, plan, role)
    address = urlsplit(database.url)
    url = address._replace(netloc=f"{role}:{role}@{address.hostname}:{address.port}").geturl()
    return Moved(application, source, database.url, url)


@pytest.fixture(scope="session")
def moves(
    request: pytest.FixtureRequest, postgres: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, str], Future[Moved]]]:
    """All moves that the chosen tests need, two at a time: most of the time of a playbook is waiting."""
    toolbox = installed()
    wanted = {item.callspec.params["moved"] for item in request.session.items if "moved" in _parameters(item)}
    databases: list[Database] = []
    with ThreadPoolExecutor(2) as pool:
        running: dict[tuple[str, str], Future[Moved]] = {}
        for name, mode in sorted(wanted):
            databases.append(postgres.create_database())
            folder = tmp_path_factory.mktemp(f"{name}-{mode}")
            application = Application(name, toolbox)
            superuser = postgres.superuser_url()
            running[name, mode] = pool.submit(move, application, mode, databases[-1], superuser, folder)
        try:
            yield running
        finally:
            pool.shutdown(cancel_futures=True)
    for database in databases:
        postgres.drop_database(database)
        execute(postgres.superuser_url(), f"DROP ROLE IF EXISTS {database.name}_app")


def _parameters(item: pytest.Item) -> dict[str, Any]:
    return item.callspec.params if hasattr(item, "callspec") else {}


@pytest.fixture(params=[(name, mode) for name in APPLICATIONS for mode in MODES], ids="-".join)
def moved(request: pytest.FixtureRequest, moves: dict[tuple[str, str], Future[Moved]]) -> Moved:
    """One application, moved in one way."""
    return moves[request.param].result()


def test_software_reads_the_same_and_goes_on_working(moved: Moved) -> None:
    application, on_sqlite = moved.application, f"sqlite://{moved.source}"
    written = application.run("dump", on_sqlite)
    assert sum(map(len, written.values())) > 300
    read = application.run("dump", moved.url)
    assert read.keys() == written.keys()
    for name, rows in written.items():
        assert read[name] == rows, name
    # The same day's work on a copy of the file and on PostgreSQL gives the same answers.
    copy = moved.source.with_name("worked.sqlite")
    shutil.copy(moved.source, copy)
    assert application.run("work", moved.url) == application.run("work", f"sqlite://{copy}")
    # The next release changes tables by the names and types that it believes they have.
    application.run("later", moved.owner)
