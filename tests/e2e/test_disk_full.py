# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's disk is full in the middle of the copy: the run says so, and goes on once there is room."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from support.independent import fetch
from support.playbooks import Playbooks
from support.postgres import Cluster, become_postgres

ROWS = 4_000
#: An empty database takes 7 MB; of the 40 MB of rows two or three ranges of 8 MB fit first.
SMALL, LARGE = "32m", "160m"


@pytest.fixture
def small_disk(postgres: Cluster) -> Iterator[tuple[str, Path]]:
    """(URL, mount point) of a database whose tables lie on a file system of a few MB."""
    if os.geteuid() != 0:
        pytest.skip("mounts a file system: needs root")
    place = postgres.base / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL},mode=0777", "tmpfs", str(place)], check=True)
    made = postgres.create_database()
    try:
        tables = place / "tables"
        tables.mkdir()
        os.chown(tables, become_postgres()["user"], become_postgres()["group"])
        with closing(psycopg2.connect(postgres.superuser_url())) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"CREATE TABLESPACE small LOCATION '{tables}'")
                cursor.execute(f"ALTER DATABASE {made.name} SET TABLESPACE small")
        yield made.url, place
    finally:
        postgres.drop_database(made)
        with closing(psycopg2.connect(postgres.superuser_url())) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("DROP TABLESPACE IF EXISTS small")
        # Lazily: a server process that is ending may still have a file open.
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """About 40 MB that do not compress, in rows of 10 kB."""
    path, chance = tmp_path / "source.sqlite", random.Random(1)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE wide (id INTEGER PRIMARY KEY, body BLOB)")
        rows = ((n, chance.randbytes(10_000)) for n in range(1, ROWS + 1))
        connection.executemany("INSERT INTO wide VALUES (?, ?)", rows)
        connection.commit()
    return path


@pytest.mark.slow
def test_full_disk_stops_the_copy_with_a_word_and_room_lets_it_go_on(
    small_disk: tuple[str, Path], source: Path, tmp_path: Path
) -> None:
    url, place = small_disk
    options = ("-c", "local", "-e", f"cutover_source_path={source}", "-e", f"cutover_state_dir={tmp_path / 'state'}")
    options += ("-e", f"cutover_report_dir={tmp_path / 'reports'}", "-e", "cutover_workers=1")
    playbooks = Playbooks("localhost,", tmp_path / "state", tmp_path, options, {"CUTOVER_TARGET_URL": url})

    said = " ".join(playbooks.run("playbooks/migrate.yml", fails=True).split())
    assert "No space left on device" in said
    assert "The target's disk is full: free space or enlarge it, then run again; what is copied stays copied." in said
    assert "Traceback" not in said
    report = json.loads((tmp_path / "reports/app/latest/report.json").read_text())
    assert not report["ok"]
    assert "disk is full" in json.dumps(report)
    done = (
        "SELECT count(*) FILTER (WHERE rows IS NOT NULL), count(*), coalesce(sum(rows), 0)::int FROM pgcutover.ranges"
    )
    [(first, ranges, rows)] = fetch(url, done)
    assert 0 < first < ranges, "a part was copied and a part was not"
    assert fetch(url, "SELECT count(*) FROM wide") == [(rows,)], "nothing of the range that failed is left"
    kept = fetch(url, "SELECT min(id), max(id), min(xmin::text) FROM wide WHERE id = 1")

    subprocess.run(["mount", "-o", f"remount,size={LARGE}", str(place)], check=True)
    playbooks.run("playbooks/migrate.yml")
    report = json.loads((tmp_path / "reports/app/latest/report.json").read_text())
    assert report["ok"]
    assert [(t["name"], t["rows_target"]) for t in report["tables"]] == [("wide", ROWS)]
    assert fetch(url, "SELECT count(*), sum(length(body)) FROM wide") == [(ROWS, ROWS * 10_000)]
    assert fetch(url, "SELECT min(id), max(id), min(xmin::text) FROM wide WHERE id = 1") == kept, "it was copied again"
