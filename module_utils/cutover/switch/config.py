# SPDX-License-Identifier: GPL-3.0-or-later
"""What the critical section has to know, as plain data from a module's arguments or a file, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..errors import CutoverError, PlanError
from ..plan.model import Plan
from ..plan.model import from_dict as plan_from_dict
from ..target.connect import Url

#: What stands in the name of every fence of an online cutover, so that it is told from one of a maintenance window.
_MARK = "-online-"
#: Milliseconds of the lease that are left for opening PostgreSQL and switching the route, at least.
RESERVE_MS = 200


@dataclass(frozen=True)
class Config:
    """One migration's critical section.

    proxies: what ``proxy.Proxies`` takes. hold: which requests wait, ``all`` or ``writes``. budget_ms: how long they may
    wait until the decision; beyond it they are let go and it is tried again. lease_ms: when the proxies let them go by
    themselves. attempts: how often it is tried, with pause_seconds between. catch_up_seconds: for applying what waits
    before the hold. settle_seconds: how long a decided switch is tried when PostgreSQL or a proxy does not answer.
    verified: the caller has proved all rows at a position from which the log is followed. verify: compare all rows
    after the switch, with so many workers (0: one for each core), each of which rests for the share ``throttle`` of its
    time. blue_ports, green_ports: where the instances listen on this host; who is connected there past the proxies
    (proxy_addresses: those on other hosts) would not be held.
    """

    name: str
    state_dir: str
    run: str
    source_path: str
    target_url: str
    plan: Plan
    application_role: str
    proxies: tuple[Any, ...]
    hold: str = "all"
    budget_ms: int = 100
    lease_ms: int = 800
    attempts: int = 5
    pause_seconds: float = 2.0
    catch_up_seconds: float = 600.0
    settle_seconds: float = 60.0
    verified: bool = False
    verify: bool = True
    workers: int = 0
    throttle: float = 0.0
    blue_ports: tuple[int, ...] = ()
    green_ports: tuple[int, ...] = ()
    proxy_addresses: tuple[str, ...] = ()
    progress_file: str | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of requests that are held, and waited for."""
        return ("read", "write") if self.hold == "all" else ("write",)

    def attempt(self, number: str) -> str:
        """The identifier of one attempt, which is the fence's too."""
        return f"{self.run}{_MARK}{number}"


def is_online(fence: str | None) -> bool:
    """Whether a fence is that of an online cutover."""
    return fence is not None and _MARK in fence


def from_dict(data: Mapping[str, Any]) -> Config:
    """The configuration; fields that other programs read from the same data are passed over. Raises CutoverError."""
    known = {field.name for field in fields(Config)}
    given = {name: value for name, value in data.items() if name in known and value is not None}
    try:
        plan = given["plan"]
        given["plan"] = plan if isinstance(plan, Plan) else plan_from_dict(plan)
    except (KeyError, TypeError) as error:
        raise PlanError(
            f"the plan is incomplete or of another version of pg-cutover ({error}); derive it again."
        ) from None
    for name in ("proxies", "blue_ports", "green_ports", "proxy_addresses"):
        given[name] = tuple(given.get(name, ()))
    given["target_url"] = Url(given["target_url"])
    try:
        config = Config(**given)
    except TypeError as error:
        raise CutoverError(f"the configuration of the switch is incomplete: {error}.") from None
    _check(config)
    return config


def _check(config: Config) -> None:
    if config.hold not in ("all", "writes"):
        raise CutoverError(f"cutover_hold is {config.hold!r}; it must be all or writes.")
    if not config.proxies:
        raise CutoverError("there is no proxy in front of the application, so its writes cannot be held.")
    if config.budget_ms < 10 or config.attempts < 1:
        raise CutoverError("the budget of the hold must be 10 ms or more, and there must be one attempt or more.")
    if config.lease_ms < config.budget_ms + RESERVE_MS:
        raise CutoverError(
            f"the lease of the hold ({config.lease_ms} ms) must be {RESERVE_MS} ms longer than its budget "
            f"({config.budget_ms} ms), or the proxies would let requests go while the sides change."
        )
