# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong with RDS: each gets one message that says what to do, and a second run goes on."""

from __future__ import annotations

from typing import Any

import pytest

from support.certificates import Authority

pytestmark = pytest.mark.long

_MADE: Any = {"subnet groups": 0, "instances": 0, "secrets": 0}


def made(cloud: Any, name: str) -> dict[str, int]:
    """How many things of this name there are."""
    rds, secrets = cloud.client("rds"), cloud.client("secretsmanager")
    groups = rds.describe_db_subnet_groups()["DBSubnetGroups"]
    return {
        "subnet groups": sum(one["DBSubnetGroupName"] == f"pg-cutover-{name}" for one in groups),
        "instances": sum(one.startswith(name) for one in cloud.instances()),
        "secrets": sum(name in one["Name"] for one in secrets.list_secrets()["SecretList"]),
    }


@pytest.mark.parametrize(
    ("wrong", "environment", "message"),
    [
        (
            {"rds_backup_retention_days": 3, "rds_allowed_cidrs": ["0.0.0.0/0"]},
            {},
            "rds_backup_retention_days is 3; at least 7 days are needed. rds_allowed_cidrs holds 0.0.0.0/0, the whole internet;",
        ),
        ({"rds_region": "us-west-2"}, {}, "us-west-2 has no subnet subnet-"),
        ({"rds_instance_class": "db.t9.huge"}, {}, "eu-central-1 has no instance class db.t9.huge for postgres 16.4"),
        (
            {"rds_engine_version": "19"},
            {},
            "eu-central-1: AWS refused it. AWS says: InvalidParameterCombination: Cannot find version 19",
        ),
        ({}, {"AWS_ACCESS_KEY_ID": "AKIAWRONG"}, "AWS does not know these credentials. Check AWS_ACCESS_KEY_ID"),
        ({}, {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "The controller has no AWS credentials."),
        ({}, {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "the region eu-central-1 cannot be reached. Check rds_region"),
    ],
    ids=["variables", "region", "class", "version", "key", "no-key", "unreachable"],
)
def test_what_is_wrong_is_refused_before_anything_is_made(
    cloud: Any, wrong: dict[str, Any], environment: dict[str, str], message: str
) -> None:
    output = cloud.run(name="refused", fails=True, environment=environment, **wrong)
    assert message in output
    assert made(cloud, "refused") == _MADE


def test_subnets_in_one_zone_are_refused_before_anything_is_made(cloud: Any) -> None:
    output = cloud.run(name="refused", fails=True, rds_subnet_ids=cloud.subnets["one"])
    assert "All subnets in rds_subnet_ids lie in one availability zone (eu-central-1a); RDS needs two." in output
    assert made(cloud, "refused") == _MADE


def test_a_quota_that_is_used_up_is_named_and_the_next_run_goes_on(cloud: Any) -> None:
    cloud.behave(quota=0)
    output = cloud.run(name="quota", fails=True)
    assert "The account's quota in eu-central-1 is used up. Ask AWS for more (Service Quotas)" in output
    assert made(cloud, "quota") == {"subnet groups": 1, "instances": 0, "secrets": 1}
    password = cloud.secret("quota")["password"]

    cloud.behave()
    cloud.run(name="quota")
    assert made(cloud, "quota") == {"subnet groups": 1, "instances": 1, "secrets": 1}
    assert cloud.secret("quota")["password"] == password


def test_a_deadline_ends_the_wait_and_the_next_run_waits_on(cloud: Any) -> None:
    cloud.behave(seconds=30)
    output = cloud.run(name="slow", fails=True, rds_timeout=2)
    assert "slow: creating after 2 s (rds_timeout). AWS goes on with it: run again" in output
    assert cloud.instances()["slow"]["DBInstanceStatus"] in ("creating", "available")

    output = cloud.run(name="slow", rds_timeout=120)
    assert "] slow: available" in output
    assert "slow in eu-central-1, account 123456789012, is there" in output


def test_a_state_that_does_not_end_by_itself_is_not_waited_for(cloud: Any) -> None:
    cloud.behave(state="incompatible-parameters")
    output = cloud.run(name="stuck", fails=True, rds_timeout=600)
    assert "stuck is in the state incompatible-parameters: a parameter keeps PostgreSQL from starting" in output


def test_an_authority_that_has_not_signed_is_refused_at_the_login(cloud: Any) -> None:
    output = cloud.run(name="wrongca", fails=True, rds_ca_bundle=str(cloud.folder / "other-ca.pem"))
    assert "None of the authorities in rds_ca_bundle has signed the server's certificate." in output
    cloud.run(name="wrongca")


def test_a_bundle_that_has_expired_or_is_none_is_refused(cloud: Any) -> None:
    authority = Authority(cloud.folder / "expired")
    certificate, _ = authority.sign("old", server=True, days=-1)
    for path, message in (
        (certificate, "Every certificate in rds_ca_bundle"),
        (cloud.folder / "state.json", "holds no readable certificate"),
        (cloud.folder / "nowhere.pem", "cannot be read on the controller"),
    ):
        assert message in cloud.run("trust", name="expired", fails=True, rds_ca_bundle=str(path))
    assert not (cloud.folder / "installed" / "expired.pem").exists()


def foreign(cloud: Any, name: str) -> None:
    """Make an instance past the playbooks."""
    cloud.client("rds").create_db_instance(
        DBInstanceIdentifier=name,
        DBInstanceClass="db.t4g.medium",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="somebody",
        MasterUserPassword="longer-than-8",
    )


def test_an_instance_of_somebody_else_is_not_touched(cloud: Any) -> None:
    foreign(cloud, "foreign")
    output = cloud.run(name="foreign", fails=True)
    assert "There is an instance foreign in eu-central-1 that this role has not made" in output
    assert cloud.instances()["foreign"]["MasterUsername"] == "somebody"


@pytest.mark.parametrize(
    ("name", "beside", "variables"),
    [
        ("mine", "mine-replica", {"rds_read_replica": True}),
        ("ours", "ours-1", {"rds_engine": "aurora-postgresql"}),
    ],
)
def test_what_somebody_else_has_beside_it_is_not_touched(
    cloud: Any, name: str, beside: str, variables: dict[str, Any]
) -> None:
    foreign(cloud, beside)
    output = cloud.run(name=name, fails=True, **variables)
    assert f"{beside} in eu-central-1 is not {name}'s: this role has not made it" in output
    assert made(cloud, name) == {"subnet groups": 0, "instances": 1, "secrets": 0}
    assert cloud.instances()[beside]["MasterUsername"] == "somebody"


def test_groups_of_somebody_else_are_not_touched(cloud: Any) -> None:
    ec2, rds = cloud.client("ec2"), cloud.client("rds")
    network = ec2.describe_subnets(SubnetIds=cloud.subnets["two"])["Subnets"][0]["VpcId"]
    group = ec2.create_security_group(GroupName="pg-cutover-taken", Description="somebody's", VpcId=network)["GroupId"]
    rds.create_db_parameter_group(
        DBParameterGroupName="pg-cutover-taken", DBParameterGroupFamily="postgres16", Description="somebody's"
    )
    output = cloud.run(name="taken", fails=True)
    assert "The security group and the parameter group pg-cutover-taken in eu-central-1 are not taken's" in output
    assert made(cloud, "taken") == _MADE
    rules = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
    assert rules == []

    # Whoever says so lets the role have them.
    ec2.create_tags(Resources=[group], Tags=[{"Key": "pg-cutover", "Value": "taken"}])
    rds.delete_db_parameter_group(DBParameterGroupName="pg-cutover-taken")
    cloud.run(name="taken")
    assert made(cloud, "taken") == {"subnet groups": 1, "instances": 1, "secrets": 1}
