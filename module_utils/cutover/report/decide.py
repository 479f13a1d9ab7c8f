# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a plan entry as YAML that can be copied into ``cutover_plan_overrides``.

Only what JSON can hold: mappings, lists, texts, numbers, true, false and null.
The engine has no PyYAML at hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

#: Texts that YAML 1.1 and 1.2 both read as themselves without quotes.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_WORDS = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "nan", "inf"])
#: JSON leaves these alone, YAML does not take them as they are.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def as_yaml(entry: object) -> str:
    """The entry as YAML without a last newline; empty for None. A text is YAML already."""
    if entry is None or entry == "":
        return ""
    return entry.strip("\n") if isinstance(entry, str) else "\n".join(_lines(entry))


def together(findings: Iterable[Mapping[str, Any]], overrides: Mapping[str, Any]) -> str:
    """``cutover_plan_overrides`` as they are with the entries of all findings, as YAML; empty when none has an entry.

    Where two findings propose something for one column, the later one has seen more of its values.
    """
    entries = [finding["decide"] for finding in findings if isinstance(finding.get("decide"), Mapping)]
    if not entries:
        return ""
    merged: dict[str, Any] = dict(overrides)
    for entry in entries:
        merged = _merged(merged, entry)
    return as_yaml({"cutover_plan_overrides": merged})


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        mine = result.get(key)
        if not (isinstance(mine, Mapping) and isinstance(value, Mapping)):
            result[key] = value
        elif "codec" in value:
            # Type and rules belong to their codec: those of another one must not stay behind.
            result[key] = {**{k: v for k, v in mine.items() if k not in ("type", "rule", "rules")}, **value}
        else:
            result[key] = _merged(mine, value)
    return result


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict) and value:
        return [line for key, item in value.items() for line in _under(f"{_scalar(str(key))}:", item)]
    if isinstance(value, (list, tuple)) and value:
        return [line for item in value for line in _in_list(item)]
    return [_scalar(value)]


def _under(key: str, item: Any) -> list[str]:
    if isinstance(item, (dict, list, tuple)) and item:
        return [key, *("  " + line for line in _lines(item))]
    return [f"{key} {_scalar(item)}"]


def _in_list(item: Any) -> list[str]:
    first, *rest = _lines(item)
    return [f"- {first}", *("  " + line for line in rest)]


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
            return value
        quoted = json.dumps(value, ensure_ascii=False)
        return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", quoted)
    if isinstance(value, (dict, list, tuple)):
        return "{}" if isinstance(value, dict) else "[]"
    text = json.dumps(value, default=str)
    # 1e-05 is a number in JSON and in YAML 1.2; YAML 1.1, which Ansible reads, wants 1.0e-05.
    return re.sub(r"^(-?\d+)e", r"\1.0e", text) if isinstance(value, float) else text
