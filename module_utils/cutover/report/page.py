# SPDX-License-Identifier: GPL-3.0-or-later
"""Prepares report.html: every text of the page, escaped. The template only lays them out.

Escaping is done here, for all texts at once, because a template could forget one: Ansible renders templates
with Jinja's autoescape off, and a block that turns it on has no effect there.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

from . import sentences
from .attempts import seconds_between
from .decide import as_yaml
from .rehearsed import told as predicted
from .timeline import timeline
from .words import (
    NOTHING,
    describe,
    duration,
    is_number,
    milliseconds,
    number,
    place,
    plural,
    rate,
    size,
    visible,
    when,
)

#: More rows than this make a page that no browser likes. All of them are in report.json.
MOST = 200
_LONG = 240


def page(report: Mapping[str, Any]) -> dict[str, Any]:
    """The page as texts escaped for HTML, in its order. An empty one is a section that is left out."""
    escaped: dict[str, Any] = _escaped(_page(report))
    return escaped


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return html.escape(value) if isinstance(value, str) else value


def _page(report: Mapping[str, Any]) -> dict[str, Any]:
    rolled_back = report["outcome"] == "rolled_back"
    tables = [_table(table) for table in report["tables"]]
    touched = any(table["equal"] != "unknown" or table["size"] != NOTHING for table in tables)
    return {
        "name": visible(report["name"]),
        "run": visible(report["run"]),
        "strategy": visible(report["strategy"]),
        "started": when(report["started"]),
        "finished": when(report["finished"]),
        "tone": sentences.tone(report),
        "headline": sentences.headline(report),
        "facts": _facts(report),
        "problems": [visible(problem) for problem in report["problems"]],
        "figures": _figures(report),
        "tables": sorted(tables, key=lambda table: ("no", "unknown", "yes").index(table["equal"])) if touched else [],
        "tables_total": _total(report),
        "show_sides": any(
            table["only_source"] not in ("0", NOTHING) or table["only_target"] not in ("0", NOTHING) for table in tables
        ),
        "differences": _capped(report["differences"], _difference),
        "decisions": _capped(_undecided(report), _decision),
        "remarks": _capped([one for one in report["findings"] if one["severity"] != "error"], _decision),
        "timeline": timeline(report),
        "not_carried": _capped([] if rolled_back else report["not_carried"], _not_carried),
        "rules": _capped(report["rules"], _rule),
        "quarantined": _capped([one for one in report["quarantined"] if one["rows"]], _quarantined),
        "left_behind": _capped(report["writes_left_behind"], _left_behind),
        "watch": _watch(report["watch"]),
        "critical_section": _critical_section(report["critical_section"]),
        "rehearsal": [
            {"label": label, "value": text}
            for label, text in (predicted(report["rehearsal"]) if report["rehearsal"] else [])
        ],
        "backup": _backup(report["backup"]),
        "before": describe(report["database_before"]),
        "after": describe(report["database_after"]),
        "source": _source(report["source"]),
        "target": _target(report),
    }


def _capped(items: Iterable[Mapping[str, Any]], write: Any) -> dict[str, Any]:
    """At most MOST items; ``more`` says how many only report.json holds.

    No key is named like a method of dict: in a template ``x.items`` would be the method.
    """
    every = list(items)
    more = len(every) - MOST
    return {
        "rows": [write(item) for item in every[:MOST]],
        "count": number(len(every)),
        "more": f"{number(more)} more in report.json." if more > 0 else "",
    }


def _facts(report: Mapping[str, Any]) -> list[dict[str, str]]:
    told = [
        ("What happened", visible(report["message"])),
        ("Checked", sentences.rows_proven(report)),
        ("Where the data is", sentences.where(report)),
        ("Going back", sentences.way_back(report)),
        ("Next", sentences.next_step(report)),
    ]
    return [{"label": label, "text": text} for label, text in told if text]


def _figures(report: Mapping[str, Any]) -> list[dict[str, str]]:
    figures = [] if report["outcome"] == "rolled_back" else _figures_of_data(report)
    if report["writes_left_behind"]:
        writes = sum(_sum(report["writes_left_behind"], key) for key in ("inserted", "updated", "deleted"))
        figures.append(("writes only in PostgreSQL", number(writes)))
    figures.append(("whole run", duration(seconds_between(report["started"], report["finished"]))))
    paused = _maintenance(report)
    if paused is not None:
        figures.append(("in maintenance", duration(paused)))
    return [{"label": label, "value": value} for label, value in figures]


def _figures_of_data(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    tables, source = report["tables"], report["source"]
    compared = [table for table in tables if is_number(table["rows_source"])]
    figures = []
    if compared:
        equal = sum(1 for table in compared if sentences.equal(table))
        figures.append(("rows compared", number(_sum(compared, "rows_source"))))
        figures.append(("tables equal", f"{number(equal)} of {number(len(tables))}"))
    elif source["rows"] is not None:
        figures.append(("rows in the source", number(source["rows"])))
        figures.append(("tables", number(source["tables"])))
    moved = _sum(tables, "bytes")
    seconds = next((phase["seconds"] for phase in report["phases"] if phase["name"] == "copy"), 0)
    if moved:
        figures.append((f"copied, {rate(moved, seconds)} MB/s" if seconds else "copied", size(moved)))
    elif source["size_bytes"] is not None:
        figures.append(("source file", size(source["size_bytes"])))
    return figures


def _maintenance(report: Mapping[str, Any]) -> float | None:
    """Seconds from maintenance on to off, whichever way it ended; None when either is not known."""
    ended = {phase["name"]: phase for phase in report["phases"] if phase["state"] == "done"}
    on = ended.get("rollback_maintenance" if report["outcome"] == "rolled_back" else "maintenance")
    off = (
        ended.get("release")
        if report["outcome"] == "released"
        else (ended.get("rollback_release") or ended.get("put_back"))
    )
    if on is None or off is None:
        return None
    last = off["attempts"][-1]
    return seconds_between(on["started"], last["started"]) + (last["seconds"] or 0.0)


def _sum(tables: Iterable[Mapping[str, Any]], key: str) -> float:
    values: list[float] = [table[key] for table in tables if is_number(table[key])]
    return sum(values)


def _table(table: Mapping[str, Any]) -> dict[str, str]:
    name, target = visible(table["name"]), visible(table["target"])
    known = table["rows_source"] is not None or table["rows_target"] is not None
    checksum = visible(table["checksum"])
    return {
        "name": name,
        "target": "" if target in (name, NOTHING) else target,
        "equal": ("yes" if sentences.equal(table) else "no") if known else "unknown",
        "rows_source": number(table["rows_source"]),
        "rows_target": number(table["rows_target"]),
        "different": number(table["rows_different"]),
        "only_source": number(table["rows_only_source"]),
        "only_target": number(table["rows_only_target"]),
        "checksum": checksum,
        "checksum_short": checksum[:10] + "…" if len(checksum) > 12 else checksum,
        "size": size(table["bytes"]),
        "copied_in": duration(table["copy_seconds"]),
        "rate": rate(table["bytes"], table["copy_seconds"]),
        "verified_in": duration(table["verify_seconds"]),
    }


def _total(report: Mapping[str, Any]) -> dict[str, str]:
    tables = report["tables"]
    return {
        "name": plural(len(tables), "table"),
        "rows_source": number(_sum(tables, "rows_source")),
        "rows_target": number(_sum(tables, "rows_target")),
        "different": number(_sum(tables, "rows_different")),
        "only_source": number(_sum(tables, "rows_only_source")),
        "only_target": number(_sum(tables, "rows_only_target")),
        "size": size(_sum(tables, "bytes") or None),
    }


def _undecided(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Error findings, then the refusals that no finding tells of already."""
    errors = [one for one in report["findings"] if one["severity"] == "error"]
    known = {place(one) for one in errors}
    return errors + [one for one in report["refused"] if place(one) not in known]


def _decision(item: Mapping[str, Any]) -> dict[str, str]:
    return {
        "severity": visible(item.get("severity") or "refused"),
        "place": place(item),
        "text": visible(item.get("message") or item.get("reason"), 4 * _LONG),
        "value": "" if item.get("value") is None else visible(item["value"], _LONG),
        "entry": "\n".join(visible(line) for line in as_yaml(item.get("decide")).split("\n")),
    }


def _difference(item: Mapping[str, Any]) -> dict[str, str]:
    shown = {key: visible(item[key], 80) for key in ("table", "key", "column")}
    return {**shown, "in_source": _stored(item["source"]), "in_target": _stored(item["target"])}


def _stored(value: object) -> str:
    return "NULL" if value is None else visible(value, _LONG)


def _not_carried(item: Mapping[str, Any]) -> dict[str, str]:
    return {key: visible(item[key] or "") for key in ("object", "kind", "reason", "hint")}


def _rule(item: Mapping[str, Any]) -> dict[str, str]:
    where = {"table": visible(item["table"]), "column": visible(item["column"])}
    return {**where, "rule": visible(item["rule"]), "touched": number(item["count"])}


def _quarantined(item: Mapping[str, Any]) -> dict[str, str]:
    keys = item["keys"] if isinstance(item["keys"], list) else []
    more = item["rows"] - len(keys) if is_number(item["rows"]) else 0
    shown = ", ".join(visible(key, 60) for key in keys) + (f" and {number(more)} more" if more > 0 else "")
    return {
        "table": visible(item["table"]),
        "count": number(item["rows"]),
        "shown": shown,
        "reason": visible(item["reason"], _LONG),
    }


def _left_behind(item: Mapping[str, Any]) -> dict[str, str]:
    return {
        "table": visible(item["table"]),
        **{key: number(item[key]) for key in ("inserted", "updated", "deleted")},
    }


def _watch(watch: Mapping[str, Any] | None) -> list[dict[str, str]]:
    if not watch:
        return []
    told = [
        ("watched for", duration(watch["seconds"])),
        ("requests", number(watch["requests"])),
        ("errors", number(watch["errors"])),
        ("median", milliseconds(watch["p50_ms"])),
        ("95 of 100 within", milliseconds(watch["p95_ms"])),
        ("slowest", milliseconds(watch["max_ms"])),
    ]
    return [{"label": label, "value": value} for label, value in told]


def _critical_section(figures: Mapping[str, Any] | None) -> list[dict[str, str]]:
    if not figures:
        return []
    told = [
        ("requests held for", milliseconds(figures["hold_ms"])),
        ("waited for requests under way", milliseconds(figures["waited_ms"])),
        ("changes applied meanwhile", number(figures["drained"])),
        ("time for these", milliseconds(figures["drain_ms"])),
        ("attempts", number(figures["attempts"])),
    ]
    return [{"label": label, "value": value} for label, value in told]


def _backup(backup: Mapping[str, Any] | None) -> list[dict[str, str]]:
    if not backup:
        return []
    told = [
        ("file", visible(backup["path"])),
        ("size", size(backup["bytes"])),
        ("SHA-256", visible(backup["sha256"])),
    ]
    return [{"label": label, "value": value} for label, value in told]


def _source(source: Mapping[str, Any]) -> str:
    version = f"SQLite {visible(source['sqlite_version'])}" if source["sqlite_version"] else ""
    mode = f"journal_mode={visible(source['journal_mode'])}" if source["journal_mode"] else ""
    file_size = size(source["size_bytes"]) if source["size_bytes"] is not None else ""
    return ", ".join(filter(None, [visible(source["path"]), version, mode, file_size]))


def _target(report: Mapping[str, Any]) -> str:
    version = report["target"]["server_version"]
    return sentences.target_name(report) + (f", server {visible(version)}" if version else "")
