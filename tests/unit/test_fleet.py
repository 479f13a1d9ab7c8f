# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tenants a fleet has, what two must not share, how their runs are watched, and what the summary says."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cutover.errors import CutoverError
from cutover.fleet import children, look, summary, tenants
from cutover.fleet.children import Child, Ended, Owner
from cutover.fleet.tenants import Tenant
from cutover.journal import Journal
from cutover.lock import started
from support.project import ROOT

HOSTS = ["web1"]
NOTHING = "Nothing was started, nothing was changed."


def made(name: str, host: str = "web1", **settings: Any) -> Tenant:
    return Tenant(name, host, settings=settings)


# ---------------------------------------------------------------- which


@pytest.mark.parametrize(
    ("path", "pattern", "name"),
    [
        ("/srv/tenants/acme/app.sqlite", "/srv/tenants/*/app.sqlite", "acme"),
        ("/srv/acme/data/app.sqlite", "/srv/*/data/app.sqlite", "acme"),
        ("/srv/acme.sqlite", "/srv/*.sqlite", "acme"),
        ("/srv/tenants/acme.shop.sqlite", "/srv/tenants/*", "acme"),
        ("/srv/eu1/app.sqlite", "/srv/eu[0-9]/app.sqlite", "eu1"),
        ("/srv/app.sqlite", "/srv/app.sqlite", "app"),
    ],
)
def test_a_file_is_named_by_the_folder_or_by_itself(path: str, pattern: str, name: str) -> None:
    assert tenants.named(path, pattern) == name


def test_a_dictionary_gives_each_tenant_its_host_and_its_variables() -> None:
    given = {
        "acme": {
            "cutover_tenant_host": "web2",
            "cutover_source_path": "/srv/a",
            "cutover_tenant_hosts": ["db1", "web2"],
        },
        "globex": {"cutover_tenant_host": "web1"},
    }
    acme, globex = tenants.from_dict(given, ["web1", "web2"])
    assert (acme.name, acme.host, acme.hosts) == ("acme", "web2", ("web2", "db1"))
    assert acme.variables == {"cutover_source_path": "/srv/a"}
    assert (globex.host, globex.hosts) == ("web1", ())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["acme"], "cutover_tenants must be a dictionary of names"),
        ({"acme": "/srv/a"}, "cutover_tenants.acme must be a dictionary of variables"),
        ({"acme": {"cutover_tenant_host": "web9"}}, "names web9, which is not in it"),
    ],
)
def test_a_description_that_is_none_is_refused(given: Any, said: str) -> None:
    with pytest.raises(CutoverError, match=said) as refused:
        tenants.from_dict(given, HOSTS)
    assert str(refused.value).endswith(NOTHING)


def test_with_several_source_hosts_a_tenant_must_say_which_is_its_own() -> None:
    with pytest.raises(CutoverError, match="does not say which is its own"):
        tenants.from_dict({"acme": {}}, ["web1", "web2"])


def test_names_that_are_none_or_taken_are_all_told_at_once() -> None:
    found = tenants.from_files({"web1": ["/srv/acme/a", "/srv/Große Firma/a"], "web2": ["/srv/acme/a"]}, "/srv/*/a")
    with pytest.raises(CutoverError) as refused:
        tenants.check_names(found)
    told = str(refused.value)
    assert "'Große Firma' (host web1, " in told
    assert "Two tenants have the name acme" in told
    assert "on web1 and" in told
    assert told.count(NOTHING) == 1


def test_no_tenants_and_unknown_ones_are_refused() -> None:
    with pytest.raises(CutoverError, match="No tenants were found"):
        tenants.chosen([], [], [])
    with pytest.raises(CutoverError, match="fleet_only names globex, and there is no such tenant; there are acme"):
        tenants.chosen([made("acme")], ["globex"], [])
    assert [t.name for t in tenants.chosen([made("acme"), made("globex")], ["globex"], ["web2"])] == ["globex"]
    assert tenants.listed("acme, globex") == tenants.listed(["acme", "globex"]) == ["acme", "globex"]
    assert tenants.listed("") == tenants.listed([]) == []


def test_a_name_that_may_be_on_a_silent_host_is_told_with_the_host() -> None:
    for found, only in (([made("acme")], ["globex"]), ([], [])):
        with pytest.raises(CutoverError, match="Not heard of: the files of web2, which did not answer"):
            tenants.chosen(found, only, ["web2"])


# ---------------------------------------------------------------- what two must not share


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        ({"cutover_name": "shop"}, {"cutover_name": "shop"}, "cutover_name"),
        ({"cutover_state_dir": "/s"}, {"cutover_state_dir": "/s"}, "cutover_state_dir"),
        ({"cutover_secrets_dir": "/s"}, {"cutover_secrets_dir": "/s"}, "cutover_secrets_dir"),
        ({"database": ("db1", 5432, "app")}, {"database": ("db1", 5432, "app")}, "database"),
        ({"database": ("native", "a_b")}, {"database": ("native", "a_b")}, "database"),
    ],
)
def test_what_two_tenants_share_is_refused(first: dict[str, Any], second: dict[str, Any], what: str) -> None:
    both = [made("acme", **first), made("globex", **second)]
    with pytest.raises(CutoverError, match=f"Tenants acme and globex have the same {what}"):
        tenants.check_shared(both, {}, "migrate.yml")
    tenants.check_shared(both[:1], {}, "migrate.yml")


SHOP = {"database": ("db1", 5432, "shop"), "given": True}


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({}, {}, "Tenants acme and globex have the same database (db1 5432 shop) and the same schema in it (public)"),
        ({"schema": "one"}, {"schema": "one"}, "and the same schema in it (one), which holds one migration."),
        ({"schema": "one"}, {}, ""),
        ({"schema": "one", "application_role": "a"}, {"schema": "two", "application_role": "b"}, ""),
        (
            {"schema": "one", "application_role": "a"},
            {"schema": "two", "application_role": "a"},
            "have the same role of the application (a) in one database (db1 5432 shop)",
        ),
        (
            {"schema": "one", "given": False},
            {"schema": "two"},
            "Schemas of one database are for a database that is there already",
        ),
    ],
)
def test_schemas_of_one_database(first: dict[str, Any], second: dict[str, Any], said: str) -> None:
    both = [made("acme", **{**SHOP, **first}), made("globex", **{**SHOP, **second})]
    if not said:
        tenants.check_shared(both, {}, "cutover.yml")
        return
    with pytest.raises(CutoverError, match=re.escape(said)) as caught:
        tenants.check_shared(both, {}, "migrate.yml")
    assert caught.value.message.endswith(NOTHING)


@pytest.mark.parametrize("shared", ["pgbouncer_auth_user", "pgbouncer_auth_schema"])
def test_what_pgbouncer_looks_up_by_is_not_shared_in_one_database(shared: str) -> None:
    own = [{"pgbouncer_auth_user": name, "pgbouncer_auth_schema": name} for name in ("a", "b")]
    first, second = (made(one["pgbouncer_auth_user"], **SHOP, schema=one["pgbouncer_auth_user"], **one) for one in own)
    tenants.check_shared([first, second], {}, "cutover.yml")
    other = made("b", **{**second.settings, shared: "a"})
    with pytest.raises(CutoverError, match=f"the same {shared} \\(a\\) in one database"):
        tenants.check_shared([first, other], {}, "cutover.yml")
    tenants.check_shared([first, other], {}, "status.yml")


def test_the_schema_and_the_role_are_read_from_what_the_operator_wrote() -> None:
    assert [tenants.schema(given) for given in ({"schema": "a"}, {}, None, "nonsense")] == ["a", *["public"] * 3]
    assert [tenants.user(url) for url in ("postgresql://a%40b:x@h/d", "", "http://[")] == ["a@b", "", ""]


def test_one_file_by_two_paths_is_one_file() -> None:
    both = [made("acme", cutover_source_path="/srv/a"), made("globex", cutover_source_path="/srv/link")]
    looked = {"acme": {"real": "/srv/a"}, "globex": {"real": "/srv/a"}}
    with pytest.raises(CutoverError, match="the same SQLite file"):
        tenants.check_shared(both, looked, "status.yml")
    elsewhere = [both[0], Tenant("globex", "web2", settings={"cutover_source_path": "/srv/a"})]
    tenants.check_shared(elsewhere, {}, "status.yml")


def test_one_pgbouncer_is_refused_only_where_it_is_set_up() -> None:
    servers = [("pgbouncer_config_directory", "web1", "/etc/pgbouncer")]
    both = [made("acme", servers=servers), made("globex", servers=servers)]
    with pytest.raises(CutoverError, match="the same pgbouncer_config_directory \\(web1 /etc/pgbouncer\\)"):
        tenants.check_shared(both, {}, "cutover.yml")
    tenants.check_shared(both, {}, "status.yml")


def test_a_file_that_is_not_there_is_refused_and_a_silent_host_is_not() -> None:
    both = [made("acme", cutover_source_path="/srv/a"), made("globex", "web2", cutover_source_path="/srv/b")]
    with pytest.raises(CutoverError, match="Tenant acme: /srv/a on web1 does not exist"):
        tenants.check_files(both, {"acme": {"problem": "does not exist"}})
    tenants.check_files(both, {"acme": {"problem": ""}})
    with pytest.raises(CutoverError, match="Tenant initech: cutover_source_path is not set"):
        tenants.check_files([made("initech")], {})


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://o:p%40@db1/app", ("db1", 5432, "app")),
        ("postgresql://o@[::1]:6000/a%2Fb", ("::1", 6000, "a/b")),
        ("postgresql://o@/app?host=%2Frun&port=6000", ("/run", 6000, "app")),
        ("postgresql://o@db1:port/app", ()),
    ],
)
def test_a_url_says_where_its_database_is(url: str, place: tuple[Any, ...]) -> None:
    assert tenants.place(url) == place


# ---------------------------------------------------------------- what their hosts see


def test_the_host_says_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    good = tmp_path / "good.sqlite"
    with closing(sqlite3.connect(good)) as connection:
        connection.execute("CREATE TABLE t (id)")
    text = tmp_path / "text"
    text.write_text("not a database")
    state = str(tmp_path / "state")
    assert look.look(str(good), "a", state)["problem"] == ""
    assert look.look(str(text), "a", state)["problem"] == "is not a SQLite file"
    assert look.look(str(tmp_path), "a", state)["problem"] == "is a directory, not a SQLite file"
    assert look.look(str(tmp_path / "none"), "a", state)["problem"] == "does not exist"
    (tmp_path / "good.sqlite-wal").write_text("")
    assert look.found(str(tmp_path / "*.sqlite*")) == [str(good)]


def test_what_was_migrated_is_done_until_it_is_written_to(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    path.write_bytes(b"")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    journal = Journal(str(tmp_path))
    for phase in ("schema", "snapshot", "copy", "verify"):
        journal.append("phase", "r", phase, "done")
    journal.append("end", "r", detail={"outcome": "migrated"})
    seen = look.look(str(path), "app", str(tmp_path))
    assert (seen["stage"], seen["unchanged"]) == ("migrated", True)
    assert tenants.finished(seen["stage"], seen["unchanged"], "migrate.yml")
    assert not tenants.finished(seen["stage"], seen["unchanged"], "cutover.yml")
    (tmp_path / "app.sqlite-wal").write_bytes(b"x")
    assert not tenants.finished("migrated", look.look(str(path), "app", str(tmp_path))["unchanged"], "migrate.yml")


# ---------------------------------------------------------------- their runs


def child(folder: Path, name: str, code: str) -> Child:
    return Child(name, (sys.executable, "-c", code), str(folder / f"{name}.log"), {}, str(folder))


def test_one_that_fails_stops_no_other_and_so_many_run_at_once(tmp_path: Path) -> None:
    busy = (
        "import os, time; open('%s.up', 'w').close(); time.sleep(1); "
        "print('PLAY [4 | Copy] ' + '*' * 9); print(len([n for n in os.listdir() if n.endswith('.up')])); os.remove('%s.up')"
    )
    given = [child(tmp_path, f"t{n}", busy % (n, n)) for n in range(4)] + [
        child(tmp_path, "bad", "raise SystemExit(2)")
    ]
    said: list[str] = []
    ended = {each.name: each.code for each in children.run(given, 2, Owner(0, ""), said.append)}
    assert ended == {"t0": 0, "t1": 0, "t2": 0, "t3": 0, "bad": 2}
    most = [int((tmp_path / f"t{n}.log").read_text().split()[-1]) for n in range(4)]
    assert max(most) == 2
    assert said[0].startswith("0 of 5 tenants done · t0: ")
    assert children.where(str(tmp_path / "t0.log")) == "4 | Copy"
    assert os.stat(tmp_path / "t0.log").st_mode & 0o777 == 0o600


SLEEP = "import time; print('up', flush=True); time.sleep(60)"


def test_when_the_owner_dies_the_runs_are_ended_and_the_rest_is_not_begun(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    given = [child(tmp_path, name, SLEEP) for name in ("one", "two")]
    threading.Timer(2, owner.kill).start()
    began = time.monotonic()
    one, two = children.run(given, 1, Owner(owner.pid, started(owner.pid)), lambda _: None)
    owner.wait()
    assert time.monotonic() - began < 30
    assert (one.name, one.code, one.stopped) == ("one", -signal.SIGTERM, True)
    assert (two.name, two.code, two.stopped) == ("two", None, True)


WATCHER = """
import sys
sys.path.insert(0, {engine!r})
from cutover.fleet.children import Child, Owner, run
code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
run([Child("one", (sys.executable, "-c", code), {log!r}, {{}}, "/")], 1, Owner(0, ""), lambda _: None)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_run_outlives_the_process_that_watches_it(tmp_path: Path, number: int) -> None:
    log = tmp_path / "one.log"
    watcher = subprocess.Popen([sys.executable, "-c", WATCHER.format(engine=str(ROOT / "module_utils"), log=str(log))])
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    pid = int(log.read_text())
    watcher.send_signal(number)
    watcher.wait(60)
    while started(pid):
        assert time.monotonic() < deadline, "it runs on"
        time.sleep(0.1)


# ---------------------------------------------------------------- the summary

RECAP = "PLAY RECAP ****\nhere : ok=9  changed=2  unreachable=0  failed=0\n"


def test_a_report_of_this_run_tells_the_rows_and_an_older_one_does_not(tmp_path: Path) -> None:
    folder = tmp_path / "20261129T190000-aaaa"
    folder.mkdir()
    (tmp_path / "latest").symlink_to(folder.name)
    (folder / "report.json").write_text(
        json.dumps({"outcome": "migrated", "tables": [{"rows_target": 7}, {"rows_target": 5}], "message": "Done."})
    )
    log = tmp_path / "log"
    log.write_text(RECAP)
    entry = summary.entry(Ended("acme", 0, time.time(), 12.0), str(log), str(tmp_path), "web1")
    assert (entry["outcome"], entry["ok"], entry["rows"], entry["changed"]) == ("migrated", True, 12, True)
    assert entry["report"] == str(folder / "report.html")
    late = summary.entry(Ended("acme", 2, time.time() + 60, 12.0), str(log), str(tmp_path), "web1")
    assert (late["outcome"], late["rows"], late["report"], late["reason"]) == ("failed", None, "", "see its log")


@pytest.mark.parametrize(
    ("text", "code", "outcome", "reason", "advice"),
    [
        ("x\n    msg: 'Phase copy failed: disk full.'\n", 2, "failed", "disk full", "run the same command again"),
        ("[ERROR]: Task failed: Action failed: cutover_name is A\n", 2, "failed", "cutover_name is A", "mend that"),
        (
            "PLAY RECAP ***\nweb2   : ok=1  changed=0  unreachable=1  failed=0\n",
            4,
            "unreachable",
            "",
            "bring web2 back",
        ),
    ],
)
def test_a_log_tells_why_where_no_report_does(
    tmp_path: Path, text: str, code: int, outcome: str, reason: str, advice: str
) -> None:
    log = tmp_path / "log"
    log.write_text(text)
    entry = summary.entry(Ended("acme", code, time.time(), 3.0), str(log), str(tmp_path), "web1")
    assert (entry["outcome"], entry["ok"]) == (outcome, False)
    assert reason in entry["reason"]
    assert advice in entry["next"]


def test_the_table_names_each_tenant_and_what_to_do_for_those_that_are_not_done() -> None:
    entries = [summary.passed("acme", "web1", "migrated"), summary.lost("globex", "web2", "No route\nto host")]
    lines = summary.table(entries)
    assert lines[0].split() == ["tenant", "host", "outcome", "rows", "seconds"]
    assert "globex: web2 cannot be worked with: No route to host." in lines
    assert any(line.startswith("  next: bring web2 back") for line in lines)
    assert not any(line.startswith("acme:") for line in lines)
    assert summary.verdict(entries) == "1 of 2 tenants are done; not done: globex."
    assert summary.verdict(entries[:1]) == "All 1 tenants are done."


def test_a_host_that_did_not_say_which_files_it_has_is_not_done() -> None:
    entries = [summary.passed("acme", "web1", "migrated"), summary.silent("web2", "No route to host")]
    assert [one["ok"] for one in entries] == [True, False]
    said = "1 of 1 tenants are done; not known: the tenants on web2, which did not answer."
    assert summary.verdict(entries) == said
    assert "all of web2: web2 cannot be worked with: No route to host." in summary.table(entries)
