# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks made at RDS, and how the application gets there."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import psycopg2
import pytest

PLACE = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])


def client(service: str) -> Any:
    """A client of the local server."""
    return boto3.client(
        service,
        endpoint_url=json.loads((PLACE / "cloud/state.json").read_text())["url"],
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        region_name="eu-central-1",
    )


def application_url() -> str:
    """The URL that the application was given."""
    found = re.search(r'^DATABASE_URL="?([^"\n]+)', (PLACE / "shop/app.env").read_text(), re.M)
    assert found is not None
    return found.group(1)


def instance(name: str) -> dict[str, Any]:
    """What the service tells of an instance."""
    found: dict[str, Any] = client("rds").describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
    return found


def test_instance_is_encrypted_backed_up_and_protected() -> None:
    shop = instance("shop")
    assert shop["StorageEncrypted"]
    assert shop["DeletionProtection"]
    assert shop["BackupRetentionPeriod"] >= 7
    assert shop["MultiAZ"]
    assert not shop["PubliclyAccessible"]
    assert shop["ReadReplicaDBInstanceIdentifiers"] == ["shop-replica"]
    assert instance("shop-replica")["ReadReplicaSourceDBInstanceIdentifier"] == "shop"


def test_the_class_and_the_parameters_of_the_load_are_gone() -> None:
    shop = instance("shop")
    assert shop["DBInstanceClass"] == "db.t4g.medium"
    assert {tag["Key"]: tag["Value"] for tag in shop["TagList"]}["pg-cutover-load"] == "off", "there was a load"
    found = client("rds").describe_db_parameters(DBParameterGroupName="pg-cutover-shop")["Parameters"]
    assert {one["ParameterName"] for one in found if one["Source"] == "user"} == {
        "log_min_duration_statement",
        "log_lock_waits",
    }
    assert {one["ParameterName"]: one.get("ParameterValue") for one in found}["rds.force_ssl"] == "1"


def test_security_group_lets_in_the_network_that_was_named_and_nothing_else() -> None:
    shop = instance("shop")
    (group,) = shop["VpcSecurityGroups"]
    (described,) = client("ec2").describe_security_groups(GroupIds=[group["VpcSecurityGroupId"]])["SecurityGroups"]
    (rule,) = described["IpPermissions"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == (
        "tcp",
        shop["Endpoint"]["Port"],
        shop["Endpoint"]["Port"],
    )
    assert [one["CidrIp"] for one in rule["IpRanges"]] == ["10.0.1.0/24"]
    assert described["IpPermissionsEgress"] == []


def test_application_moved_and_checks_who_answers() -> None:
    with urllib.request.urlopen("http://127.0.0.1:34567/health", timeout=10) as answer:
        assert json.load(answer)["database"] == "postgresql"
    url = application_url()
    assert "sslmode=verify-full" in url
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT ssl, version, current_user FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert cursor.fetchone() == (True, "TLSv1.3", "shop_app")
    with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
        psycopg2.connect(url, sslrootcert=str(PLACE / "cloud/other-ca.pem"))
    with pytest.raises(psycopg2.OperationalError, match="does not match host name"):
        psycopg2.connect(url, host="127.0.0.1")
    with pytest.raises(psycopg2.OperationalError, match="no encryption"):
        psycopg2.connect(url, sslmode="disable", sslrootcert="")


def test_every_row_arrived() -> None:
    with closing(psycopg2.connect(application_url())) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, name, price FROM items ORDER BY id")
        rows = cursor.fetchall()
    with closing(sqlite3.connect(PLACE / "shop/shop.sqlite")) as source:
        assert rows == source.execute("SELECT id, name, price FROM items ORDER BY id").fetchall()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE t (a int)",
        "DROP TABLE items",
        "CREATE ROLE r",
        "SET ROLE shop_owner",
        "SET ROLE cutover_admin",
    ],
)
def test_application_role_may_not(statement: str) -> None:
    with closing(psycopg2.connect(application_url())) as connection:
        with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(statement)


def test_master_user_is_no_superuser_and_its_password_is_in_no_report() -> None:
    text = client("secretsmanager").get_secret_value(SecretId="pg-cutover/shop/master")["SecretString"]
    secret = json.loads(text)
    endpoint = instance("shop")["Endpoint"]
    with closing(
        psycopg2.connect(
            host=endpoint["Address"],
            port=endpoint["Port"],
            user=secret["username"],
            password=secret["password"],
            dbname="shop",
            sslmode="verify-full",
            sslrootcert=str(PLACE / "installed/rds-ca.pem"),
        )
    ) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
            assert cursor.fetchone() == (False,)
            cursor.execute("SELECT count(*) > 0 FROM extensions.pg_stat_statements")
            assert cursor.fetchone() == (True,)
    for folder in ("reports", "state", "secrets", "shop"):
        for file in (PLACE / folder).rglob("*"):
            assert file.is_dir() or secret["password"].encode() not in file.read_bytes(), file
