# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong around the critical section: it is called off without harm, or finished later, never half done."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from cutover.capture import install
from cutover.switch.proxy import Proxies
from support.postgres import Cluster
from support.switching import Load, Stage, reached, result, stage


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server of its own, which may be stopped."""
    made = Cluster.start()
    yield made
    made.stop()


@pytest.fixture
def ready(tmp_path: Path, cluster: Cluster) -> Iterator[Stage]:
    """A migration ready to be switched."""
    tmp_path.chmod(0o755)
    with stage(tmp_path, cluster, cluster.create_database()) as made:
        yield made


def stop(cluster: Cluster) -> None:
    cluster._run("pg_ctl", "stop", "-D", str(cluster.data), "-m", "immediate", "-w")


def start(cluster: Cluster) -> None:
    cluster._run(
        "pg_ctl", "start", f"--pgdata={cluster.data}", f"--log={cluster.log}", "--wait", f"--options=-p {cluster.port}"
    )


def untouched(ready: Stage, load: Load) -> None:
    """The application goes on, on SQLite."""
    before = len(load.acknowledged)
    time.sleep(0.3)
    assert len(load.acknowledged) > before
    assert ready.fence() is None
    with Proxies([ready.proxy.endpoint]) as proxies:
        [state] = proxies.state()
    assert (state["route"], state["held_ms"]) == ("blue", 0)


def slow_write(ready: Stage, milliseconds: int) -> threading.Thread:
    """A write that is in flight for some time."""

    def write() -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", ready.proxy.port, timeout=20)) as connection:
            connection.request("POST", f"/write?id=777777&ms={milliseconds}")
            connection.getresponse().read()

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(0.2)
    return thread


def test_a_slow_request_in_flight_calls_it_off_and_it_is_tried_again(ready: Stage) -> None:
    thread = slow_write(ready, 6000)
    assert thread.is_alive()
    told = ready.run("forward", attempts=1, budget_ms=200, verify=False)
    assert "1 request(s) still in flight" in told["error"], told
    assert ".." not in told["error"], told
    assert "was not moved" in told["error"]
    assert ready.fence() is None
    told = ready.run("forward", attempts=30, budget_ms=200, verify=False)
    thread.join()
    assert told["direction"] == "forward", told
    assert told["called_off"]
    assert ready.writable() == ["postgresql"]
    assert [phase for phase, _ in ready.journal()] == ["switch_off", "switched_online"]


def test_requests_that_have_piled_up_are_waited_for_before_the_hold(ready: Stage) -> None:
    def read() -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", ready.proxy.port, timeout=20)) as connection:
            connection.request("GET", "/read?id=1&ms=2000")
            connection.getresponse().read()

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    told = ready.run("forward", attempts=1, budget_ms=200, verify=False)
    for thread in threads:
        thread.join()
    assert (told["direction"], told["called_off"]) == ("forward", []), told


def test_a_writer_that_holds_sqlite_calls_it_off(ready: Stage) -> None:
    with closing(sqlite3.connect(ready.source, isolation_level=None)) as stray:
        stray.execute("BEGIN IMMEDIATE")
        told = ready.run("forward", attempts=2, budget_ms=150, verify=False)
        assert "locked" in told["error"], told
        stray.execute("ROLLBACK")
    with Load(ready.proxy.port) as load:
        untouched(ready, load)
        assert ready.run("forward", verify=False)["direction"] == "forward"
    assert load.failed == []


def test_two_at_once(ready: Stage) -> None:
    with Load(ready.proxy.port) as load:
        first = ready.start("forward", "wait", "announced", verify=False)
        reached(first)
        began = time.monotonic()
        told = ready.run("forward", verify=False)
        assert told["kind"] == "Locked", told
        assert "another switch of this migration is at work" in told["error"]
        assert time.monotonic() - began < 3
        assert ready.run("settle")["kind"] == "Locked"
        assert result(first)["direction"] == "forward"
    assert load.failed == []
    assert load.acknowledged - ready.ids() == set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_in_the_hold_it_finishes_first(ready: Stage, number: signal.Signals) -> None:
    """Ctrl-C ends Python by an exception, which must not be taken for an attempt that decided nothing."""
    with Load(ready.proxy.port) as load:
        process = ready.start("forward", "wait", "locked", verify=False)
        reached(process)
        process.send_signal(number)
        with process:
            process.communicate("\n", timeout=60)
        ready.guardian_ended()
        time.sleep(0.2)
    assert load.failed == []
    assert ready.writable() == ["postgresql"]
    assert [phase for phase, _ in ready.journal()] == ["switched_online"]


def test_postgresql_that_stops_in_the_drain_calls_it_off(ready: Stage, cluster: Cluster) -> None:
    with Load(ready.proxy.port) as load:
        process = ready.start("forward", "wait", "locked", verify=False, attempts=2, lease_ms=3000, budget_ms=1500)
        reached(process)
        stop(cluster)
        told = result(process)
        assert "PostgreSQL" in told["error"], told
        untouched(ready, load)
        told = ready.run("forward", verify=False)
        assert "cannot be reached" in told["error"], told
        start(cluster)
        untouched(ready, load)
        assert ready.run("forward")["verified"]["ok"]
        time.sleep(0.2)
    assert load.failed == []
    assert ready.writable() == ["postgresql"]
    assert load.acknowledged - ready.ids() == set()


def test_postgresql_that_answers_no_more_in_the_drain_calls_it_off(ready: Stage) -> None:
    """As when the network is cut: no answer, and no end of the connection."""
    with Load(ready.proxy.port) as load:
        process = ready.start("forward", "wait", "locked", verify=False, attempts=1, budget_ms=300)
        reached(process)
        with closing(psycopg2.connect(ready.cluster.superuser_url())) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name = 'pg-cutover'",
                (ready.database.name,),
            )
            backends = [pid for (pid,) in cursor.fetchall()]
        assert backends
        for pid in backends:
            os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            told = result(process)
            assert "error" in told, told
            assert time.monotonic() - began < 3
            untouched(ready, load)
        finally:
            for pid in backends:
                os.kill(pid, signal.SIGCONT)
        told = ready.run("forward")
        assert told["verified"]["ok"], told
    assert load.failed == []
    assert load.acknowledged - ready.ids() == set()


def test_postgresql_that_is_gone_after_the_decision_is_waited_for(ready: Stage, cluster: Cluster) -> None:
    process = ready.start("forward", "wait", "fenced", verify=False, settle_seconds=1)
    reached(process)
    stop(cluster)
    told = result(process)
    assert "the switch cannot be finished while PostgreSQL cannot be asked" in told["error"], told
    assert ready.fence() is not None
    assert "cannot be finished while PostgreSQL" in ready.run("settle", settle_seconds=1)["error"]
    assert ready.journal() == []
    start(cluster)
    assert ready.run("settle") == {"direction": "forward"}
    assert ready.writable() == ["postgresql"]
    with Load(ready.proxy.port) as load:
        time.sleep(0.3)
    assert load.failed == []
    assert load.acknowledged
    assert [phase for phase, _ in ready.journal()] == ["switched_online"]


def test_a_proxy_that_does_not_answer_means_that_nothing_begins(ready: Stage) -> None:
    gone = {"name": "gone", "map_path": "/nowhere/map", "socket": str(ready.folder / "no.sock")}
    with Load(ready.proxy.port) as load:
        here = json.loads(ready.config().read_text())["proxies"]
        told = ready.run("forward", proxies=[*here, gone])
        assert "gone" in told["error"], told
        untouched(ready, load)
    assert load.failed == []


def test_haproxy_that_is_restarted_in_the_hold_calls_it_off(ready: Stage) -> None:
    process = ready.start("forward", "wait", "locked", verify=False, attempts=1, budget_ms=3000, lease_ms=5000)
    reached(process)
    ready.proxy.stop()
    ready.proxy.start()
    told = result(process)
    assert "error" in told, told
    assert ready.fence() is None
    with Load(ready.proxy.port) as load:
        untouched(ready, load)
        assert ready.run("forward")["verified"]["ok"]
    assert load.failed == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE tag ADD COLUMN colour TEXT", "tag"),
        ("DROP TABLE pg_cutover_log", "log"),
    ],
)
def test_a_source_that_changed_its_structure_is_refused(ready: Stage, change: str, said: str) -> None:
    with closing(sqlite3.connect(ready.source)) as connection:
        connection.execute(change)
    told = ready.run("forward")
    assert "is not begun" in told["error"], told
    assert said in told["error"]
    assert ready.fence() is None


def test_a_structure_that_changes_in_the_last_moment_calls_it_off(ready: Stage) -> None:
    process = ready.start("forward", "wait", "idle", verify=False, attempts=2, budget_ms=2000, lease_ms=3000)
    reached(process)
    with closing(sqlite3.connect(ready.source)) as connection:
        connection.execute("CREATE TABLE late (a)")
    told = result(process)
    assert "is not begun" in told["error"], told
    assert ready.fence() is None


def test_the_gate_names_everything_that_stands_in_the_way(ready: Stage) -> None:
    ready.green.kill()
    until = time.monotonic() + 20
    while "app1 is UP" in str(refused := ready.run("gate", verified=False)["refused"]) or "green" not in str(refused):
        assert time.monotonic() < until, refused
    install.remove(str(ready.source))
    with closing(psycopg2.connect(ready.database.url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER pgcutover_capture_insert ON tag")
    refused = "; ".join(ready.run("gate", verified=False, application_role="nobody_here")["refused"])
    for part in (
        "not all rows have been proved",
        "green_read",
        "does not log its changes",
        "no role nobody_here",
        "way back",
    ):
        assert part in refused, refused
    told = ready.run("forward", verified=False)
    assert "nothing was held or changed" in told["error"]


# ---- the same on the way back


@pytest.fixture
def switched(ready: Stage) -> Stage:
    """A migration whose application is on PostgreSQL."""
    assert ready.run("forward", verify=False)["direction"] == "forward"
    return ready


def test_back_postgresql_that_stops_in_the_replay_changes_nothing(switched: Stage, cluster: Cluster) -> None:
    with Load(switched.proxy.port) as load:
        time.sleep(0.2)
    process = switched.start("back", "wait", "replayed", attempts=1, budget_ms=2000, lease_ms=3000)
    reached(process)
    stop(cluster)
    told = result(process)
    assert "error" in told, told
    assert switched.fence() is not None
    start(cluster)
    assert switched.run("settle") == {"direction": "nothing"}
    assert switched.writable() == ["postgresql"]
    assert load.acknowledged - switched.ids() == set()
    with Load(switched.proxy.port) as more:
        time.sleep(0.2)
        assert switched.run("back")["direction"] == "back"
    assert more.failed == []
    assert (load.acknowledged | more.acknowledged) - switched.ids() == set()


@pytest.mark.parametrize("step", ["closing", "closed"])
def test_back_postgresql_that_is_gone_around_the_decision_is_asked_later(
    switched: Stage, cluster: Cluster, step: str
) -> None:
    """Whether its COMMIT was one is not known until it answers; until then nobody may write."""
    process = switched.start("back", "wait", step, attempts=1, budget_ms=5000, lease_ms=6000, settle_seconds=1)
    reached(process)
    stop(cluster)
    told = result(process)
    if step == "closing":
        assert "error" in told, told
        assert switched.fence() is not None
    else:
        assert told["direction"] == "back", told
    start(cluster)
    assert switched.run("settle") == {"direction": "nothing"}
    assert switched.writable() == (["postgresql"] if step == "closing" else ["sqlite"])
    assert [phase for phase, _ in switched.journal()][1:] == ["switch_off" if step == "closing" else "switched_back"]
    with Load(switched.proxy.port) as load:
        time.sleep(0.3)
    assert load.failed == []


def test_back_a_reader_of_the_file_does_not_matter_and_a_lock_calls_it_off(switched: Stage) -> None:
    with Load(switched.proxy.port) as load:
        time.sleep(0.2)
        with closing(sqlite3.connect(switched.source, isolation_level=None)) as stray:
            stray.execute("BEGIN IMMEDIATE")
            told = switched.run("back", attempts=1, budget_ms=150, catch_up_seconds=2)
            assert "locked" in told["error"], told
            stray.execute("ROLLBACK")
            stray.execute("BEGIN")
            stray.execute("SELECT count(*) FROM event").fetchone()
            assert switched.run("back")["direction"] == "back"
    assert load.failed == []
    assert load.acknowledged - switched.ids() == set()


def test_back_is_refused_while_blue_is_down(switched: Stage) -> None:
    switched.blue.kill()
    time.sleep(0.5)
    told = switched.run("back")
    assert "blue_read" in told["error"], told
    assert switched.writable() == ["postgresql"]


def test_who_goes_past_the_proxy_is_counted(ready: Stage) -> None:
    port = ready.blue_port
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as direct:
        direct.request("GET", "/health")
        direct.getresponse().read()
        told = ready.run("forward", blue_ports=[port])
        assert "1 connection(s) from 127.0.0.1 reach the application past the proxy" in told["error"], told
    assert ready.run("forward", blue_ports=[port], verify=False)["direction"] == "forward"


def test_the_guardian_that_cannot_start_or_is_gone_ends_it_before_the_hold(ready: Stage) -> None:
    process = ready.start("forward", "unguarded", "none", verify=False)
    with process:
        said, _ = process.communicate(timeout=60)
    assert "guardian process of the switch is gone" in json.loads(said.splitlines()[-1])["error"]
    assert ready.fence() is None
    assert ready.run("forward", verify=False)["direction"] == "forward"
