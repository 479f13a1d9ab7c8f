# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows the inventory, and so which tenants a fleet has and what each one's run needs to be given."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import ansible.constants as C
from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

# The engine; the plugin runs on the controller, where it is a folder beside it.
_ENGINE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "module_utils")
if _ENGINE not in sys.path:
    sys.path.append(_ENGINE)

import cutover_controller as controller  # noqa: E402 - behind the path that finds it

from cutover.errors import CutoverError  # noqa: E402 - behind the path that finds it
from cutover.fleet import summary, tenants  # noqa: E402 - behind the path that finds it


class ActionModule(ActionBase):
    """Resolves the tenants, and prepares their runs."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the tenants, and what to run."""
        result = super().run(tmp, task_vars)
        self._vars: dict[str, Any] = task_vars or {}
        args = self._task.args
        self._playbook: str = os.path.basename(args["playbook"])
        #: Hosts that were asked for their files and did not answer.
        self._silent: list[str] = []
        try:
            controller.refuse_options()
            found = self._tenants(args.get("found") or {})
            # Before anything is resolved: what is looked up by a name that is none would fail with a message of its own.
            tenants.check_names(found)
            found = [self._resolved(each) for each in found]
            only = tenants.listed(args.get("only"))
            found = tenants.chosen(found, only, self._silent)
            result["tenants"] = [
                {
                    "tenant": each.name,
                    "host": each.host,
                    "path": each.path,
                    "name": each.settings["cutover_name"],
                    "state_dir": each.settings["cutover_state_dir"],
                }
                for each in found
            ]
            if args["state"] == "ready":
                looked = args.get("looked") or {}
                tenants.check_files(found, looked)
                tenants.check_shared(found, looked, self._playbook)
                # Who names tenants, and got them all, waits for no other.
                entries = [] if only else [summary.silent(host, self._unseen(host)) for host in self._silent]
                result["fleet"] = self._prepare(found, looked, int(args.get("forks") or 1), args["playbook"], entries)
        except CutoverError as error:
            result.update(failed=True, msg=error.message)
        return result

    # ---------------------------------------------------------------- which

    def _tenants(self, found: dict[str, list[str]]) -> list[tenants.Tenant]:
        own = self._template(self._vars, "cutover_tenants_path", "")
        by_host = self._template(self._vars, "cutover_tenants_hosts", False)
        given = self._vars.get("cutover_tenants") or {}
        # Values stay as they are written: what is resolved here would stand in clear text in a file.
        if not isinstance(given, dict):
            given = self._template(self._vars, "cutover_tenants", {})
        ways = [
            name
            for name, value in (
                ("cutover_tenants", given),
                ("cutover_tenants_path", own),
                ("cutover_tenants_hosts", by_host),
            )
            if value
        ]
        if len(ways) != 1:
            there = f"there are {len(ways)} ({', '.join(ways)})" if ways else "there is none"
            raise CutoverError(
                f"A fleet needs one description of its tenants, and {there}. Set cutover_tenants (by name), "
                "cutover_tenants_path (by files) or cutover_tenants_hosts: true (by host). "
                "Nothing was started, nothing was changed."
            )
        if given:
            return tenants.from_dict(given, self._source_hosts())
        if not own:
            return tenants.from_hosts(self._source_hosts())
        self._silent = [host for host in self._source_hosts() if host not in found]
        return tenants.from_files(found, str(own))

    def _unseen(self, host: str) -> str:
        """Why a host could say nothing, as far as it is known."""
        return str((self._task.args.get("unseen") or {}).get(host) or "")

    def _source_hosts(self) -> list[str]:
        groups = self._vars["groups"]
        return list(groups.get("source") or groups["all"])

    def _template(self, variables: dict[str, Any], name: str, default: Any) -> Any:
        if name not in variables:
            return default
        templar = self._templar.copy_with_new_env(available_variables=variables)
        return templar.template(variables[name])

    def _variables(self, host: str, tenant: tenants.Tenant) -> dict[str, Any]:
        """What a host of a tenant's run will see, as far as it is known before."""
        hostvars = self._vars["hostvars"]
        known = {"cutover_name": tenant.name, **tenant.variables}
        return {**hostvars.raw_get(host), "hostvars": hostvars, **known, **self._extra()}

    def _extra(self) -> dict[str, Any]:
        return {
            key: value for key, value in load_extra_vars(self._loader).items() if not tenants.OWN.fullmatch(str(key))
        }

    def _resolved(self, tenant: tenants.Tenant) -> tenants.Tenant:
        try:
            settings = self._settings(tenant)
        except AnsibleError as error:
            raise CutoverError(
                f"Tenant {tenant.name}: a variable cannot be resolved: {error}. Nothing was started, nothing was changed."
            ) from None
        return tenants.Tenant(tenant.name, tenant.host, tenant.variables, settings, tenant.hosts)

    def _settings(self, tenant: tenants.Tenant) -> dict[str, Any]:
        variables = self._variables(tenant.host, tenant)

        def read(name: str, default: Any = "") -> Any:
            return self._template(variables, name, default)

        name = str(read("cutover_name"))
        provider = str(read("cutover_provider", "native"))
        rehearsal = boolean(read("cutover_rehearsal", False), strict=False)
        url = str(read("cutover_target_url") or os.environ.get("CUTOVER_TARGET_URL", ""))
        if rehearsal:
            url = str(read("cutover_rehearsal_url") or os.environ.get("CUTOVER_REHEARSAL_URL", ""))
        groups = self._vars["groups"]
        alone = self._playbook == "migrate.yml" or (
            self._playbook in tenants.ALONE and url and not groups.get("postgres") and not groups.get("app")
        )
        # RDS has no host of its own in the inventory.
        by_url = alone or provider == "external" or (provider != "rds" and not groups.get("postgres"))
        return {
            "cutover_name": name,
            "cutover_source_path": str(read("cutover_source_path")),
            "cutover_state_dir": str(read("cutover_state_dir")),
            "cutover_secrets_dir": str(read("cutover_secrets_dir")),
            "cutover_report_dir": str(read("cutover_report_dir", "reports")),
            "rehearsal": rehearsal,
            # Where several may stand on one host. An instance of RDS is each tenant's own, and none waits for another's.
            "provider": "" if by_url or provider == "rds" else provider,
            "database": (tenants.place(url) if url else ()) if by_url else (provider, name.replace("-", "_")),
            # Whether the database is there already, so that several may share it, each in its schema.
            "given": by_url,
            "schema": self._schema(variables),
            "application_role": tenants.user(str(read("cutover_application_url"))) or f"{name.replace('-', '_')}_app",
            **self._look_up(tenant),
            "servers": self._servers(tenant) if self._playbook in tenants.SERVERS else [],
            "alone": [] if by_url else self._alone(tenant, provider, read),
        }

    def _schema(self, variables: dict[str, Any]) -> str:
        """The schema that the plan names. Nothing else of the overrides is resolved here: that may need facts of a run."""
        given = variables.get("cutover_plan_overrides")
        if isinstance(given, dict):
            return str(self._template({**variables, "__schema": given.get("schema", "public")}, "__schema", ""))
        return tenants.schema(self._template(variables, "cutover_plan_overrides", {}))

    def _look_up(self, tenant: tenants.Tenant) -> dict[str, str]:
        """With what PgBouncer looks up passwords in the database, where that may be set up there."""
        seen = self._seen(tenant)
        for host in self._vars["groups"].get("pgbouncer") or []:
            variables = self._variables(host, tenant)
            managed = boolean(self._template(variables, "pgbouncer_manage_auth_function", True), strict=False)
            if host in seen and managed and self._template(variables, "pgbouncer_auth_method", "auto") != "file":
                return {
                    "pgbouncer_auth_user": str(self._template(variables, "pgbouncer_auth_user", "pgbouncer_auth")),
                    "pgbouncer_auth_schema": str(self._template(variables, "pgbouncer_auth_schema", "pgbouncer")),
                }
        return {}

    def _servers(self, tenant: tenants.Tenant) -> list[tuple[str, str, str]]:
        """(variable, host, value) of what there is once on a host."""
        seen = self._seen(tenant)
        made = []
        for group, name, default in (
            ("pgbouncer", "pgbouncer_config_directory", "/etc/pgbouncer"),
            ("pgbouncer", "pgbouncer_listen_port", 6432),
            ("proxy", "haproxy_config_directory", "/etc/haproxy"),
            ("proxy", "haproxy_bind", ["*:80"]),
            ("app", "application_env_file", None),
            ("app", "application_health_url", None),
        ):
            for host in self._vars["groups"].get(group) or []:
                value = self._template(self._variables(host, tenant), name, default) if host in seen else None
                if value:
                    made.append((name, host, str(value)))
        return made

    def _alone(
        self, tenant: tenants.Tenant, provider: str, read: Callable[[str, Any], Any]
    ) -> list[tuple[str, str, str]]:
        """(variable, where, value) of a server that has one migration only, whatever is done there."""
        if provider == "rds":
            name = str(read("rds_identifier", "")) or str(read("cutover_name", "")).replace("_", "-")
            region = read("rds_region", "") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
            return [("rds_identifier", str(region or "no region"), name)]
        if provider != "docker":
            return []
        made = []
        for host in self._vars["groups"]["postgres"]:
            variables = self._variables(host, tenant)
            port = self._template(variables, "postgresql_docker_port", None) or self._template(
                variables, "postgresql_port", 5432
            )
            container = self._template(variables, "postgresql_docker_container", "pg-cutover-postgres")
            volume = self._template(variables, "postgresql_docker_volume", f"{container}-data")
            addresses = self._template(variables, "postgresql_docker_addresses", ["127.0.0.1"])
            made += [
                ("postgresql_docker_container", host, str(container)),
                ("postgresql_docker_volume", host, str(volume)),
                *(("postgresql_docker_port", host, f"{address}:{port}") for address in addresses),
            ]
        return made

    def _seen(self, tenant: tenants.Tenant) -> list[str]:
        """The hosts that a tenant's run sees: not those that own the sources of others."""
        if tenant.hosts:
            return [host for host in self._vars["groups"]["all"] if host in tenant.hosts]
        sources = self._source_hosts()
        return [host for host in self._vars["groups"]["all"] if host == tenant.host or host not in sources]

    # ---------------------------------------------------------------- their runs

    def _prepare(
        self,
        found: list[tenants.Tenant],
        looked: dict[str, Any],
        forks: int,
        playbook: str,
        entries: list[dict[str, Any]],
    ) -> dict[str, Any]:
        work = controller.work_folder(C.DEFAULT_LOCAL_TMP, os.getppid())
        report_dir = os.path.join(
            os.environ.get("PWD") or os.getcwd(), str(self._template(self._vars, "cutover_report_dir", "reports"))
        )
        report = os.path.join(
            report_dir, "_fleet", time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + f"-{os.getppid():x}"
        )
        os.makedirs(report, mode=0o750, exist_ok=True)
        left = []
        for tenant in found:
            seen = looked.get(tenant.name)
            if seen is None:
                entries.append(summary.lost(tenant.name, tenant.host, self._unseen(tenant.host)))
            elif tenants.finished(seen.get("stage"), bool(seen.get("unchanged")), self._playbook) and not self._again():
                entries.append(summary.passed(tenant.name, tenant.host, seen["stage"]))
            else:
                left.append(tenant)
        servers = [each for each in left if each.settings["provider"] and self._playbook in tenants.SERVERS]
        # Two runs must not set up one server at the same time, nor take each other's settings for a load away.
        at_once = 1 if servers and self._playbook == "provision.yml" else forks
        shared = {"provider_bulk_load": False} if servers and at_once > 1 else {}
        steps: list[dict[str, Any]] = []
        if shared:
            first = os.path.join(os.path.dirname(playbook), "provision.yml")
            steps.append(
                {"at_once": 1, "children": [self._child(each, work, report, first, shared) for each in servers]}
            )
        steps.append(
            {"at_once": at_once, "children": [self._child(each, work, report, playbook, shared) for each in left]}
        )
        if self._playbook == "status.yml":
            # What it would say is what the summary is for.
            for child in steps[-1]["children"]:
                child["stage"] = looked[child["name"]].get("stage")
        return {
            "steps": steps,
            "entries": entries,
            "owner": controller.owner(os.getppid()),
            "work": work,
            "report": report,
        }

    def _again(self) -> bool:
        return bool(boolean(self._template(self._vars, "cutover_start_over", False), strict=False))

    def _child(
        self, tenant: tenants.Tenant, work: str, report: str, playbook: str, more: dict[str, Any]
    ) -> dict[str, Any]:
        manager = self._vars["hostvars"]._inventory
        sources = [
            os.path.abspath(each) if os.path.exists(each) else each for each in self._vars["ansible_inventory_sources"]
        ]
        seen = self._seen(tenant)
        folder = os.path.join(work, tenant.name)
        if not os.path.isdir(folder):
            variables = {"cutover_name": tenant.name, **more, **tenant.variables}
            controller.write_variables(folder, seen, variables, self._extra())
            if set(seen) != set(self._vars["groups"]["all"]):
                controller.write_hosts(folder, manager, sources, seen)
        name = tenant.settings["cutover_name"] + ("-rehearsal" if tenant.settings["rehearsal"] else "")
        base = os.environ.get("PWD") or os.getcwd()
        return {
            "name": tenant.name,
            "host": tenant.host,
            "argv": controller.argv(playbook, controller.sources(folder, sources), controller.extra_file(folder)),
            "log": os.path.join(report, f"{tenant.name}.log"),
            "environment": controller.environment(),
            "folder": os.getcwd(),
            "reports": os.path.join(base, tenant.settings["cutover_report_dir"], name),
        }
