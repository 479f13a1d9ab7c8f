# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors and findings: what is wrong, where, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

#: Longest piece of a stored value that is shown to a person.
SAMPLE_LENGTH = 80


@dataclass(frozen=True)
class Finding:
    """One thing an operator has to know before the cutover.

    severity: ``error`` stops the run, ``warning`` and ``info`` do not.
    decide: the lines for ``cutover_plan_overrides`` that settle it, or None when only the data or the server can.
    """

    severity: str
    message: str
    table: str | None = None
    column: str | None = None
    key: str | None = None
    value: str | None = None
    decide: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The finding as plain data, in the order of the report."""
        return asdict(self)


class CutoverError(Exception):
    """A failure with one clear message. ``findings`` hold the single places where there are several."""

    def __init__(self, message: str, findings: list[Finding] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.findings: list[Finding] = list(findings or [])

    def __reduce__(self) -> Any:
        # Workers hand their errors to the parent by pickle.
        return (type(self), (self.message, self.findings))


class SourceError(CutoverError):
    """The SQLite file cannot be used as it is."""


class SourceChanged(SourceError):
    """The source's structure, or the capture in it, is no longer what was installed: following has to start over."""


class TargetError(CutoverError):
    """PostgreSQL cannot be reached or cannot be used as it is."""


class PlanError(CutoverError):
    """The plan or an override in it contradicts itself or the source."""


class Refused(CutoverError):
    """A value or an object cannot be carried exactly; nothing was changed for its sake."""


class NoWayBack(CutoverError):
    """PostgreSQL holds what the source cannot take back as it is; it has to be mended there, or in the source."""


class Unfit(ValueError):
    """A codec does not accept a value. Carries the reason only; the caller knows table, column and key."""


@dataclass(frozen=True)
class Refusal:
    """A stored value that the plan's codec does not accept."""

    table: str
    column: str
    key: str
    value: str
    reason: str
    decide: dict[str, Any] | None = field(default=None)

    def as_dict(self) -> dict[str, Any]:
        """The refusal as plain data, in the order of the report."""
        return asdict(self)

    def as_finding(self, count: int = 1) -> Finding:
        """The refusal as an error finding; ``count`` says how many such values the column holds."""
        more = f" ({count} such values)" if count > 1 else ""
        return Finding("error", self.reason + more, self.table, self.column, self.key, self.value, self.decide)


def sample(value: object) -> str:
    """A short, printable form of a stored value: type visible, at most SAMPLE_LENGTH characters."""
    if isinstance(value, bytearray):
        value = bytes(value[: SAMPLE_LENGTH * 4]).decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        text = repr(value)
    elif isinstance(value, bytes):
        text = "x'" + value[: SAMPLE_LENGTH // 2].hex() + "'"
    else:
        text = "NULL" if value is None else repr(value)
    return text if len(text) <= SAMPLE_LENGTH else text[: SAMPLE_LENGTH - 1] + "…"
