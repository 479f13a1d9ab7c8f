# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenarios' tests stand on: the hosts of the scenario that runs, and their databases."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml

SCENARIO = os.environ["MOLECULE_SCENARIO_NAME"]
# Runs a statement by the standard library of the host and psycopg2; the URL comes by stdin, not on a command line.
ASK = """
import json, sys, psycopg2
given = json.load(sys.stdin)
connection = psycopg2.connect(**given["connection"])
connection.autocommit = True
cursor = connection.cursor()
try:
    cursor.execute(given["statement"])
    rows = cursor.fetchall() if cursor.description else []
    print(json.dumps({"rows": rows, "columns": [column.name for column in cursor.description or ()]}, default=str))
except psycopg2.Error as error:
    print(json.dumps({"error": error.pgcode or "unknown", "message": str(error).strip()}))
"""


# The same for the application's SQLite file; a column's values, a line each.
ASK_SQLITE = """
import sqlite3, sys
connection = sqlite3.connect("file:/srv/shop/shop.sqlite?mode=ro", uri=True, timeout=10)
print(*(row[0] for row in connection.execute(sys.argv[1])), sep="\\n")
"""


@pytest.fixture(scope="session")
def on() -> Callable[[str], Any]:
    """A host of the scenario by its name in the inventory."""
    return lambda name: testinfra.get_host(f"docker://pg-cutover-{SCENARIO}-{name}")


@pytest.fixture(scope="session")
def variables() -> dict[str, Any]:
    """What the scenario's inventory says for all of its hosts."""
    inventory = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "inventory.yml"
    found: dict[str, Any] = yaml.safe_load(inventory.read_text())["molecule"]["vars"]
    return found


@pytest.fixture(scope="session")
def secret() -> Callable[[str], str]:
    """A password of the run by the name of its file on the controller."""
    folder = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "secrets"
    return lambda name: (folder / name).read_text().strip()


@pytest.fixture(scope="session")
def psql(on: Callable[[str], Any]) -> Callable[..., str]:
    """The answer of PostgreSQL's administrator, on PostgreSQL's own host."""

    def ask(statement: str, database: str = "shop", host: str = "db1") -> str:
        command = "psql -XAtq -U postgres -v ON_ERROR_STOP=1 -d %s -c %s"
        return str(on(host).check_output(command, database, statement))

    return ask


@pytest.fixture(scope="session")
def ask(on: Callable[[str], Any]) -> Callable[..., dict[str, Any]]:
    """What a client on a host is answered: {rows, columns} or {error, message}."""

    def asked(host: str, statement: str, /, **connection: Any) -> dict[str, Any]:
        given = json.dumps({"connection": {"connect_timeout": 10, **connection}, "statement": statement})
        done = on(host).run("printf %%s %s | python3 -c %s", given, ASK)
        if done.rc:
            return {"error": "connection", "message": done.stderr.strip().splitlines()[-1]}
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return asked


@pytest.fixture(scope="session")
def listening(on: Callable[[str], Any]) -> Callable[[str, int], set[str]]:
    """The addresses on which a host listens at a port."""

    def found(host: str, port: int) -> set[str]:
        lines = on(host).check_output("ss -Hltn").splitlines()
        ends = [line.split()[3].rpartition(":") for line in lines]
        return {address for address, _, number in ends if number == str(port)}

    return found


@pytest.fixture(scope="session")
def address(on: Callable[[str], Any]) -> Callable[[str], str]:
    """The address of a host in the network of the scenario."""
    return lambda host: str(on(host).check_output("hostname -I")).split()[0]


@pytest.fixture(scope="session")
def written(on: Callable[[str], Any]) -> Callable[[str], tuple[dict[str, str], str]]:
    """What a writer was told, on its host: {write id: the database that took it}, and what failed."""

    def read(host: str) -> tuple[dict[str, str], str]:
        lines = on(host).check_output("cat /var/lib/writer/*.acknowledged").splitlines()
        return dict(line.split() for line in lines), str(on(host).check_output("cat /var/lib/writer/*.failed"))

    return read


@pytest.fixture(scope="session")
def serves(on: Callable[[str], Any]) -> Callable[[str, str], str]:
    """The database that the application uses, as a client on a host is told at an address."""
    script = "import json, sys, urllib.request as r; print(json.load(r.urlopen(sys.argv[1], timeout=10))['database'])"
    return lambda host, url: str(on(host).check_output("python3 -c %s %s", script, url))


@pytest.fixture(scope="session")
def sqlite(on: Callable[[str], Any]) -> Callable[[str], list[str]]:
    """The first column of a statement's answer, from the application's SQLite file."""
    return lambda statement: str(on("web1").check_output("python3 -c %s %s", ASK_SQLITE, statement)).split("\n")


@pytest.fixture(scope="session")
def still_written(on: Callable[[str], Any]) -> Callable[[str], bool]:
    """Whether another order is acknowledged within some seconds."""

    def grows(host: str) -> bool:
        count = "cat /var/lib/writer/*.acknowledged | wc -l"
        before = int(on(host).check_output(count))
        for _ in range(60):
            time.sleep(0.5)
            if int(on(host).check_output(count)) > before:
                return True
        return False

    return grows
