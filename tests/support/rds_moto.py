# SPDX-License-Identifier: GPL-3.0-or-later
"""What moto's RDS lacks or does otherwise than AWS, as far as the role rds notices.

Parameters with their kinds, a reset of them, versions and instance classes on offer, states that take their time, a quota, and an
endpoint where a real PostgreSQL listens.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.core.responses import ActionResult
from moto.rds import models
from moto.rds.exceptions import DBParameterGroupNotFoundError, RDSClientError
from moto.rds.responses import RDSResponse

from support.rds_postgres import RdsPostgres

_VERSIONS = ("15.8", "16.4", "17.2")
_CLASSES = ("db.t4g.micro", "db.t4g.medium", "db.m6g.large", "db.r6g.xlarge")
_MEMORY = "GREATEST({DBInstanceClassMemory*1024/63963136},65536)"
# Name: kind, and RDS's own default, where it has one.
_PARAMETERS = {
    "checkpoint_timeout": ("dynamic", None),
    "log_lock_waits": ("dynamic", None),
    "log_min_duration_statement": ("dynamic", None),
    "maintenance_work_mem": ("dynamic", _MEMORY),
    "max_connections": ("static", "LEAST({DBInstanceClassMemory/9531392},5000)"),
    "max_parallel_maintenance_workers": ("dynamic", None),
    "max_wal_size": ("dynamic", "2048"),
    "rds.force_ssl": ("dynamic", "1"),
    "shared_preload_libraries": ("static", "pg_stat_statements"),
    "work_mem": ("dynamic", None),
}
_FIXED = {"rds.extensions": "pg_stat_statements"}


class Behaviour:
    """How the service behaves at this moment: a file that a test may write."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, name: str, default: Any) -> Any:
        """One setting."""
        try:
            return json.loads(self.path.read_text()).get(name, default)
        except FileNotFoundError:
            return default


def install(server: RdsPostgres, behaviour: Behaviour) -> None:
    """Change moto in this process."""
    _parameters()
    _offers()
    _states(server, behaviour)
    _clusters(server)


# ---------------------------------------------------------------- parameters


def _described(own: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for name, (kind, default) in _PARAMETERS.items():
        parameter = {"ParameterName": name, "ApplyType": kind, "DataType": "string", "IsModifiable": True}
        if name in own:
            parameter |= {"ParameterValue": own[name]["ParameterValue"], "Source": "user"}
        elif default is None:
            parameter["Source"] = "engine-default"
        else:
            parameter |= {"ParameterValue": default, "Source": "system"}
        found.append(parameter)
    for name, value in _FIXED.items():
        found.append({"ParameterName": name, "ParameterValue": value, "IsModifiable": False, "Source": "system"})
    return found


def _check(changes: Iterable[dict[str, Any]]) -> None:
    for change in changes:
        name = change["ParameterName"]
        if name not in _PARAMETERS:
            raise RDSClientError("InvalidParameterValue", f"Could not find parameter with name: {name}")
        if _PARAMETERS[name][0] == "static" and change["ApplyMethod"] == "immediate":
            raise RDSClientError(
                "InvalidParameterCombination", "cannot use immediate apply method for static parameter"
            )


def _checked(original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def update(self: Any, changes: Any) -> None:
        _check(changes)
        original(self, changes)

    return update


def _parameters() -> None:
    backend: Any = models.RDSBackend
    groups = backend.describe_db_parameter_groups

    def describe_db_parameter_groups(self: Any, kwargs: dict[str, Any]) -> Any:
        found = groups(self, kwargs)
        name = kwargs.get("db_parameter_group_name")
        if name and not found:
            raise DBParameterGroupNotFoundError(name)
        return found

    backend.describe_db_parameter_groups = describe_db_parameter_groups
    for group, update in (
        (models.DBParameterGroup, "update_parameters"),
        (models.DBClusterParameterGroup, "update_cluster_parameters"),
    ):
        setattr(group, update, _checked(getattr(group, update)))

    def own(self: Any, cluster: bool) -> dict[str, Any]:
        if cluster:
            name = self.params["DBClusterParameterGroupName"]
            found: dict[str, Any] = self.backend.describe_db_cluster_parameter_groups(name)[0].parameters
        else:
            name = self.params["DBParameterGroupName"]
            found = self.backend.describe_db_parameter_groups({"db_parameter_group_name": name})[0].parameters
        return found

    def reset(self: Any, cluster: bool) -> ActionResult:
        parameters, changes = own(self, cluster), [one.original_dict() for one in self.params["Parameters"]]
        _check(changes)
        for change in changes:
            parameters.pop(change["ParameterName"], None)
        key = "DBClusterParameterGroupName" if cluster else "DBParameterGroupName"
        return ActionResult({key: self.params[key]})

    response: Any = RDSResponse
    response.describe_db_parameters = lambda self: ActionResult({"Parameters": _described(own(self, False))})
    response.describe_db_cluster_parameters = lambda self: ActionResult({"Parameters": _described(own(self, True))})
    response.reset_db_parameter_group = lambda self: reset(self, False)
    response.reset_db_cluster_parameter_group = lambda self: reset(self, True)


# ---------------------------------------------------------------- what is on offer


def _offers() -> None:
    response: Any = RDSResponse

    def describe_db_engine_versions(self: Any) -> ActionResult:
        engine, version = self.params.get("Engine"), self.params.get("EngineVersion") or ""
        found = [one for one in _VERSIONS if one == version or one.startswith(version + ".")]
        if not found:
            raise RDSClientError("InvalidParameterCombination", f"Cannot find version {version} for {engine}")
        described = [
            {"Engine": engine, "EngineVersion": one, "DBParameterGroupFamily": f"{engine}{one.split('.')[0]}"}
            for one in found
        ]
        return ActionResult({"DBEngineVersions": described})

    def describe_orderable_db_instance_options(self: Any) -> ActionResult:
        engine, wanted = self.params["Engine"], self.params.get("DBInstanceClass")
        storages = ("aurora",) if engine.startswith("aurora") else ("gp2", "gp3")
        options = [
            {
                "Engine": engine,
                "EngineVersion": self.params["EngineVersion"],
                "DBInstanceClass": name,
                "StorageType": storage,
                "SupportsStorageEncryption": True,
                "MultiAZCapable": name != "db.t4g.micro",
            }
            for name in _CLASSES
            for storage in storages
            if wanted in (None, name)
        ]
        return ActionResult({"OrderableDBInstanceOptions": options})

    response.describe_db_engine_versions = describe_db_engine_versions
    response.describe_orderable_db_instance_options = describe_orderable_db_instance_options


# ---------------------------------------------------------------- states that take their time


def _states(server: RdsPostgres, behaviour: Behaviour) -> None:
    backend: Any = models.RDSBackend
    create, modify = backend.create_db_instance, backend.modify_db_instance
    describe, replicate = backend.describe_db_instances, backend.create_db_instance_read_replica

    def begin(instance: Any, state: str) -> None:
        instance.status = state
        instance.ready_at = time.monotonic() + behaviour.get("seconds", 0.5)

    def create_db_instance(self: Any, kwargs: dict[str, Any]) -> Any:
        if len(self.databases) >= behaviour.get("quota", 40):
            raise RDSClientError("InstanceQuotaExceeded", "DB Instance quota exceeded")
        instance = create(self, kwargs)
        if instance.db_cluster_identifier is None:
            server.make_master(kwargs["master_username"], kwargs["master_user_password"])
            if instance.storage_type == "gp3":
                instance.iops = 3000
        else:
            # A member lies in its cluster's subnets.
            instance.db_subnet_group_name = self.clusters[instance.db_cluster_identifier].db_subnet_group_name
        begin(instance, "creating")
        return instance

    def create_db_instance_read_replica(self: Any, kwargs: dict[str, Any]) -> Any:
        instance = replicate(self, kwargs)
        instance.replicas = []
        begin(instance, "creating")
        return instance

    def modify_db_instance(self: Any, name: str, kwargs: dict[str, Any]) -> Any:
        instance = describe_db_instances(self, name)[0]
        if instance.status != "available":
            raise RDSClientError("InvalidDBInstanceState", f"Database instance {name} is not in available state.")
        wanted = kwargs.get("db_instance_class")
        if wanted and wanted != instance.db_instance_class:
            kwargs = {key: value for key, value in kwargs.items() if key != "db_instance_class"}
            instance.pending_modified_values = {"DBInstanceClass": wanted}
            begin(instance, "modifying")
        return modify(self, name, kwargs)

    def describe_db_instances(self: Any, name: str | None = None, filters: Any = None) -> Any:
        found = describe(self, name, filters)
        for instance in found:
            if time.monotonic() >= getattr(instance, "ready_at", 0):
                instance.status = behaviour.get("state", "available")
                pending = getattr(instance, "pending_modified_values", None) or {}
                instance.db_instance_class = pending.get("DBInstanceClass", instance.db_instance_class)
                instance.pending_modified_values = {}
        return found

    backend.create_db_instance = create_db_instance
    backend.create_db_instance_read_replica = create_db_instance_read_replica
    backend.modify_db_instance = modify_db_instance
    backend.describe_db_instances = describe_db_instances

    instance: Any = models.DBInstance
    here = {"Address": "localhost", "Port": server.port}
    instance.endpoint = property(lambda self: None if self.status == "creating" else here)
    throughput = instance.storage_throughput
    instance.storage_throughput = property(
        lambda self: throughput.fget(self) or (125 if self.storage_type == "gp3" else None), throughput.fset
    )


def _clusters(server: RdsPostgres) -> None:
    backend: Any = models.RDSBackend
    create = backend.create_db_cluster

    def create_db_cluster(self: Any, kwargs: dict[str, Any]) -> Any:
        cluster = create(self, kwargs)
        cluster.port = server.port
        server.make_master(kwargs["master_username"], kwargs["master_user_password"])
        return cluster

    backend.create_db_cluster = create_db_cluster
    cluster: Any = models.DBCluster
    cluster.endpoint = property(lambda self: "localhost")
