# SPDX-License-Identifier: GPL-3.0-or-later
"""cutover.yml and rollback.yml with an Aurora cluster: the inventory of the scenario rds, with another engine."""

from __future__ import annotations

import json
import socket
import sqlite3
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.playbooks import Playbooks
from support.project import ROOT
from support.rds_cloud import KEY, REGION

pytestmark = pytest.mark.long

SCENARIO = ROOT / "molecule/rds"
AURORA = {
    "rds_engine": "aurora-postgresql",
    "rds_multi_az": False,
}
CLOUD = "http://127.0.0.1:34566"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playbooks]:
    """Playbooks with the scenario's inventory, its cloud and its application."""
    # The scenario's port is fixed: somebody else's server there would be spoken to.
    socket.create_server(("127.0.0.1", 34566)).close()
    folder = tmp_path_factory.mktemp("aurora")
    run = Playbooks(
        str(SCENARIO / "inventory.yml"),
        folder / "state",
        folder,
        options=("-e", json.dumps(AURORA)),
        environment={
            "MOLECULE_EPHEMERAL_DIRECTORY": str(folder),
            "MOLECULE_PROJECT_DIRECTORY": str(ROOT),
            "AWS_ENDPOINT_URL": CLOUD,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        },
    )
    try:
        run.run("molecule/rds/create.yml")
        run.run("molecule/rds/prepare.yml")
        yield run
    finally:
        run.run("molecule/rds/destroy.yml")


def client(service: str) -> Any:
    """A client of the local server."""
    import boto3

    return boto3.client(
        service, endpoint_url=CLOUD, aws_access_key_id=KEY, aws_secret_access_key=KEY, region_name=REGION
    )


def serves() -> str:
    """From which database the application serves."""
    with urllib.request.urlopen("http://127.0.0.1:34567/health", timeout=10) as answer:
        found: str = json.load(answer)["database"]
        return found


def changes(said: str) -> dict[str, int]:
    """How much each host's recap says was changed."""
    lines = said.rpartition("PLAY RECAP")[2].splitlines()[1:]
    return {line.split()[0]: int(line.partition("changed=")[2].split()[0]) for line in lines if "changed=" in line}


def test_an_application_moves_to_a_cluster_and_back(run: Playbooks) -> None:
    path = Path(run.output) / "shop/shop.sqlite"
    with closing(sqlite3.connect(path)) as source:
        rows = source.execute("SELECT id, name, price, added FROM items ORDER BY id").fetchall()

    said = run.run("playbooks/cutover.yml")
    assert "Aurora cluster shop in eu-central-1" in said
    assert serves() == "postgresql"
    (cluster,) = client("rds").describe_db_clusters(DBClusterIdentifier="shop")["DBClusters"]
    assert cluster["StorageEncrypted"]
    (member,) = client("rds").describe_db_instances(DBInstanceIdentifier="shop-1")["DBInstances"]
    # The class of the load (rds_bulk_instance_class) is gone again, and was there.
    assert member["DBInstanceClass"] == "db.t4g.medium"
    assert {tag["Key"]: tag["Value"] for tag in member["TagList"]}["pg-cutover-load"] == "off"

    assert changes(run.run("playbooks/cutover.yml")).get("shop") == 0

    run.run("playbooks/rollback.yml")
    assert serves() == "sqlite"
    with closing(sqlite3.connect(path)) as source:
        assert source.execute("SELECT id, name, price, added FROM items ORDER BY id").fetchall() == rows


def test_no_password_of_the_cluster_is_in_what_was_printed_or_reported(run: Playbooks) -> None:
    secret = json.loads(client("secretsmanager").get_secret_value(SecretId="pg-cutover/shop/master")["SecretString"])[
        "password"
    ]
    files = [path for path in Path(run.output).rglob("*") if path.is_file() and "secrets" not in path.parts]
    files = [path for path in files if "cloud" not in path.relative_to(run.output).parts]
    assert files
    assert [path.name for path in files if secret.encode() in path.read_bytes()] == []
