# SPDX-License-Identifier: GPL-3.0-or-later
"""Journals, plans and contexts for tests of the report, as the playbooks would hand them over."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta, timezone
from typing import Any

from cutover.report import build, page, summary

START = datetime(2026, 11, 22, 15, 30, tzinfo=timezone.utc)
RUN = "20261122T153000-ab12"
CUTOVER = (
    ("preflight", 4.2),
    ("provision", 31.0),
    ("schema", 1.1),
    ("backup", 6.4),
    ("maintenance", 1.3),
    ("fence", 0.4),
    ("copy", 21.7),
    ("indexes", 3.9),
    ("verify", 14.6),
    ("switch", 0.2),
    ("restart", 4.8),
    ("smoke", 1.5),
    ("release", 0.9),
    ("watch", 60.0),
)
ROLLBACK = (
    ("rollback_count", 0.8),
    ("rollback_maintenance", 1.2),
    ("rollback_put_back", 0.5),
    ("rollback_restart", 4.4),
    ("rollback_release", 0.7),
)
ROWS = {
    "users": 5_000,
    "products": 12_000,
    "orders": 20_150,
    "order_items": 48_002,
    "documents": 6_000,
    "events": 8_860,
}


class Journal:
    """A journal under construction, with a clock of its own."""

    def __init__(self, run: str = RUN, start: datetime = START) -> None:
        self.events: list[dict[str, Any]] = []
        self.run = run
        self.clock = start

    def add(self, event: str, phase: str | None = None, state: str | None = None, /, **detail: Any) -> Journal:
        """One event, now."""
        self.events.append(
            {
                "seq": len(self.events) + 1,
                "at": self.clock.isoformat(timespec="microseconds"),
                "run": self.run,
                "event": event,
                "phase": phase,
                "state": state,
                "detail": detail,
            }
        )
        return self

    def wait(self, seconds: float) -> Journal:
        """Let time pass."""
        self.clock += timedelta(seconds=seconds)
        return self

    def phase(self, name: str, seconds: float = 1.0, state: str = "done", /, **detail: Any) -> Journal:
        """A phase from its start to its end."""
        return self.add("phase", name, "started").wait(seconds).add("phase", name, state, **detail)

    @property
    def now(self) -> str:
        """The time of the clock, as the context has it."""
        return self.clock.isoformat(timespec="microseconds")


def verified(rows: dict[str, int], **changes: dict[str, Any]) -> list[dict[str, Any]]:
    """What a verification says of tables that are equal; ``changes`` by table name."""
    return [
        {
            "name": name,
            "target": name,
            "rows_source": count,
            "rows_target": count,
            "rows_different": 0,
            "rows_only_source": 0,
            "rows_only_target": 0,
            "rows_quarantined": 0,
            "checksum": hash_of(name),
            "seconds": round(count / 9000 + 0.02, 3),
            **changes.get(name, {}),
        }
        for name, count in rows.items()
    ]


def hash_of(text: str) -> str:
    """What looks like a checksum and is the same in every run."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def details(rows: dict[str, int]) -> dict[str, dict[str, Any]]:
    """The details of the phases of a cutover that went well."""
    sizes = {name: count * (61_000 if name == "documents" else 1_450) for name, count in rows.items()}
    return {
        "backup": {
            "path": "/var/lib/shop/backup/app-20261122T153000.sqlite",
            "bytes": 543_211_520,
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        },
        "copy": {
            "tables": {
                name: {"rows": count, "bytes": sizes[name], "seconds": round(sizes[name] / 31e6 + 0.01, 3)}
                for name, count in rows.items()
            },
            "rules": [
                {"table": "documents", "column": "body", "rule": "nul: strip", "count": 3},
                {"table": "orders", "column": "placed_at", "rule": "epoch_ms", "count": 20_150},
            ],
        },
        "verify": {"tables": verified(rows), "differences": []},
        "watch": {
            "seconds": 60,
            "requests": 5_934,
            "errors": 0,
            "p50_ms": 4.1,
            "p95_ms": 11.83,
            "max_ms": 92.4,
        },
    }


def cutover_journal(rows: dict[str, int] | None = None, **changes: dict[str, Any]) -> Journal:
    """A cutover that was released; ``changes`` are details by phase."""
    journal = Journal().add("begin")
    known = {**details(ROWS if rows is None else rows), **changes}
    for name, seconds in CUTOVER:
        journal.phase(name, seconds, **known.get(name, {}))
    return journal


def rollback_journal(writes: list[dict[str, Any]]) -> Journal:
    """A rollback that came to its end."""
    journal = Journal(run="20261122T190500-77fe", start=START + timedelta(hours=3, minutes=35)).add("begin")
    for name, seconds in ROLLBACK:
        journal.phase(name, seconds, **({"writes": writes} if name == "rollback_count" else {}))
    return journal


def plan(rows: dict[str, int] | None = None) -> dict[str, Any]:
    """A plan of these tables."""
    rows = ROWS if rows is None else rows
    return {
        "name": "shop",
        "source": {
            "path": "/var/lib/shop/app.sqlite",
            "size_bytes": 543_211_520,
            "tables": len(rows),
            "rows": sum(rows.values()),
            "sqlite_version": "3.40.1",
            "journal_mode": "wal",
        },
        "tables": [{"name": name, "target": name, "columns": []} for name in rows],
        "not_carried": [
            {
                "object": "documents_fts",
                "kind": "virtual table",
                "reason": "FTS5 is a full text index of SQLite",
                "hint": "CREATE INDEX … USING gin (to_tsvector('simple', body)) on documents takes its place",
            },
            {
                "object": "orders_touch",
                "kind": "trigger",
                "reason": "its body is SQLite's SQL",
                "hint": "write it anew in PL/pgSQL, or let the application set updated_at",
            },
        ],
    }


def context(outcome: str, journal: Journal, **changes: Any) -> dict[str, Any]:
    """The context of a run that ends now."""
    return {
        "name": "shop",
        "run": journal.run,
        "strategy": "maintenance",
        "outcome": outcome,
        "message": "",
        "target": {"host": "127.0.0.1", "port": 15432, "database": "shop", "server_version": "15.14"},
        "database_before": "sqlite:////var/lib/shop/app.sqlite",
        "database_after": "postgresql://shop_app@127.0.0.1:16432/shop",
        "now": journal.now,
        "retention_days": 7,
        **changes,
    }


def finding(severity: str = "error", **changes: Any) -> dict[str, Any]:
    """A finding of the preflight."""
    return {
        "severity": severity,
        "table": "documents",
        "column": "body",
        "key": "417",
        "value": "'Invoice\\x00copy'",
        "message": "the text holds NUL, which PostgreSQL cannot store",
        "decide": {"tables": {"documents": {"columns": {"body": {"nul": "strip"}}}}},
        **changes,
    }


def released(journal: Journal, **changes: Any) -> dict[str, Any]:
    """The report of a run that is said to be released."""
    return build(journal.events, plan(), [], context("released", journal, **changes))


def assert_not_ok(report: dict[str, Any], reason: str) -> None:
    """Not ok, for this reason, in every form of the report."""
    assert report["ok"] is False
    assert reason in report["message"]
    assert summary(report).startswith("NOT OK")
    assert page(report)["tone"] == "bad"
