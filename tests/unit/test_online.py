# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way of a cutover without downtime."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from cutover import online
from cutover.errors import CutoverError, Finding
from cutover.source.fence import raise_fence
from support.engine import planned
from support.processes import holding

GOOD = """
PRAGMA journal_mode = WAL;
CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);
INSERT INTO t VALUES (1, 'a');
"""


@pytest.fixture
def found(tmp_path: Path, make_sqlite: Any) -> Any:
    """A function: the findings for a script, with an inventory in which all is well unless said otherwise."""

    def check(script: str = GOOD, **changed: Any) -> list[Finding]:
        path = make_sqlite(script)
        of = online.asked({"proxies": 1, "green": 2, "folder": str(tmp_path), "rehearse": False, **changed})
        return online.check(str(path), planned(path)[0], of)

    return check


def only(findings: list[Finding]) -> Finding:
    [finding] = findings
    return finding


def test_nothing_stands_in_the_way(found: Any) -> None:
    assert found() == []


def test_what_is_asked_must_be_whole() -> None:
    with pytest.raises(CutoverError, match="green"):
        online.asked({"proxies": 1, "folder": "/"})


def test_without_a_proxy_or_green_instances_there_is_nothing_to_switch(found: Any) -> None:
    finding = only(found(proxies=0))
    assert (finding.severity, "group proxy" in finding.message) == ("error", True)
    finding = only(found(green=0))
    assert (finding.severity, "haproxy_green_servers" in finding.message) == ("error", True)


@pytest.mark.parametrize("mode", ["delete", "truncate"])
def test_another_journal_mode_needs_consent(found: Any, mode: str) -> None:
    script = GOOD.replace("= WAL", f"= {mode}")
    finding = only(found(script))
    # TRUNCATE is a setting of a connection; what the file says of itself is DELETE.
    assert "journal mode is delete" in finding.message
    assert (finding.severity, "cutover_source_wal: true" in finding.message) == ("error", True)
    assert only(found(script, wal=True)).severity == "info"


def test_large_tables_whose_rows_nothing_names_are_refused(found: Any) -> None:
    script = GOOD + "CREATE TABLE k (v TEXT); INSERT INTO k VALUES ('a'), ('b'), ('c');"
    finding = only(found(script, keyless_rows=2))
    assert (finding.severity, finding.table) == ("error", "k")
    assert "more than 2 rows" in finding.message
    finding = only(found(script, keyless_rows=3))
    assert (finding.severity, finding.table) == ("info", "k")
    assert "3 rows" in finding.message
    assert found(GOOD + "CREATE TABLE k (v TEXT);", keyless_rows=0) == []
    assert found(GOOD + "CREATE TABLE k (a TEXT NOT NULL UNIQUE); INSERT INTO k VALUES ('a');", keyless_rows=0) == []


def test_rows_are_counted_now_not_by_the_plan(tmp_path: Path, make_sqlite: Any) -> None:
    path = make_sqlite(GOOD + "CREATE TABLE k (v TEXT);")
    plan = planned(path)[0]
    with sqlite3.connect(path) as connection:
        connection.executemany("INSERT INTO k VALUES (?)", [(n,) for n in range(5)])
    connection.close()
    of = online.Asked(1, 1, str(tmp_path), keyless_rows=4, rehearse=False)
    assert only(online.check(str(path), plan, of)).severity == "error"


def test_virtual_tables_and_triggers_are_told(found: Any) -> None:
    findings = found(
        GOOD + "CREATE VIRTUAL TABLE search USING fts5(v, content='t');"
        "CREATE TRIGGER fill AFTER INSERT ON t BEGIN INSERT INTO search(rowid, v) VALUES (new.id, new.v); END;"
    )
    assert [(f.severity, f.table) for f in findings] == [("warning", "search"), ("info", None)]
    assert "('rebuild')" in findings[0].message
    assert "(fill)" in findings[1].message


def test_room_for_the_snapshot(found: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    asked_of: list[str] = []

    def disk_usage(path: str) -> Any:
        asked_of.append(path)
        return usage(1 << 40, 1 << 40, 100 << 20)

    monkeypatch.setattr(online.shutil, "disk_usage", disk_usage)
    finding = only(found(folder=str(tmp_path / "not" / "yet")))
    assert asked_of == [str(tmp_path)]
    assert (finding.severity, "100 MiB free" in finding.message) == ("error", True)


def test_versions_that_are_too_old(found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(online, "_PYTHON", (9, 0))
        patched.setattr(online, "_SQLITE", (9, 0, 0))
        patched.setattr(online, "_PSYCOPG", (9, 0))
        assert [("too old" in f.message, f.severity) for f in found()] == [(True, "error")] * 3
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    assert "lacks psycopg2" in only(found()).message


def test_a_source_that_cannot_be_read_is_a_finding(tmp_path: Path, make_sqlite: Any) -> None:
    path = make_sqlite(GOOD.replace("= WAL", "= DELETE"))
    plan = planned(path)[0]
    of = online.Asked(1, 1, str(tmp_path), rehearse=False)
    with holding(path, "PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE"):
        assert "locked" in only(online.check(str(path), plan, of)).message
    path.unlink()
    assert "no such file" in only(online.check(str(path), plan, of)).message


def test_the_capture_is_tried_and_its_cost_told(tmp_path: Path, make_sqlite: Any) -> None:
    path = make_sqlite(GOOD)
    plan, before = planned(path)[0], path.read_bytes()
    finding = only(online.check(str(path), plan, online.Asked(1, 1, str(tmp_path))))
    assert finding.severity in ("info", "warning")
    assert finding.table == "t"
    assert re.search(r"add [-\d.,]+ µs to a write of a single row, -?\d+%", finding.message)
    assert ("few writes" in finding.message) == (finding.severity == "warning")
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith("pg-cutover-")] == []


def test_a_source_that_the_triggers_cannot_follow_is_refused(tmp_path: Path, make_sqlite: Any) -> None:
    path = make_sqlite(GOOD)
    plan = planned(path)[0]
    raise_fence(str(path), "attempt-1")
    finding = only(online.check(str(path), plan, online.Asked(1, 1, str(tmp_path))))
    assert (finding.severity, "is fenced" in finding.message) == ("error", True)


def test_nothing_to_measure_is_no_finding(found: Any) -> None:
    assert found("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY)", rehearse=True) == []


def test_errors_come_first(found: Any) -> None:
    script = GOOD.replace("= WAL", "= DELETE") + "CREATE TABLE k (v TEXT); INSERT INTO k VALUES ('a');"
    assert [finding.severity for finding in found(script, proxies=0, wal=True)] == ["error", "info", "info"]
