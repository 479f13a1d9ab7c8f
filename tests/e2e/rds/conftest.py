# SPDX-License-Identifier: GPL-3.0-or-later
"""A cloud for the tests of the provider rds, and a way to run it there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from support import rds_cloud
from support.playbooks import ansible
from support.project import ROOT

HERE = ROOT / "tests/e2e/rds"


@dataclass
class Cloud:
    """The cloud, and what an operator's inventory says of it."""

    folder: Path
    subnets: dict[str, list[str]]

    def client(self, service: str) -> Any:
        """A client of the service, past the playbooks."""
        return boto3.client(
            service,
            endpoint_url=self.environment()["AWS_ENDPOINT_URL"],
            aws_access_key_id=rds_cloud.KEY,
            aws_secret_access_key=rds_cloud.KEY,
            region_name=rds_cloud.REGION,
        )

    def environment(self) -> dict[str, str]:
        """What the playbook's environment holds."""
        return rds_cloud.environment(self.folder)

    def instances(self) -> dict[str, dict[str, Any]]:
        """What the service tells of its instances."""
        return {one["DBInstanceIdentifier"]: one for one in self.client("rds").describe_db_instances()["DBInstances"]}

    def secret(self, name: str) -> dict[str, str]:
        """A master user's secret."""
        value = self.client("secretsmanager").get_secret_value(SecretId=f"pg-cutover/{name}/master")["SecretString"]
        found: dict[str, str] = json.loads(value)
        return found

    def behave(self, **how: Any) -> None:
        """How the service behaves from now on."""
        (self.folder / "behaviour.json").write_text(json.dumps(how))

    def run(
        self,
        *steps: str,
        name: str,
        fails: bool = False,
        arguments: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        **variables: Any,
    ) -> str:
        """Run the provider; what it printed, on one line as it were."""
        given = {
            "rds_steps": steps or ["provider"],
            "cutover_name": name,
            # The cloud's servers listen where its PostgreSQL does, whatever they are asked for.
            "rds_port": json.loads((self.folder / "state.json").read_text())["port"],
            "cutover_secrets_dir": str(self.folder / "secrets" / name),
            "rds_subnet_ids": self.subnets["two"],
            "rds_ca_bundle": str(self.folder / "ca.pem"),
            "rds_ca_path": str(self.folder / "installed" / f"{name}.pem"),
            **variables,
        }
        done = ansible(
            *(
                "-i",
                str(HERE / "inventory.yml"),
                str(HERE / "run.yml"),
                "-v",
                "--diff",
                "-e",
                json.dumps(given),
                *arguments,
            ),
            timeout=900,
            **{**self.environment(), **(environment or {})},
        )
        assert (done.returncode != 0) == fails, done.stdout[-6000:]
        for secret in self.client("secretsmanager").list_secrets()["SecretList"]:
            value = json.loads(self.client("secretsmanager").get_secret_value(SecretId=secret["ARN"])["SecretString"])
            assert value["password"] not in done.stdout, "the master user's password is in the output"
        return " ".join(done.stdout.split())


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The cloud, with a network; what the caller's own environment says of another one is out of sight."""
    own = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("AWS_")}
    folder = tmp_path_factory.mktemp("cloud")
    rds_cloud.start(folder)
    try:
        yield Cloud(folder, rds_cloud.network(folder))
    finally:
        rds_cloud.stop(folder)
        os.environ.update(own)


@pytest.fixture
def cloud(running: Cloud) -> Cloud:
    """The cloud, which behaves."""
    running.behave()
    return running
