# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxies in front of the application: hold requests, choose the side, see what is under way.

One proxy is a map with three keys, which its configuration (role haproxy) looks up for every request: ``route``
(blue or green), ``hold`` (0, or until when requests are parked, in epoch milliseconds of the proxy's clock) and
``maintenance``. Backends are named ``<side>_read`` and ``<side>_write``.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from . import mapfile
from .runtime import Endpoint, ProxyError, Runtime, wait_idle

__all__ = ["BLUE", "GREEN", "KINDS", "SIDES", "Endpoint", "Proxies", "Proxy", "ProxyError"]

BLUE = "blue"
GREEN = "green"
SIDES = (BLUE, GREEN)
KINDS = ("read", "write")
#: Between two questions for what is in flight.
POLL_SECONDS = 0.001
#: A proxy whose clock is further away than this is not trusted with a deadline, in seconds.
MOST_CLOCK_SKEW = 3600.0

Result = TypeVar("Result")


class Proxy:
    """One proxy. Every call ends within ``timeout`` seconds, with an answer or with ProxyError naming the proxy."""

    def __init__(self, endpoint: Endpoint | Mapping[str, Any], timeout: float = 1.0) -> None:
        self.endpoint = endpoint if isinstance(endpoint, Endpoint) else Endpoint.from_dict(endpoint)
        self.runtime = Runtime(self.endpoint, timeout, keep=True)
        #: What went wrong without harm, such as a map file that could not be written.
        self.notes: list[str] = []
        self._known: set[str] = set()
        self._skew = 0.0
        self._pid = ""

    def __str__(self) -> str:
        return str(self.endpoint)

    # ---- before

    def check(self, sides: Sequence[str] = SIDES) -> None:
        """Find out whether this proxy can take part. Call it right before the hold: it connects, and measures the clock.

        Raises ProxyError: no answer, no such map, a backend of ``sides`` missing, an old process that still serves.
        """
        self.runtime.close()
        self._known = set(self._entries())
        self.runtime.backends(_backends(sides, KINDS))
        self._skew = self.runtime.clock()
        if abs(self._skew) > MOST_CLOCK_SKEW:
            raise ProxyError(
                f"The clock of HAProxy at {self} is {self._skew:+.0f} s away from this host's; set it right."
            )
        self._pid = self.runtime.process().get("Pid", "")
        if self.endpoint.local:
            old = older_workers(self._pid)
            if old:
                raise ProxyError(
                    f"HAProxy at {self} was reloaded, and its old process {', '.join(old)} still serves requests, which "
                    "no hold would reach. It ends within hard-stop-after; try again then."
                )

    def healthy(self, side: str) -> bool:
        """Whether every server of the side is up, and there is one."""
        return not self.unhealthy(side)

    def unhealthy(self, side: str) -> list[str]:
        """Why requests should not be sent to a side, one sentence each; empty: it is healthy."""
        names = _backends([side], KINDS)
        rows = self.runtime.statistics()
        reasons = []
        for name in names:
            servers = [
                row for row in rows if row.get("pxname") == name and row.get("svname") not in ("BACKEND", "FRONTEND")
            ]
            if not servers:
                reasons.append(f"{self}: backend {name} has no server")
            reasons += [f"{self}: server {name}/{row['svname']} {said}" for row in servers if (said := _ill(row))]
        return reasons

    # ---- the hold

    def hold(self, deadline_ms: int) -> None:
        """Park requests until ``release``, at the longest until ``deadline_ms`` (epoch milliseconds of *this* host).

        Confirmed by reading it back. Raises ProxyError; then the proxy may hold or not: release it.
        """
        if not self._pid:
            self.check(())
        self._same_process()
        value = self._deadline(deadline_ms)
        # The file as well: a proxy that is reloaded now goes on holding, and the deadline in it passes by itself.
        self._file({"hold": value})
        self._set("hold", value)

    def confirm(self, deadline_ms: int) -> None:
        """Ask again whether the hold stands. The last thing before the point of no return.

        Raises ProxyError when the process is another one than at ``check``, ends after a reload, holds something else, or
        the deadline has passed by its clock.
        """
        self._same_process()
        value = self._deadline(deadline_ms)
        found = self._entries().get("hold")
        if found != value:
            raise ProxyError(f"HAProxy at {self} does not hold any more (hold is {found}, not {value})")
        if (time.time() + self.runtime.clock()) * 1000 >= int(value):
            raise ProxyError(f"The hold of HAProxy at {self} has expired.")

    def release(self) -> None:
        """Let requests go on. Confirmed."""
        self._everywhere("hold", "0")
        self._file({"hold": "0"})

    def route(self, side: str) -> None:
        """Send the requests that come from now on to ``side``. Confirmed. On this host the file says so first."""
        if side not in SIDES:
            raise ProxyError(f"there is no side {side!r}; known are {', '.join(SIDES)}")
        self._file({"route": side})
        self._everywhere("route", side)

    # ---- what is under way

    def in_flight(self, side: str, kinds: Iterable[str] = KINDS) -> int:
        """Requests at the servers of a side or queued for them. Parked requests are not among them."""
        return self.runtime.in_flight(_backends([side], kinds))

    def state(self) -> dict[str, Any]:
        """{name, route, hold, held_ms, maintenance, healthy: {side: bool}, in_flight: {backend: int}, version, pid}.

        hold is the key as it is; held_ms is how long it lasts yet, 0 when nothing is held.
        """
        entries = self._entries()
        info = self.runtime.process()
        rows = self.runtime.statistics()
        present = {row["pxname"]: row for row in rows if row.get("svname") == "BACKEND"}
        sides = [side for side in SIDES if set(_backends([side], KINDS)) <= set(present)]
        hold = entries.get("hold", "0")
        now = (time.time() + self.runtime.clock()) * 1000
        return {
            "name": self.endpoint.name,
            "route": entries.get("route", BLUE),
            "hold": hold,
            "held_ms": max(0, int(hold) - int(now)) if hold.isdigit() else 0,
            "maintenance": entries.get("maintenance", "off"),
            "healthy": {side: self.healthy(side) for side in sides},
            "in_flight": {
                name: int(present[name]["scur"] or 0) + int(present[name]["qcur"] or 0)
                for name in _backends(sides, KINDS)
            },
            "version": info.get("Version", ""),
            "pid": info.get("Pid", ""),
        }

    def close(self) -> None:
        """End the connection."""
        self.runtime.close()

    # ---- inside

    def _entries(self) -> dict[str, str]:
        return self.runtime.map_entries(self.endpoint.map_path)

    def _deadline(self, deadline_ms: int) -> str:
        """This host's time as the proxy's."""
        return str(int(deadline_ms + round(self._skew * 1000)))

    def _same_process(self) -> None:
        """Raise ProxyError when a restart or a reload came between ``check`` and now."""
        info = self.runtime.process()
        if info.get("Pid") != self._pid or info.get("Stopping", "0") != "0":
            raise ProxyError(f"HAProxy at {self} was restarted or reloaded while the switch was under way; try again.")

    def _everywhere(self, key: str, value: str) -> None:
        """Set one key, also in the process of a reload that came meanwhile."""
        self._set(key, value)
        if self.runtime.process().get("Stopping", "0") != "0":
            self.runtime.close()
            self._known = set()
            self._set(key, value)

    def _set(self, key: str, value: str) -> None:
        """Set one key in memory and read it back."""
        if not self._known:
            self._known = set(self._entries())
        self.runtime.set_entry(self.endpoint.map_path, key, value, key in self._known)
        entries = self._entries()
        self._known = set(entries)
        if entries.get(key) != value:
            raise ProxyError(f"HAProxy at {self} took {key}={value}, but answers {key}={entries.get(key)}")

    def _file(self, entries: Mapping[str, str]) -> None:
        """The same in the file, where it is on this host. What HAProxy has in memory counts, so a failure is a note."""
        path = self.endpoint.map_path
        if not self.endpoint.local:
            return
        try:
            text = mapfile.text_of(path)
            wanted = mapfile.with_entries(text, entries)
            if wanted != text:
                mapfile.write(path, wanted, durable="route" in entries)
        except OSError as error:
            said = ", ".join(f"{key} {value}" for key, value in entries.items())
            self.notes.append(f"{path} could not be written ({error}): a restart of HAProxy would not know {said}")


class Proxies:
    """All proxies, spoken to at the same time: a call takes as long as the slowest."""

    def __init__(self, endpoints: Iterable[Endpoint | Mapping[str, Any]], timeout: float = 1.0) -> None:
        """timeout: seconds that any one answer may take."""
        self.proxies = [Proxy(endpoint, timeout) for endpoint in endpoints]
        if not self.proxies:
            raise ProxyError("there is no proxy; the online strategy needs one (group proxy)")
        # Threads that exist already: starting them would be part of the hold.
        self._pool = ThreadPoolExecutor(max_workers=len(self.proxies), thread_name_prefix="proxy")

    def __enter__(self) -> Proxies:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End connections and threads."""
        self._pool.shutdown(wait=True)
        for proxy in self.proxies:
            proxy.close()

    @property
    def notes(self) -> list[str]:
        """What went wrong without harm, from all proxies."""
        return [note for proxy in self.proxies for note in proxy.notes]

    def check(self, sides: Sequence[str] = SIDES) -> None:
        """All proxies can take part. Raises ProxyError naming those that cannot."""
        self._all(lambda proxy: proxy.check(sides))

    def hold(self, deadline_ms: int) -> None:
        """Park requests at all proxies, confirmed by all. Raises ProxyError with nothing held any more."""
        try:
            self._all(lambda proxy: proxy.hold(deadline_ms))
        except ProxyError:
            # The error names the proxy; one that does not answer now lets go at the deadline.
            with contextlib.suppress(ProxyError):
                self.release()
            raise

    def confirm(self, deadline_ms: int) -> None:
        """The hold stands at all proxies, and none was restarted since ``check``. Raises ProxyError."""
        self._all(lambda proxy: proxy.confirm(deadline_ms))

    def release(self) -> None:
        """Let requests go on everywhere. Tries all proxies, then raises ProxyError naming those that failed."""
        self._all(lambda proxy: proxy.release())

    def route(self, side: str) -> None:
        """Send requests to ``side`` everywhere. Tries all proxies, then raises ProxyError naming those that failed.

        Requests must be held meanwhile: the proxies do not switch in the same microsecond.
        """
        self._all(lambda proxy: proxy.route(side))

    def in_flight(self, side: str, kinds: Iterable[str] = KINDS) -> int:
        """Requests under way on a side, all proxies together."""
        wanted = tuple(kinds)
        return sum(self._all(lambda proxy: proxy.in_flight(side, wanted)))

    def wait_idle(self, side: str, kinds: Iterable[str], until: float) -> float:
        """Wait until nothing is under way on a side, seen twice in a row; returns the seconds it took.

        until: ``time.monotonic()`` at which to give up. Raises ProxyError with the number that was left.
        """
        wanted = tuple(kinds)
        return wait_idle(lambda: self.in_flight(side, wanted), _backends([side], wanted), until, POLL_SECONDS)

    def healthy(self, side: str) -> bool:
        """Whether all proxies see every server of the side up."""
        return not self.unhealthy(side)

    def unhealthy(self, side: str) -> list[str]:
        """Why requests should not be sent to a side; empty: all proxies see it healthy."""
        return [reason for reasons in self._all(lambda proxy: proxy.unhealthy(side)) for reason in reasons]

    def state(self) -> list[dict[str, Any]]:
        """The state of each proxy; one that does not answer is {name, error}."""

        def ask(proxy: Proxy) -> dict[str, Any]:
            try:
                return proxy.state()
            except ProxyError as error:
                return {"name": proxy.endpoint.name, "error": error.message}

        return self._all(ask)

    def _all(self, work: Callable[[Proxy], Result]) -> list[Result]:
        """Do it at every proxy; raise one ProxyError for all that failed, after every one was tried."""
        if len(self.proxies) == 1:
            return [work(self.proxies[0])]
        futures = [self._pool.submit(work, proxy) for proxy in self.proxies]
        results: list[Result] = []
        errors: list[str] = []
        for future in futures:
            try:
                results.append(future.result())
            except ProxyError as error:
                errors.append(error.message)
        if errors:
            raise ProxyError("; ".join(errors))
        return results


def older_workers(pid: str) -> list[str]:
    """Processes that a reload replaced and that still serve, beside the worker ``pid`` on this host.

    They are the other children of its parent. Empty when that cannot be seen, or HAProxy runs without a master.
    """
    try:
        with open(f"/proc/{int(pid)}/stat", encoding="utf-8", errors="replace") as file:
            name, parent = _name_and_parent(file.read())
        with open(f"/proc/{parent}/stat", encoding="utf-8", errors="replace") as file:
            if _name_and_parent(file.read())[0] != name:
                return []
    except (OSError, ValueError):
        return []
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or entry == pid:
            continue
        with (
            contextlib.suppress(OSError, ValueError),
            open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file,
        ):
            # A zombie serves nothing.
            text = file.read()
            if _name_and_parent(text) == (name, parent) and text.rpartition(")")[2].split()[0] != "Z":
                found.append(entry)
    return sorted(found, key=int)


def _name_and_parent(text: str) -> tuple[str, int]:
    """From /proc/<pid>/stat; the name stands in brackets and may hold anything."""
    head, _, tail = text.rpartition(")")
    return head.partition("(")[2], int(tail.split()[1])


def _ill(row: Mapping[str, str]) -> str:
    """What is wrong with a server by its line of `show stat`; empty: its last check passed."""
    # "UP 1/3" is on its way down, "no check" says nothing.
    if row["status"] != "UP":
        return f"is {row['status']}" + (f" ({row['last_chk']})" if row.get("last_chk") else "")
    # A server counts as up from the start, before the first check. One that tracks another has no check of its own.
    if not row.get("tracked") and not re.match(r"(\* )?L[467]OK", row.get("check_status", "")):
        return "has passed no health check yet"
    return ""


def _backends(sides: Iterable[str], kinds: Iterable[str]) -> list[str]:
    """Names of backends."""
    names = [f"{side}_{kind}" for side in sides for kind in kinds]
    for name in names:
        side, _, kind = name.partition("_")
        if side not in SIDES or kind not in KINDS:
            raise ProxyError(f"there is no backend {name}")
    return names
