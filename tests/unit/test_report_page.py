# SPDX-License-Identifier: GPL-3.0-or-later
"""report.html and what the terminal shows: complete, escaped, short enough."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jinja2
import pytest

from cutover.report import build, page, preflight, preflight_summary, summary
from support.report import (
    CUTOVER,
    ROWS,
    Journal,
    context,
    cutover_journal,
    details,
    finding,
    plan,
    rollback_journal,
    verified,
)

TEMPLATES = Path(__file__).parents[2] / "roles" / "report" / "templates"
NASTY = "<b>&\"'</td></pre><script>alert(1)</script>"
VOID = {"meta", "br"}


class Page(HTMLParser):
    """Reads a page: its elements, its text, the places that would load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


def render(report: dict[str, Any]) -> str:
    """The page as Ansible renders it: no autoescape, blocks trimmed."""
    options = {"trim_blocks": True, "undefined": jinja2.StrictUndefined, "autoescape": False}
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), **options)  # noqa: S701 - as Ansible
    made = json.loads(json.dumps(page(report)))
    return environment.get_template("report.html.j2").render(__report_made={"page": made})


def released(journal: Journal | None = None, **changes: Any) -> dict[str, Any]:
    journal = journal or cutover_journal()
    return build(journal.events, plan(), [finding("warning")], context("released", journal, **changes))


def refused() -> dict[str, Any]:
    journal = Journal().add("begin").phase("preflight", 4.2, "failed")
    findings = [finding(), finding(column="title", key="9", decide=None), finding("info", message="remark")]
    return build(journal.events, plan(), findings, context("refused", journal))


def failed() -> dict[str, Any]:
    journal = Journal().add("begin")
    known = details(ROWS)
    for name, seconds in CUTOVER[:8]:
        journal.phase(name, seconds, **known.get(name, {}))
    difference = {"table": "orders", "key": "17", "column": "total", "source": "12.10", "target": None}
    tables = verified(ROWS, orders={"rows_different": 1, "rows_only_target": 2})
    journal.phase("verify", 3.0, "failed", tables=tables, differences=[difference], message="3 rows differ")
    journal.phase("put_back")
    return build(journal.events, plan(), [], context("failed", journal, database_after="sqlite:///x"))


def rolled_back() -> dict[str, Any]:
    journal = rollback_journal([{"table": "orders", "inserted": 1_041, "updated": 3, "deleted": 0}])
    return build(journal.events, plan(), [], context("rolled_back", journal))


def unchanged() -> dict[str, Any]:
    journal = Journal().add("begin")
    return build(journal.events, plan(), [], context("unchanged", journal))


def nasty() -> dict[str, Any]:
    """A report where every text that comes from outside is hostile."""
    rows = {NASTY: 3}
    difference = dict.fromkeys(("table", "key", "column", "source", "target"), NASTY)
    journal = cutover_journal(
        rows,
        backup={"path": NASTY, "bytes": NASTY, "sha256": NASTY},
        verify={"tables": verified(rows, **{NASTY: {"checksum": NASTY}}), "differences": [difference]},
        copy={"rules": [dict.fromkeys(("table", "column", "rule", "count"), NASTY)]},
        watch=dict.fromkeys(("seconds", "requests", "errors", "p50_ms", "p95_ms", "max_ms"), NASTY),
    )
    journal.phase(NASTY, 1.0, "failed", message=NASTY, refused=[dict.fromkeys(("table", "reason", "decide"), NASTY)])
    journal.phase("rollback_count", 1.0, writes=[dict.fromkeys(("table", "inserted", "updated", "deleted"), NASTY)])
    made = plan(rows)
    made["source"] = dict.fromkeys(made["source"], NASTY)
    made["not_carried"] = [dict.fromkeys(("object", "kind", "reason", "hint"), NASTY)]
    findings = [
        {
            **dict.fromkeys(("table", "column", "key", "value", "message"), NASTY),
            "severity": severity,
            "decide": entry,
        }
        for severity, entry in (("error", {NASTY: [NASTY]}), (NASTY, NASTY), ("info", None))
    ]
    texts = dict.fromkeys(("name", "strategy", "message", "database_before", "database_after"), NASTY)
    target = dict.fromkeys(("host", "port", "database", "server_version"), NASTY)
    return build(journal.events, made, findings, {**context("released", journal, target=target), **texts})


SAMPLES = {
    "released": released,
    "refused": refused,
    "failed": failed,
    "rolled_back": rolled_back,
    "unchanged": unchanged,
    "nasty": nasty,
    "nothing": lambda: build(None, None, None, {}),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_page_is_whole_and_loads_nothing(name: str) -> None:
    text = render(SAMPLES[name]())
    parsed = Page(text)
    assert parsed.open == []
    assert text.startswith("<!DOCTYPE html>")
    tags = {tag for tag, _ in parsed.elements}
    assert tags & {"script", "link", "img", "iframe", "object", "base", "form"} == set()
    loading = [attributes for _, attributes in parsed.elements if {"src", "href", "action"} & set(attributes)]
    assert loading == []
    assert "url(" not in text
    assert "@import" not in text
    assert [attribute for _, held in parsed.elements for attribute in held if attribute.startswith("on")] == []
    # None, True and lists would show where the engine did not make a text of something.
    assert re.findall(r">\s*(None|True|False|\[.*?\]|<built-in.*?)\s*<", text) == []


def test_everything_is_escaped() -> None:
    report = nasty()
    text = render(report)
    assert NASTY not in text
    assert '<b>&"' not in text
    assert "<script" not in text
    assert "&amp;lt;" not in text
    assert {tag for tag, _ in Page(text).elements} & {"script"} == set()
    # Every section is there, so every text was tried.
    headings = Page(text).text
    for heading in (
        "To be settled",
        "Writes that only",
        "Differences",
        "Tables",
        "Phases",
        "Databases",
        "Watched",
    ):
        assert heading in headings
    for heading in ("Not carried", "Rules of the plan", "Other findings", "Backup"):
        assert heading in headings


def test_no_key_of_the_page_is_hidden_by_a_method_of_dict() -> None:
    def keys(value: Any) -> set[str]:
        if isinstance(value, dict):
            return set(value) | {key for item in value.values() for key in keys(item)}
        return {key for item in value for key in keys(item)} if isinstance(value, list) else set()

    found = set().union(*(keys(page(make())) for make in SAMPLES.values()))
    assert found & set(dir(dict)) == set()


def test_the_page_of_a_release() -> None:
    text = Page(render(released())).text
    for told in (
        "Released: the application runs on PostgreSQL",
        "100,012 rows in 6 tables compared, all equal.",
        "PostgreSQL database shop on 127.0.0.1:15432 takes the writes.",
        "refuses before 2026-11-29 15:31:32 UTC",
        "6 of 6",
        "48,002",
        "2 min 32 s",
        "documents_fts",
        "epoch_ms",
        "5,934",
        "11.8 ms",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "sqlite:////var/lib/shop/app.sqlite",
        "postgresql://shop_app@127.0.0.1:16432/shop",
    ):
        assert told in text


def test_a_checksum_is_short_with_the_whole_one_beside_it() -> None:
    report = released()
    whole = report["tables"][0]["checksum"]
    shown = next(table for table in page(report)["tables"] if table["name"] == "users")
    assert shown["checksum"] == whole
    assert shown["checksum_short"] == whole[:10] + "…"
    assert f'title="{whole}"' in render(report)


def test_the_page_of_a_refusal_holds_the_plan_entries() -> None:
    text = render(refused())
    assert "Refused: nothing was moved" in text
    assert "<pre>tables:\n  documents:\n    columns:\n      body:\n        nul: strip</pre>" in text
    assert "documents.title, key 9" in text


def test_the_page_of_a_failed_verification_shows_the_differing_tables_first() -> None:
    report = failed()
    made = page(report)
    assert made["headline"] == "Failed in phase verify"
    assert made["tables"][0]["name"] == "orders"
    assert made["tables"][0]["equal"] == "no"
    assert made["show_sides"] is True
    text = Page(render(report)).text
    assert "12.10" in text
    assert "NULL" in text
    assert "The application is on SQLite: /var/lib/shop/app.sqlite." in text
    assert "holds is not to be used" in text


def test_the_page_of_a_rollback_counts_what_stays() -> None:
    text = Page(render(rolled_back())).text
    assert "Writes that only PostgreSQL holds" in text
    assert "1,041" in text
    assert "1,044" in text
    assert page(rolled_back())["tone"] == "warn"


def test_a_migration_without_an_application_never_speaks_of_one() -> None:
    journal = Journal().add("begin").phase("preflight", 1.0, "failed")
    report = build(journal.events, plan(), [finding()], context("refused", journal, strategy="migrate"))
    text = " ".join(summary(report).split())
    assert "app.sqlite was only read. Nothing was copied." in text
    assert "The application" not in text
    journal = Journal().add("begin").phase("copy", 1.0, "failed")
    report = build(journal.events, plan(), [], context("refused", journal, strategy="migrate"))
    text = " ".join(summary(report).split())
    assert "Refused in phase copy" in text
    assert "holds is not to be used" in text
    assert "The application" not in text


def test_long_lists_are_cut_on_the_page_only() -> None:
    journal = Journal().add("begin")
    many = [{"table": "t", "key": str(i), "column": "c", "source": "x" * 5000, "target": ""} for i in range(5000)]
    journal.phase("verify", 1.0, "failed", tables=[], differences=many)
    report = build(journal.events, plan(), [], context("failed", journal))
    assert len(report["differences"]) == 5000
    assert page(report)["differences"]["more"] == "4,800 more in report.json."
    assert len(render(report)) < 300_000


# ---------------------------------------------------------------- timeline


def bars(report: dict[str, Any], name: str) -> list[tuple[float, float, str]]:
    row = next(row for row in page(report)["timeline"]["rows"] if row["name"] == name)
    return [(float(bar["left"][:-1]), float(bar["width"][:-1]), bar["state"]) for bar in row["bars"]]


def test_bars_stand_where_and_as_long_as_the_phases_were() -> None:
    journal = Journal().add("begin").phase("preflight", 25.0).phase("copy", 50.0).phase("verify", 25.0)
    report = build(journal.events, plan(), [], context("failed", journal))
    assert [bars(report, name)[0][:2] for name in ("preflight", "copy", "verify")] == [
        (0.0, 25.0),
        (25.0, 50.0),
        (75.0, 25.0),
    ]
    assert [tick["text"] for tick in page(report)["timeline"]["ticks"]] == [
        "0 s",
        "25 s",
        "50 s",
        "1 min 15 s",
        "1 min 40 s",
    ]


def test_the_night_between_a_kill_and_the_rerun_is_left_out() -> None:
    journal = Journal().add("begin").phase("preflight", 50.0).add("phase", "copy", "started").wait(9 * 3600)
    journal.phase("copy", 50.0)
    report = build(journal.events, plan(), [], context("failed", journal))
    assert bars(report, "copy") == [(50.0, 0.4, "interrupted"), (50.0, 50.0, "done")]
    assert page(report)["timeline"]["note"] == "Left out: 9 h in which no phase is known to have run."


def test_bars_never_leave_the_axis() -> None:
    journal = Journal().add("begin").phase("preflight", 1000.0).phase("copy", 0.0).add("phase", "report", "started")
    for row in page(build(journal.events, plan(), [], context("failed", journal)))["timeline"]["rows"]:
        for bar in row["bars"]:
            assert float(bar["left"][:-1]) + float(bar["width"][:-1]) <= 100.01


# ---------------------------------------------------------------- terminal


@pytest.mark.parametrize("name", SAMPLES)
def test_the_summary_is_short_plain_and_names_the_report(name: str) -> None:
    report = SAMPLES[name]()
    text = summary(report, "/srv/reports/shop/run")
    assert len(text.splitlines()) <= 25
    assert max(len(line) for line in text.splitlines()) <= 100
    assert all(character.isprintable() or character == "\n" for character in text)
    assert text.startswith("OK ·" if report["ok"] else "NOT OK ·")
    assert "/srv/reports/shop/run/report.html" in text


def test_the_summary_of_many_tables_and_a_long_message_still_fits() -> None:
    rows = {f"table_with_a_rather_long_name_{i}": 10 + i for i in range(300)}
    journal = cutover_journal(rows)
    report = build(journal.events, plan(rows), [], context("released", journal, message="word " * 2000))
    lines = summary(report, "/srv/reports").splitlines()
    assert len(lines) <= 25
    more = next(line for line in lines if line.startswith("  + "))
    shown = sum(1 for line in lines if line.startswith("  table_with"))
    assert more == f"  + {300 - shown} more"
    assert shown >= 4


def test_the_summary_shows_only_the_tables_that_differ() -> None:
    text = summary(failed())
    assert "  orders" in text
    assert "  users" not in text


def test_the_summary_says_what_stays_behind() -> None:
    assert re.search(r"orders +1,041 inserted, 3 updated$", summary(rolled_back()), re.M)


def test_the_preflight_lists_every_finding_with_what_settles_it() -> None:
    findings = [finding(key=str(i)) for i in range(12)] + [finding("warning", message="mind this")]
    text = preflight_summary(preflight(findings, context("", Journal()), plan()), "/srv/r")
    assert text.startswith("NO GO")
    assert text.count("nul: strip") == 13
    assert "mind this" in text
    assert text.endswith("/srv/r/preflight.json")
    go = preflight_summary(preflight([], context("", Journal()), plan()))
    assert go.splitlines() == ["GO · nothing stands against the cutover (0 errors, 0 remarks)"]
