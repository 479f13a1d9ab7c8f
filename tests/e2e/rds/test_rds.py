# SPDX-License-Identifier: GPL-3.0-or-later
"""What the provider rds makes, and what its users can do there; the load; Aurora."""

from __future__ import annotations

import json
import re
from contextlib import closing
from typing import Any

import psycopg2
import pytest

pytestmark = pytest.mark.long


def changed(output: str) -> int:
    """The number of changes in the recap."""
    return int(re.search(r"changed=(\d+)", output.split("PLAY RECAP")[1]).group(1))  # type: ignore[union-attr]


def connect(cloud: Any, name: str, user: str, password: str, **options: str) -> Any:
    """A connection as a host makes it that the role has prepared."""
    endpoint = cloud.instances()[name]["Endpoint"]
    given = {
        "host": endpoint["Address"],
        "sslmode": "verify-full",
        "sslrootcert": str(cloud.folder / "installed" / f"{name}.pem"),
        "dbname": name,
        **options,
    }
    return psycopg2.connect(port=endpoint["Port"], user=user, password=password, **given)


def password(cloud: Any, name: str, whose: str) -> str:
    """A password that was generated on the controller."""
    found: str = (cloud.folder / "secrets" / name / f"{whose}_password").read_text().strip()
    return found


def parameters(cloud: Any, name: str) -> dict[str, tuple[str | None, str]]:
    """Value and source of each parameter."""
    found = cloud.client("rds").describe_db_parameters(DBParameterGroupName=f"pg-cutover-{name}")["Parameters"]
    return {one["ParameterName"]: (one.get("ParameterValue"), one["Source"]) for one in found}


@pytest.fixture(scope="module")
def shop(running: Any) -> str:
    """An instance with a database; its name."""
    running.behave()
    running.run("provider", "database", name="shop", rds_read_replica=True, rds_multi_az=True)
    return "shop"


def test_instance_is_made_as_promised(cloud: Any, shop: str) -> None:
    instance = cloud.instances()[shop]
    assert instance["StorageEncrypted"]
    assert instance["DeletionProtection"]
    assert instance["BackupRetentionPeriod"] == 7
    assert instance["MultiAZ"]
    assert not instance["PubliclyAccessible"]
    assert instance["DBParameterGroups"][0]["DBParameterGroupName"] == "pg-cutover-shop"
    assert instance["ReadReplicaDBInstanceIdentifiers"] == ["shop-replica"]
    assert {zone["SubnetAvailabilityZone"]["Name"] for zone in instance["DBSubnetGroup"]["Subnets"]} == {
        "eu-central-1a",
        "eu-central-1b",
    }
    found = parameters(cloud, shop)
    assert found["rds.force_ssl"] == ("1", "system")
    assert found["log_lock_waits"] == ("1", "user")
    (group,) = instance["VpcSecurityGroups"]
    described = cloud.client("ec2").describe_security_groups(GroupIds=[group["VpcSecurityGroupId"]])["SecurityGroups"][
        0
    ]
    assert [
        (rule["FromPort"], rule["ToPort"], rule["IpRanges"][0]["CidrIp"]) for rule in described["IpPermissions"]
    ] == [(instance["Endpoint"]["Port"], instance["Endpoint"]["Port"], "10.0.1.0/24")]
    assert described["IpPermissionsEgress"] == []


def test_second_run_and_check_mode_change_nothing(cloud: Any, shop: str) -> None:
    again = {"name": shop, "rds_read_replica": True, "rds_multi_az": True}
    assert changed(cloud.run("provider", "database", **again)) == 0
    assert changed(cloud.run("provider", "database", arguments=("--check",), **again)) == 0


def test_check_mode_shows_what_it_costs_and_makes_nothing(cloud: Any) -> None:
    before = set(cloud.instances())
    output = cloud.run("provider", name="dear", arguments=("--check",), rds_bulk_instance_class="db.r6g.xlarge")
    assert "would be created (check mode creates nothing)" in output
    assert "db.r6g.xlarge while rows are copied, then db.t4g.medium again" in output
    assert set(cloud.instances()) == before


def test_everybody_comes_over_tls_and_knows_who_answers(cloud: Any, shop: str) -> None:
    application = ("shop_app", password(cloud, shop, "app"))
    with closing(connect(cloud, shop, *application)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT ssl, current_user FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert cursor.fetchone() == (True, "shop_app")
    with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
        connect(cloud, shop, *application, sslrootcert=str(cloud.folder / "other-ca.pem"))
    with pytest.raises(psycopg2.OperationalError, match="does not match host name"):
        connect(cloud, shop, *application, host="127.0.0.1")
    with pytest.raises(psycopg2.OperationalError, match="no encryption"):
        connect(cloud, shop, *application, sslmode="disable", sslrootcert="")


def test_master_user_is_no_superuser_and_roles_have_no_more_than_they_need(cloud: Any, shop: str) -> None:
    secret = cloud.secret(shop)
    with (
        closing(connect(cloud, shop, secret["username"], secret["password"])) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "SELECT rolname, rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname ~ '^(shop|cutover)'"
        )
        assert sorted(cursor.fetchall()) == [
            ("cutover_admin", False, True, True),
            ("shop_app", False, False, False),
            ("shop_owner", False, False, False),
        ]
        cursor.execute("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shop'")
        assert cursor.fetchone() == ("shop_owner",)
        cursor.execute("SELECT count(*) > 0 FROM extensions.pg_stat_statements")
        assert cursor.fetchone() == (True,)
    for statement in ("CREATE TABLE t (a int)", "CREATE ROLE r", "DROP SCHEMA public CASCADE", "SET ROLE shop_owner"):
        with closing(connect(cloud, shop, "shop_app", password(cloud, shop, "app"))) as connection:
            with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)


def test_password_of_a_role_that_was_changed_is_set_again(cloud: Any, shop: str) -> None:
    for whose in ("owner", "app"):
        (cloud.folder / "secrets" / shop / f"{whose}_password").write_text("An0ther: p@ss'word\n")
    cloud.run("provider", "database", name=shop, rds_read_replica=True, rds_multi_az=True)
    for whose in ("owner", "app"):
        connect(cloud, shop, f"shop_{whose}", "An0ther: p@ss'word").close()


def test_extension_that_is_not_allowed_is_named(cloud: Any, shop: str) -> None:
    output = cloud.run(
        "provider",
        "database",
        name=shop,
        fails=True,
        rds_read_replica=True,
        rds_multi_az=True,
        database_extensions=["pg_stat_statements", "pg_buffercache"],
    )
    assert "cutover_admin cannot create the extension pg_buffercache in shop: " in output
    assert "take it out of database_extensions" in output


def test_settings_for_a_load_are_put_back_also_after_a_run_in_between(cloud: Any) -> None:
    load = {"name": "load", "rds_bulk_instance_class": "db.r6g.xlarge", "rds_parameters": {"checkpoint_timeout": "600"}}
    cloud.run("provider", **load)
    # Long enough to be seen on the way.
    cloud.behave(seconds=5)
    output = cloud.run("bulk_on", **load)
    cloud.behave()
    assert "load: available, a new instance class to come" in output or "load: modifying" in output
    during = parameters(cloud, "load")
    assert during["max_wal_size"] == ("4096", "user")
    assert during["checkpoint_timeout"] == ("1800", "user")
    assert cloud.instances()["load"]["DBInstanceClass"] == "db.r6g.xlarge"
    # As after a run that was killed while rows were copied.
    cloud.run("provider", **load)
    assert cloud.instances()["load"]["DBInstanceClass"] == "db.r6g.xlarge"

    assert changed(cloud.run("bulk_off", **load)) > 0
    after = parameters(cloud, "load")
    assert after["max_wal_size"] == ("2048", "system")
    assert after["checkpoint_timeout"] == ("600", "user")
    assert cloud.instances()["load"]["DBInstanceClass"] == "db.t4g.medium"
    assert changed(cloud.run("bulk_off", **load)) == 0


def test_a_server_keeps_its_port_and_the_way_to_it(cloud: Any) -> None:
    cloud.run("provider", name="port")
    port = cloud.instances()["port"]["Endpoint"]["Port"]
    cloud.run("provider", "database", name="port", rds_port=port + 1)
    groups = cloud.client("ec2").describe_security_groups()["SecurityGroups"]
    (rules,) = [group["IpPermissions"] for group in groups if group["GroupName"] == "pg-cutover-port"]
    assert [(rule["FromPort"], rule["ToPort"]) for rule in rules] == [(port, port)]


def test_aurora_keeps_the_class_of_a_load_until_it_is_over(cloud: Any) -> None:
    load = {"name": "big", "rds_engine": "aurora-postgresql", "rds_bulk_instance_class": "db.r6g.xlarge"}
    cloud.run("provider", "bulk_on", **load)
    cloud.run("provider", **load)
    assert cloud.instances()["big-1"]["DBInstanceClass"] == "db.r6g.xlarge"
    # Also where the inventory names no class for a load any more.
    cloud.run("bulk_off", **{**load, "rds_bulk_instance_class": ""})
    assert cloud.instances()["big-1"]["DBInstanceClass"] == "db.t4g.medium"


def test_aurora_cluster_with_a_reader(cloud: Any) -> None:
    aurora = {"name": "aurora", "rds_engine": "aurora-postgresql", "rds_read_replica": True}
    cloud.run("provider", "database", **aurora)
    (cluster,) = cloud.client("rds").describe_db_clusters(DBClusterIdentifier="aurora")["DBClusters"]
    assert cluster["StorageEncrypted"]
    assert cluster["DeletionProtection"]
    assert cluster["BackupRetentionPeriod"] == 7
    assert {one["DBInstanceIdentifier"] for one in cluster["DBClusterMembers"]} == {"aurora-1", "aurora-2"}
    assert changed(cloud.run("provider", "database", **aurora)) == 0
    assert json.loads(json.dumps(cluster["DBClusterParameterGroup"])) == "pg-cutover-aurora"
