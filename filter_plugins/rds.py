# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role rds checks before AWS is asked, and what it makes of AWS's answers."""

from __future__ import annotations

import datetime
import ipaddress
import re
from typing import Any

#: Code of AWS, what it means here, and what to do.
_CODES = {
    "InvalidClientTokenId|UnrecognizedClientException|InvalidAccessKeyId|AuthFailure|SignatureDoesNotMatch|"
    "InvalidSignatureException": (
        "AWS does not know these credentials. Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or rds_profile."
    ),
    "ExpiredToken|ExpiredTokenException|RequestExpired": "The credentials have expired. Log in to AWS again.",
    "AccessDenied|AccessDeniedException|UnauthorizedOperation": (
        "These credentials may not do it. docs/provider-rds.md lists the rights that are needed."
    ),
    "InstanceQuotaExceeded|DBClusterQuotaExceededFault|StorageQuotaExceeded|DBSubnetGroupQuotaExceeded|"
    "DBParameterGroupQuotaExceeded|SecurityGroupLimitExceeded|DBInstanceQuotaExceeded": (
        "The account's quota in {region} is used up. Ask AWS for more (Service Quotas) or remove what is not used."
    ),
    "InsufficientDBInstanceCapacity|InsufficientDBClusterCapacityFault": (
        "AWS has no such machine left in these zones. Choose another rds_instance_class or other subnets."
    ),
    "DBSubnetGroupDoesNotCoverEnoughAZs": "The subnets must lie in at least two availability zones (rds_subnet_ids).",
    "KMSKeyNotAccessibleFault": "The key rds_kms_key_id cannot be used. Check its id, its region and its policy.",
    "InvalidVPCNetworkStateFault|InvalidSubnet": "The subnets do not fit. Check rds_subnet_ids.",
    "InvalidGroup.NotFound|InvalidGroupId.Malformed|InvalidSecurityGroupID.NotFound": (
        "A security group does not exist in {region}. Check rds_allowed_security_groups and rds_region."
    ),
}
#: What botocore says itself, when no answer came from AWS.
_WORDS = (
    (
        "Unable to locate credentials|NoCredentials|could not be found|Partial credentials",
        "The controller has no AWS credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or rds_profile.",
    ),
    (
        "Could not connect to the endpoint|EndpointConnectionError|Connect timeout|Invalid endpoint|not a valid",
        "AWS's service for the region {region} cannot be reached. Check rds_region and the controller's way out.",
    ),
    (
        "boto3 and botocore|Failed to import the required Python library",
        "The controller's Python has no boto3: run `make setup` again, or install boto3.",
    ),
)
#: What libpq says at a login.
_LOGIN = (
    (
        "certificate has expired",
        (
            "The server's certificate has expired. Give the instance a new one "
            "(aws rds modify-db-instance --ca-certificate-identifier)."
        ),
    ),
    (
        "certificate verify failed",
        (
            "None of the authorities in rds_ca_bundle has signed the server's certificate. Give AWS's current bundle; "
            "if it is the current one, somebody else answers in the server's place."
        ),
    ),
    ("does not match host name", "The certificate is another server's. Somebody else may be answering in its place."),
    ("password authentication failed", "The password in the secret (rds_secret_name) is not the master user's."),
    (
        "could not translate host name",
        "The name does not resolve there. Check the host's DNS; a new name takes a minute.",
    ),
    (
        "timeout expired|timed out|No route to host|Connection refused",
        "Nothing answers there. Check rds_allowed_cidrs, rds_allowed_security_groups, and the way to the subnets.",
    ),
    ("no pg_hba.conf entry", "The server takes no connection without TLS. Leave rds_sslmode at verify-full."),
)
_GOES_ON = "What was made is kept: after that run again, it goes on from there."


def rds_problem(failed: dict[str, Any], region: str, identifier: str) -> str:
    """One message for a task that failed while AWS was asked; a message of the role's own is passed on."""
    message = str(failed.get("msg", "a task failed without a message"))
    code = str((failed.get("error") or {}).get("code") or "")
    if not code:
        found = re.search(r"An error occurred \(([\w.]+)\)", message)
        code = found.group(1) if found else ""
    advice = next((text for codes, text in _CODES.items() if code in codes.split("|")), "") if code else ""
    if not code:
        said = message + str(failed.get("exception", ""))
        advice = next((text for words, text in _WORDS if re.search(words, said)), "")
    if not code and not advice:
        return message
    if not advice:
        advice = "AWS refused it."
    reason = re.sub(r"^.*?operation(?: \(.*?\))?: ", "", message, flags=re.S).strip().rstrip(".")
    told = f" AWS says: {code}: {reason}." if code else ""
    return f"{identifier} in {region}: {advice.format(region=region)}{told} {_GOES_ON}"


def rds_marked(instances: list[dict[str, Any]], tag: str, value: str) -> list[str]:
    """The names of the instances whose tag has the value."""
    return [one["db_instance_identifier"] for one in instances if (one.get("tags") or {}).get(tag) == value]


def rds_foreign(found: dict[str, list[dict[str, Any]]], tag: str, value: str) -> list[str]:
    """Kinds of which there is one, {kind: [what AWS told]}, whose tag does not have the value."""
    return [kind for kind, groups in found.items() if any((one.get("tags") or {}).get(tag) != value for one in groups)]


def rds_mistakes(given: dict[str, Any], reserved_users: list[str]) -> list[str]:
    """What is wrong with the role's variables."""
    found = []
    if not re.fullmatch(r"[a-z](-?[a-z0-9]){0,52}", given["identifier"]):
        found.append(
            f"rds_identifier is {given['identifier']}; it must start with a letter and hold at most 53 of a-z, 0-9 "
            "and single dashes."
        )
    if not given["region"]:
        found.append("rds_region is empty: name the AWS region, or set AWS_REGION.")
    if not re.fullmatch(r"db\.[a-z0-9-]+\.[a-z0-9]+", given["instance_class"]):
        found.append(
            f"rds_instance_class is {given['instance_class'] or 'not set'}; it must be a class such as db.t4g.medium."
        )
    if int(given["backup_retention_days"]) < 7:
        found.append(f"rds_backup_retention_days is {given['backup_retention_days']}; at least 7 days are needed.")
    if len(set(given["subnet_ids"])) < 2:
        found.append("rds_subnet_ids must name at least two subnets, in two availability zones.")
    if not given["allowed_cidrs"] and not given["allowed_security_groups"]:
        found.append(
            "Nobody could connect: name the networks or the security groups of the hosts in rds_allowed_cidrs or "
            "rds_allowed_security_groups."
        )
    found += [mistake for cidr in given["allowed_cidrs"] for mistake in _cidr_mistakes(cidr)]
    user = given["master_user"]
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", user) or user in reserved_users or user.startswith("pg_"):
        found.append(
            f"rds_master_user is {user}, which RDS does not take; use letters, digits and _, as cutover_admin."
        )
    if not re.fullmatch(r"\d+(\.\d+)*", given["engine_version"]) or int(given["engine_version"].split(".")[0]) < 15:
        found.append(
            f"rds_engine_version is {given['engine_version']}; PostgreSQL 15 or newer is needed, as 16 or 16.4."
        )
    most = int(given["max_allocated_storage"])
    if most and most < int(given["allocated_storage"]):
        found.append(f"rds_max_allocated_storage is {most}, less than rds_allocated_storage.")
    if str(given["parameters"].get("rds.force_ssl")) != "1":
        found.append("rds_parameters takes rds.force_ssl away; connections without TLS are not offered.")
    return found


def _cidr_mistakes(cidr: str) -> list[str]:
    try:
        network = ipaddress.ip_network(cidr)
    except ValueError:
        return [f"rds_allowed_cidrs holds {cidr}, which is no network such as 10.0.1.0/24."]
    if network.prefixlen == 0:
        return [f"rds_allowed_cidrs holds {cidr}, the whole internet; name the networks of the hosts that connect."]
    return []


def rds_subnet_mistakes(wanted: list[str], found: list[dict[str, Any]], region: str) -> list[str]:
    """What is wrong with the subnets that AWS has found."""
    there = {subnet["subnet_id"] for subnet in found}
    missing = [name for name in wanted if name not in there]
    if missing:
        mistake = f"{region} has no subnet {', '.join(missing)} (rds_subnet_ids) for these credentials. "
        return [mistake + "Check the ids, rds_region, and the account."]
    networks = sorted({subnet["vpc_id"] for subnet in found})
    if len(networks) > 1:
        return [f"The subnets in rds_subnet_ids belong to several VPCs ({', '.join(networks)}); RDS needs one."]
    zones = sorted({subnet["availability_zone"] for subnet in found})
    if len(zones) < 2:
        mistake = f"All subnets in rds_subnet_ids lie in one availability zone ({', '.join(zones)}); RDS needs two. "
        return [mistake + "Add a subnet of the VPC in another zone."]
    return []


def rds_rules(cidrs: list[str], groups: list[str], port: int) -> list[dict[str, Any]]:
    """The security group's rules."""
    rule = {"proto": "tcp", "ports": [int(port)], "rule_desc": "PostgreSQL"}
    rules = [{**rule, "cidr_ipv6" if ":" in cidr else "cidr_ip": cidr} for cidr in cidrs]
    return rules + [{**rule, "group_id": group} for group in groups]


def rds_summary(given: dict[str, Any]) -> list[str]:
    """What costs money, for the operator to read before it is made."""
    now, aurora = given["now"], given["engine"] == "aurora-postgresql"
    kind = "Aurora cluster" if aurora else "RDS instance"
    if now:
        state = f"is there ({now.get('status') or now.get('db_instance_status')}"
        state += f", {now['db_instance_class']})" if now.get("db_instance_class") else ")"
    else:
        state = "would be created (check mode creates nothing)" if given["check_mode"] else "is created now"
    size = given["instance_class"]
    count = 2 if aurora and (given["multi_az"] or given["read_replica"]) else 1
    standby = ", doubled for a standby in a second zone (rds_multi_az)" if given["multi_az"] and not aurora else ""
    # Without colons: Ansible would put quotes around the line.
    lines = [
        f"{kind} {given['identifier']} in {given['region']}, account {given['account']}, {state}. What costs money",
        f"{given['engine']} {given['version']} on {count} x {size}{standby}",
    ]
    if not aurora:
        grow = f", growing up to {given['max_storage']} GiB" if given["max_storage"] else ""
        lines.append(f"storage of {given['storage']} GiB {given['storage_type']}, encrypted{grow}")
        lines.append(f"read replica on 1 x {size}" if given["read_replica"] else "no read replica")
    if given["bulk_instance_class"]:
        lines.append(
            f"{given['bulk_instance_class']} while rows are copied, then {size} again; each change restarts the server "
            "and takes minutes"
        )
    protection = "on" if given["deletion_protection"] else "OFF"
    lines.append(f"backups kept for {given['backup_days']} days; deletion protection {protection}")
    return lines


def rds_bundle_mistake(bundle: str, where: str) -> str:
    """Why a bundle of authorities is of no use; empty when it is."""
    from cryptography import x509

    pems = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", bundle, re.S)
    try:
        ends = [_end(x509.load_pem_x509_certificate(pem.encode())) for pem in pems]
    except ValueError:
        ends = []
    if not ends:
        return f"rds_ca_bundle ({where}) holds no readable certificate; give AWS's bundle in the PEM format."
    if max(ends) < datetime.datetime.now(datetime.timezone.utc):
        return (
            f"Every certificate in rds_ca_bundle ({where}) has expired, the last on {max(ends):%Y-%m-%d}. "
            "Download AWS's bundle anew."
        )
    return ""


def _end(certificate: Any) -> datetime.datetime:
    # The older libraries know only the naive form.
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_after_utc  # type: ignore[no-any-return]  # cryptography's own type
    return certificate.not_valid_after.replace(tzinfo=datetime.timezone.utc)  # type: ignore[no-any-return]  # cryptography's own type


def rds_login_problem(failed: dict[str, Any], host: str, port: int, asker: str, user: str) -> str:
    """One message for a login that failed."""
    said = str(failed.get("msg", ""))
    advice = next((text for words, text in _LOGIN if re.search(words, said)), "Look at the reason.")
    reason = " ".join(said.split()).rpartition("failed: ")[2].rstrip(".") or "no TLS on the connection"
    return f"{asker} cannot log in to {host}:{port} as {user}: {reason}. {advice} The database is kept; run again after that."


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, Any]:
        """Names and functions."""
        return {
            "rds_bundle_mistake": rds_bundle_mistake,
            "rds_login_problem": rds_login_problem,
            "rds_foreign": rds_foreign,
            "rds_marked": rds_marked,
            "rds_mistakes": rds_mistakes,
            "rds_problem": rds_problem,
            "rds_rules": rds_rules,
            "rds_subnet_mistakes": rds_subnet_mistakes,
            "rds_summary": rds_summary,
        }
