# SPDX-License-Identifier: GPL-3.0-or-later
"""Engine and guardian are gone at the same moment: the hold ends by itself, and the next run settles what is left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from cutover.source.fence import lift_fence, raise_fence
from cutover.switch import steps
from cutover.switch.proxy import Proxies
from cutover.target.connect import connect
from support.postgres import Cluster
from support.switching import Load, Stage, stage

LEASE_MS = 600


@pytest.fixture
def ready(tmp_path: Path, postgres: Cluster) -> Iterator[Stage]:
    """A migration ready to be switched."""
    tmp_path.chmod(0o755)
    with stage(tmp_path, postgres, postgres.create_database()) as made:
        yield made


def orphaned(ready: Stage, action: str, step: str, decided: str) -> list[str]:
    """Kill both at a step, look at what is left after the lease, settle; returns what was writable in between."""
    assert ready.run(action, "orphan", step, verify=False, lease_ms=LEASE_MS) == {"killed": True}, step
    ready.guardian_ended()
    time.sleep(LEASE_MS / 1000)
    with Proxies([ready.proxy.endpoint]) as proxies:
        [state] = proxies.state()
    assert state["held_ms"] == 0, step
    between = ready.writable()
    assert len(between) <= 1, step
    assert ready.run("settle")["direction"] == decided, step
    assert len(ready.writable()) == 1
    return between


def test_every_step_both_ways_is_settled_by_the_next_run(ready: Stage) -> None:
    acknowledged: set[int] = set()
    forward, back = steps.FORWARD, steps.BACK
    undecided = forward.index("fenced"), back.index("closed")
    for step in forward[: undecided[0]]:
        assert orphaned(ready, "forward", step, "nothing") == ["sqlite"], step
    for step, way_back in zip(forward[undecided[0] :], [*back[undecided[1] :], *["journaled"] * 9]):
        with Load(ready.proxy.port) as load:
            time.sleep(0.05)
        assert (load.failed, load.unread) == ([], [])
        acknowledged |= load.acknowledged
        between = orphaned(ready, "forward", step, "nothing" if step == "journaled" else "forward")
        assert between == ([] if step == "fenced" else ["postgresql"]), step
        assert acknowledged - ready.ids() == set()
        with Load(ready.proxy.port) as load:
            time.sleep(0.05)
        assert (load.failed, load.unread) == ([], [])
        acknowledged |= load.acknowledged
        between = orphaned(ready, "back", way_back, "nothing" if way_back == "journaled" else "back")
        assert between == ([] if way_back == "closed" else ["sqlite"]), way_back
        assert acknowledged - ready.ids() == set()
    assert ready.run("forward")["verified"]["ok"]
    for step in back[: undecided[1]]:
        assert orphaned(ready, "back", step, "nothing") == ["postgresql"], step
    assert ready.run("back")["direction"] == "back"
    assert acknowledged - ready.ids() == set()


@pytest.mark.parametrize(
    "lost", ["DELETE FROM pgcutover.follow", "UPDATE pgcutover.follow SET position = position - 1"]
)
def test_postgresql_that_lost_the_drained_rows_is_never_opened(ready: Stage, lost: str) -> None:
    """As when the tables were made anew behind the fence, or a replica took over that had not received the drain."""
    with Load(ready.proxy.port) as load:
        time.sleep(0.1)
    assert ready.run("forward", "orphan", "fenced", verify=False, lease_ms=LEASE_MS) == {"killed": True}
    ready.guardian_ended()
    with closing(connect(ready.database.url)) as target, target, target.cursor() as cursor:
        cursor.execute(lost)
    assert ready.run("settle")["direction"] == "nothing"
    assert (ready.fence(), ready.writable()) == (None, ["sqlite"])
    assert load.acknowledged - ready.ids() == set()
    with Load(ready.proxy.port) as load:
        time.sleep(0.1)
    assert (load.failed, load.unread) == ([], [])


@pytest.mark.parametrize(
    "right",
    ["INSERT ON public.event TO PUBLIC", "UPDATE (note) ON public.event TO {role}", "TRUNCATE ON public.tag TO {role}"],
)
def test_an_application_that_may_write_to_postgresql_already_is_not_switched(ready: Stage, right: str) -> None:
    with closing(connect(ready.database.url)) as target, target, target.cursor() as cursor:
        cursor.execute(f"GRANT {right.format(role=ready.role)}")
    told = ready.run("forward", verify=False)
    assert "may write to PostgreSQL already" in told["error"], told
    assert ready.fence() is None


def test_the_next_run_finishes_a_decided_switch_by_itself(ready: Stage) -> None:
    assert ready.run("forward", "orphan", "fenced") == {"killed": True}
    ready.guardian_ended()
    told = ready.run("forward")
    assert (told["direction"], told["settled"], told["verified"]) == ("forward", True, None)
    assert ready.run("verify")["verified"]["ok"]
    assert ready.writable() == ["postgresql"]


def test_two_databases_that_could_take_writes_are_named(ready: Stage) -> None:
    """Somebody has lifted the fence by hand, or put an old file in its place."""
    assert ready.run("forward", verify=False)["direction"] == "forward"
    lift_fence(str(ready.source))
    for action in ("settle", "forward", "back"):
        told = ready.run(action)
        assert "lifted the fence by hand" in told["error"], told
    with Proxies([ready.proxy.endpoint]) as proxies:
        assert proxies.state()[0]["route"] == "green"


def test_the_fence_of_a_maintenance_window_is_none_of_its_business(ready: Stage) -> None:
    raise_fence(str(ready.source), "20261122T200000-1f2e")
    with Proxies([ready.proxy.endpoint]) as proxies:
        proxies.route("green")
        assert ready.run("settle") == {"direction": "nothing"}
        assert proxies.state()[0]["route"] == "green"
        proxies.route("blue")
    assert "closed to writes already" in ready.run("forward")["error"]
    lift_fence(str(ready.source))
    assert ready.run("forward", verify=False)["direction"] == "forward"


def test_a_transaction_of_the_killed_engine_is_waited_for(ready: Stage) -> None:
    """PostgreSQL may still be about to commit what the killed engine sent: who settles must not read around it."""
    assert ready.run("forward", verify=False)["direction"] == "forward"
    fence = ready.fence()
    with closing(connect(ready.database.url)) as late, late.cursor() as cursor:
        cursor.execute("UPDATE pgcutover.switch SET side = 'source', by = 'late'")
        cursor.execute("UPDATE pgcutover.migration SET in_use_since = NULL, application_role = NULL")
        cursor.execute(f'REVOKE INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public FROM "{ready.role}"')
        process = ready.start("settle")
        time.sleep(0.7)
        assert process.poll() is None
        assert ready.fence() == fence
        late.commit()
    with process:
        process.communicate(timeout=30)
    assert ready.fence() is None
    assert ready.writable() == ["sqlite"]


def test_green_may_read_before_the_switch_and_not_write(ready: Stage) -> None:
    with closing(psycopg2.connect(ready.application_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM event")
        assert cursor.fetchone() == (300,)
        for statement in (
            "DELETE FROM event",
            "INSERT INTO tag (word) VALUES ('x')",
            "SELECT nextval('tag_number_seq')",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)
            connection.rollback()
