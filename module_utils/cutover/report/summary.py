# SPDX-License-Identifier: GPL-3.0-or-later
"""What the terminal shows at the end: at most 25 lines of plain text, 100 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from . import sentences
from .attempts import seconds_between
from .decide import as_yaml
from .rehearsed import told as predicted
from .words import duration, number, plural, size, visible

LINES = 25
#: At most so many tables or refusals, even where more would fit.
MOST = 15
#: At most so many findings of a preflight: that is the list to work through. All are in preflight.json.
MOST_FINDINGS = 40
_COLUMNS = 100
_INDENT = 9
_NAME = 28


def summary(report: Mapping[str, Any], folder: str = "") -> str:
    """The verdict, figures, tables (those that differ, or the first), where the report lies, what is next."""
    above = [
        f"{'OK' if report['ok'] else 'NOT OK'} · {sentences.headline(report)}",
        "",
        *_told("What", report["message"], most=5),
        *_told("Data", sentences.where(report)),
        *_told("Back", sentences.way_back(report)),
        *_told("Checked", sentences.rows_proven(report)),
        *_told("Took", _took(report)),
        *_predicted(report),
    ]
    below = [*_path(folder, "report.html"), *_told("Next", sentences.next_step(report))]
    head, rows = _middle(report)
    room = max(1, min(MOST, LINES - len(above) - len(below) - len(head)))
    if len(rows) > room:
        rows = [*rows[: room - 1], f"  + {number(len(rows) - room + 1)} more"]
    return "\n".join([*above, *head, *rows, *below])


def preflight_summary(preflight: Mapping[str, Any], folder: str = "", decisions: bool = False) -> str:
    """Go or no-go, and every finding with what settles it, worst first; decisions: their entries are in one file."""
    findings = preflight["findings"]
    errors = sum(1 for finding in findings if finding["severity"] == "error")
    verdict = "GO · nothing stands against the cutover" if preflight["ok"] else "NO GO · the cutover would be refused"
    lines = [f"{verdict} ({plural(errors, 'error')}, {plural(len(findings) - errors, 'remark')})"]
    for finding in findings[:MOST_FINDINGS]:
        lines += _wrapped(f"  {finding['severity']}: ", sentences.decision(finding), 4)
        lines += [f"      {visible(line)}" for line in as_yaml(finding["decide"]).split("\n") if line]
    if len(findings) > MOST_FINDINGS:
        lines.append(f"  + {number(len(findings) - MOST_FINDINGS)} more")
    if decisions:
        lines += _told("Decide", "all entries above in one file; read and edit it, then add to the command:")
        lines.append(f"{'':<{_INDENT}}-e @{visible(folder)}/decisions.yml")
    return "\n".join([*lines, *_path(folder, "preflight.json")])


def _path(folder: str, name: str) -> list[str]:
    # Never wrapped: a path is there to be copied.
    return [f"{'Report:':<{_INDENT}}{visible(f'{folder}/{name}')}"] if folder else []


def _told(label: str, text: str, most: int = 3) -> list[str]:
    return _wrapped(f"{label + ':':<{_INDENT}}", text, _INDENT, most) if text else []


def _wrapped(start: str, text: str, indent: int, most: int = 3) -> list[str]:
    return textwrap.wrap(
        start + visible(text),
        _COLUMNS,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        max_lines=most,
        placeholder=" …",
    )


def _took(report: Mapping[str, Any]) -> str:
    whole = duration(seconds_between(report["started"], report["finished"]))
    parts = [
        f"{phase['name']} {duration(phase['seconds'])}"
        for phase in report["phases"]
        if phase["name"] in ("copy", "indexes", "verify") and phase["state"] == "done"
    ]
    return f"{whole} ({', '.join(parts)})" if parts else whole


def _predicted(report: Mapping[str, Any]) -> list[str]:
    figures = predicted(report["rehearsal"]) if report.get("rehearsal") else []
    return ["Predicted:", *(_cut(f"  {label + ':':<25} {text}") for label, text in figures)] if figures else []


def _middle(report: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The list that matters most: refusals, writes left behind, or the tables; with its head."""
    if report["refused"]:
        return [], [_cut(f"  {sentences.decision(item)}") for item in report["refused"]]
    if report["writes_left_behind"]:
        return ["Writes that only PostgreSQL holds:"], [
            f"  {visible(item['table'], _NAME):<{_NAME}} {sentences.left_behind(item)}"
            for item in report["writes_left_behind"]
        ]
    tables = [table for table in report["tables"] if table["rows_source"] is not None]
    if not tables:
        return [], []
    wrong = [table for table in tables if not sentences.equal(table)]
    head = f"  {'table':<{_NAME}} {'source rows':>14} {'target rows':>14} {'different':>10} {'size':>10}"
    return [head], [_table(table) for table in wrong or tables]


def _table(table: Mapping[str, Any]) -> str:
    different = [table[key] for key in ("rows_different", "rows_only_source", "rows_only_target")]
    total = sum(different) if all(isinstance(item, int) for item in different) else None
    return (
        f"  {visible(table['name'], _NAME):<{_NAME}} {number(table['rows_source']):>14}"
        f" {number(table['rows_target']):>14} {number(total):>10} {size(table['bytes']):>10}"
    )


def _cut(line: str) -> str:
    return line if len(line) <= _COLUMNS else line[: _COLUMNS - 1] + "…"
