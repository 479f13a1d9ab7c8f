# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role rds decides without asking AWS."""

from __future__ import annotations

from typing import Any

import pytest

from support.project import load

rds = load("filter_plugins/rds.py")
parameters = load("library/rds_parameters.py")
orderable = load("library/rds_orderable.py")
wait = load("action_plugins/rds_wait.py")

GOOD: dict[str, Any] = {
    "identifier": "shop",
    "region": "eu-central-1",
    "instance_class": "db.t4g.medium",
    "backup_retention_days": 7,
    "subnet_ids": ["subnet-1", "subnet-2"],
    "allowed_cidrs": ["10.0.1.0/24"],
    "allowed_security_groups": [],
    "master_user": "cutover_admin",
    "engine_version": "16",
    "allocated_storage": 20,
    "max_allocated_storage": 0,
    "parameters": {"rds.force_ssl": "1"},
}


def mistakes(**changes: Any) -> list[str]:
    """What is said of the good variables with changes."""
    found: list[str] = rds.rds_mistakes({**GOOD, **changes}, ["rdsadmin", "admin"])
    return found


def test_good_variables_are_taken() -> None:
    assert mistakes() == []
    assert mistakes(engine_version="17.2", allowed_cidrs=["2001:db8::/32"], max_allocated_storage=100) == []
    assert mistakes(allowed_cidrs=[], allowed_security_groups=["sg-1"]) == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"identifier": "Shop"}, "rds_identifier"),
        ({"identifier": "shop--two"}, "rds_identifier"),
        ({"identifier": "shop-"}, "rds_identifier"),
        ({"region": ""}, "rds_region is empty"),
        ({"instance_class": ""}, "rds_instance_class is not set"),
        ({"instance_class": "t4g.medium"}, "rds_instance_class"),
        ({"backup_retention_days": 6}, "at least 7"),
        ({"subnet_ids": ["subnet-1", "subnet-1"]}, "at least two subnets"),
        ({"allowed_cidrs": []}, "Nobody could connect"),
        ({"allowed_cidrs": ["10.0.1.5/24"]}, "no network"),
        ({"allowed_cidrs": ["0.0.0.0/0"]}, "the whole internet"),
        ({"allowed_cidrs": ["::/0"]}, "the whole internet"),
        ({"master_user": "rdsadmin"}, "rds_master_user"),
        ({"master_user": "pg_me"}, "rds_master_user"),
        ({"engine_version": "14.9"}, "PostgreSQL 15"),
        ({"engine_version": "sixteen"}, "rds_engine_version"),
        ({"max_allocated_storage": 10}, "less than rds_allocated_storage"),
        ({"parameters": {"rds.force_ssl": "0"}}, "rds.force_ssl"),
    ],
)
def test_each_mistake_is_named_once(changes: dict[str, Any], word: str) -> None:
    (found,) = mistakes(**changes)
    assert word in found


def test_all_mistakes_are_told_at_once() -> None:
    assert len(mistakes(region="", instance_class="", backup_retention_days=0)) == 3


def subnet(name: str, zone: str, vpc: str = "vpc-1") -> dict[str, str]:
    """A subnet as AWS describes it."""
    return {"subnet_id": name, "availability_zone": zone, "vpc_id": vpc}


@pytest.mark.parametrize(
    ("found", "word"),
    [
        ([subnet("a", "z1")], "has no subnet b"),
        ([subnet("a", "z1"), subnet("b", "z1")], "one availability zone (z1)"),
        ([subnet("a", "z1"), subnet("b", "z2", "vpc-2")], "several VPCs (vpc-1, vpc-2)"),
    ],
)
def test_subnets_that_do_not_do_are_told_why(found: list[dict[str, str]], word: str) -> None:
    (mistake,) = rds.rds_subnet_mistakes(["a", "b"], found, "eu-central-1")
    assert word in mistake
    assert rds.rds_subnet_mistakes(["a", "b"], [subnet("a", "z1"), subnet("b", "z2")], "eu-central-1") == []


def test_rules_let_in_networks_of_both_kinds_and_groups() -> None:
    assert [
        sorted(set(rule) - {"proto", "ports", "rule_desc"})
        for rule in rds.rds_rules(["10.0.0.0/8", "2001:db8::/32"], ["sg-1"], 5432)
    ] == [
        ["cidr_ip"],
        ["cidr_ipv6"],
        ["group_id"],
    ]


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("InstanceQuotaExceeded", "quota in eu-central-1 is used up"),
        ("StorageQuotaExceeded", "quota in eu-central-1 is used up"),
        ("InvalidClientTokenId", "does not know these credentials"),
        ("ExpiredToken", "have expired"),
        ("AccessDenied", "may not do it"),
        ("InsufficientDBInstanceCapacity", "no such machine left"),
        ("SomethingNew", "AWS refused it"),
    ],
)
def test_an_error_of_aws_is_told_with_what_to_do(code: str, word: str) -> None:
    message = f"Unable to create DB instance: An error occurred ({code}) when calling the CreateDBInstance operation: The reason."
    told = rds.rds_problem({"msg": message}, "eu-central-1", "shop")
    assert told.startswith("shop in eu-central-1: ")
    assert word in told
    assert f"AWS says: {code}: The reason." in told
    assert "run again" in told


def test_words_of_an_error_with_a_code_are_not_taken_for_botocores() -> None:
    reason = (
        "An error occurred (DBSubnetGroupNotFoundFault) when calling the X operation: The group could not be found."
    )
    told = rds.rds_problem({"msg": f"Unable to create: {reason}"}, "eu-central-1", "shop")
    assert "AWS refused it. AWS says: DBSubnetGroupNotFoundFault: The group could not be found." in told
    assert "credentials" not in told
    told = rds.rds_problem({"msg": "Unable to locate credentials"}, "eu-central-1", "shop")
    assert "The controller has no AWS credentials." in told


def test_instances_are_told_by_their_tags() -> None:
    found = [
        {"db_instance_identifier": "shop-1", "tags": {"pg-cutover": "shop", "pg-cutover-load": "on"}},
        {"db_instance_identifier": "shop-2", "tags": {"pg-cutover": "shop", "pg-cutover-load": "off"}},
        {"db_instance_identifier": "shop-replica", "tags": {}},
    ]
    assert rds.rds_marked(found, "pg-cutover-load", "on") == ["shop-1"]
    assert rds.rds_marked(found, "pg-cutover", "shop") == ["shop-1", "shop-2"]
    assert rds.rds_marked([], "pg-cutover", "shop") == []


def test_groups_of_somebody_else_are_told_by_their_tag() -> None:
    found = {
        "subnet group": [{"tags": {"pg-cutover": "shop"}}],
        "security group": [{"tags": {"pg-cutover": "other"}}],
        "parameter group": [{"tags": None}],
        "cluster parameter group": [],
    }
    assert rds.rds_foreign(found, "pg-cutover", "shop") == ["security group", "parameter group"]


def test_a_message_of_the_roles_own_is_passed_on() -> None:
    assert rds.rds_problem({"msg": "Nothing was changed."}, "eu-central-1", "shop") == "Nothing was changed."


def test_parameters_are_set_at_once_or_at_the_restart_and_reset_only_where_somebody_set_them() -> None:
    known = {
        "work_mem": {"ApplyType": "dynamic", "Source": "engine-default"},
        "max_wal_size": {"ApplyType": "dynamic", "Source": "user", "ParameterValue": "4096"},
        "max_connections": {"ApplyType": "static", "Source": "system", "ParameterValue": "100"},
        "log_lock_waits": {"ApplyType": "dynamic", "Source": "user", "ParameterValue": "1"},
    }
    modify, reset = parameters.plan(
        known, {"work_mem": "64", "max_connections": "200", "log_lock_waits": "1"}, ["max_wal_size", "work_mem"]
    )
    assert modify == [
        {"ParameterName": "max_connections", "ParameterValue": "200", "ApplyMethod": "pending-reboot"},
        {"ParameterName": "work_mem", "ParameterValue": "64", "ApplyMethod": "immediate"},
    ]
    assert reset == [{"ParameterName": "max_wal_size", "ApplyMethod": "immediate"}]


def test_a_class_without_encryption_storage_or_standby_is_told() -> None:
    option = {"SupportsStorageEncryption": True, "StorageType": "gp2", "MultiAZCapable": False}
    assert orderable.problem([option], "gp2", False) == ""
    assert "encrypted" in orderable.problem([{**option, "SupportsStorageEncryption": False}], "gp2", False)
    assert "gp3" in orderable.problem([option], "gp3", False)
    assert "standby" in orderable.problem([option], "gp2", True)
    assert orderable.alike("db.t4g.huge", ["db.m6g.large", "db.t4g.micro", "db.m6g.large"]) == [
        "db.t4g.micro",
        "db.m6g.large",
    ]


def test_an_instance_whose_class_is_about_to_change_is_not_done() -> None:
    now = {"db_instance_status": "available"}
    assert wait._state([now], "db_instance_status") == "available"
    assert (
        wait._state([{**now, "pending_modified_values": {"db_instance_class": "db.x"}}], "db_instance_status")
        != "available"
    )
    assert wait._state([], "db_instance_status") == "not there yet"
    assert wait._done({"a": "available", "b": "storage-optimization"})
    assert not wait._done({"a": "available", "b": "creating"})
    assert "storage is full" in wait._stuck({"a": "available", "b": "storage-full"})


def summary(**changes: Any) -> list[str]:
    """What is shown of a plain new instance with changes."""
    plain = {
        "identifier": "shop",
        "region": "eu-central-1",
        "account": "1",
        "engine": "postgres",
        "version": "16.4",
        "now": {},
        "instance_class": "db.t4g.medium",
        "bulk_instance_class": "",
        "storage": 20,
        "max_storage": 0,
        "storage_type": "gp3",
        "multi_az": False,
        "read_replica": False,
        "backup_days": 7,
        "deletion_protection": True,
        "check_mode": False,
    }
    found: list[str] = rds.rds_summary({**plain, **changes})
    return found


def test_summary_names_what_is_paid_for() -> None:
    plain = "\n".join(summary())
    assert "is created now" in plain
    assert "postgres 16.4 on 1 x db.t4g.medium\n" in plain
    assert "no read replica" in plain
    dear = "\n".join(summary(multi_az=True, read_replica=True, bulk_instance_class="db.r6g.xlarge", max_storage=100))
    assert "doubled for a standby" in dear
    assert "growing up to 100 GiB" in dear
    assert "read replica on 1 x db.t4g.medium" in dear
    assert "db.r6g.xlarge while rows are copied, then db.t4g.medium again" in dear
    assert "would be created (check mode creates nothing)" in summary(check_mode=True)[0]
    assert (
        "is there (available, db.x)" in summary(now={"db_instance_status": "available", "db_instance_class": "db.x"})[0]
    )
    aurora = summary(engine="aurora-postgresql", read_replica=True, deletion_protection=False)
    assert aurora[1] == "aurora-postgresql 16.4 on 2 x db.t4g.medium"
    assert "deletion protection OFF" in aurora[-1]
    assert not any(": " in line for line in summary(multi_az=True) + aurora)


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("SSL error: certificate verify failed", "None of the authorities in rds_ca_bundle"),
        ("SSL error: certificate has expired", "has expired"),
        ('server certificate for "a" does not match host name "b"', "another server's"),
        ('FATAL:  password authentication failed for user "x"', "rds_secret_name"),
        ('could not translate host name "x" to address', "does not resolve"),
        ("timeout expired", "rds_allowed_cidrs"),
        ('FATAL:  no pg_hba.conf entry for host "h", no encryption', "without TLS"),
    ],
)
def test_a_login_that_failed_is_told_with_what_to_do(said: str, word: str) -> None:
    message = f'unable to connect to database: connection to server at "db" (10.0.0.1), port 5432 failed: {said}\n'
    told = rds.rds_login_problem({"msg": message}, "db", 5432, "web1", "cutover_admin")
    assert told.startswith(f"web1 cannot log in to db:5432 as cutover_admin: {' '.join(said.split())}. ")
    assert word in told
