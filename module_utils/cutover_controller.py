# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller alone can do for a fleet: commands as the fleet itself was started, inventories for its tenants."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from typing import Any

import ansible.constants as C
import ansible.context as context
import yaml
from ansible.parsing.yaml.dumper import AnsibleDumper

from cutover.errors import CutoverError
from cutover.lock import started

_PREFIX = "pg-cutover-fleet-"
#: Options that each tenant's run gets as the fleet got them. None of them holds a secret.
_PASSED = {
    "remote_user": "--user",
    "private_key_file": "--private-key",
    "become_method": "--become-method",
    "become_user": "--become-user",
    "become_password_file": "--become-password-file",
    "connection_password_file": "--connection-password-file",
    "ssh_common_args": "--ssh-common-args",
    "ssh_extra_args": "--ssh-extra-args",
    "sftp_extra_args": "--sftp-extra-args",
    "scp_extra_args": "--scp-extra-args",
}
_DEFAULTS = {
    "become_method": C.DEFAULT_BECOME_METHOD,
    "become_user": C.DEFAULT_BECOME_USER,
    "remote_user": C.DEFAULT_REMOTE_USER,
}
#: Options that cannot be passed on, and what serves instead.
_REFUSED = {
    "ask_pass": ("--ask-pass", "give --connection-password-file, or ansible_password in a vault"),
    "become_ask_pass": ("--ask-become-pass", "give --become-password-file, or ansible_become_password in a vault"),
    "ask_vault_pass": ("--ask-vault-pass", "give --vault-password-file"),
    "subset": ("--limit", "choose tenants with -e fleet_only=acme"),
    "start_at_task": ("--start-at-task", "run the playbook for one tenant itself"),
    "step": ("--step", "run the playbook for one tenant itself"),
}


def refuse_options() -> None:
    """Raise CutoverError for an option of ansible-playbook that the tenants' runs cannot have."""
    found = [told for option, told in _REFUSED.items() if context.CLIARGS.get(option)]
    if any(str(each).endswith("@prompt") for each in context.CLIARGS.get("vault_ids") or ()):
        found.append(("--vault-id …@prompt", "name a file instead"))
    # What they leave out would be left out here, and the runs would be whole all the same.
    if set(context.CLIARGS.get("tags") or ("all",)) != {"all"}:
        found.append(("--tags", "run the playbook for one tenant itself"))
    if context.CLIARGS.get("skip_tags"):
        found.append(("--skip-tags", "run the playbook for one tenant itself"))
    if found:
        said = "; ".join(f"{option}: {advice}" for option, advice in found)
        raise CutoverError(
            "fleet.yml starts whole runs of its own, which nobody can be asked for. "
            f"{said}. Nothing was started, nothing was changed."
        )


def argv(playbook: str, sources: Iterable[str], extra: str) -> list[str]:
    """The command of a tenant's run. Only paths: what is secret stands in files."""
    given = context.CLIARGS
    program = (
        sys.argv[0]
        if os.path.basename(sys.argv[0]).startswith("ansible-playbook")
        else shutil.which("ansible-playbook")
    )
    made = [sys.executable, str(program)]
    for source in sources:
        made += ["-i", source]
    if extra:
        made += ["-e", f"@{extra}"]
    for option, flag in _PASSED.items():
        if given.get(option) and given[option] != _DEFAULTS.get(option):
            made += [flag, str(given[option])]
    for each in given.get("vault_ids") or ():
        made += ["--vault-id", str(each)]
    for each in given.get("vault_password_files") or ():
        made += ["--vault-password-file", str(each)]
    if given.get("connection") and given["connection"] != C.DEFAULT_TRANSPORT:
        made += ["--connection", str(given["connection"])]
    made += ["--forks", str(given.get("forks") or C.DEFAULT_FORKS)]
    made += [
        flag for option, flag in (("become", "--become"), ("check", "--check"), ("diff", "--diff")) if given.get(option)
    ]
    if given.get("verbosity"):
        made.append("-" + "v" * int(given["verbosity"]))
    return [*made, playbook]


def environment() -> dict[str, str]:
    """What a tenant's run gets besides the environment of the fleet: the same configuration, and a log without colours."""
    made = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}
    if C.CONFIG_FILE:
        made["ANSIBLE_CONFIG"] = str(C.CONFIG_FILE)
    return made


def owner(pid: int) -> dict[str, Any]:
    """A process, unmistakable."""
    return {"pid": pid, "started": started(pid)}


def work_folder(parent: str, pid: int) -> str:
    """A folder that only its owner can read, removed when the runs have ended. What a killed fleet left goes first."""
    base = os.path.dirname(parent.rstrip("/"))
    for name in os.listdir(base):
        if name.startswith(_PREFIX):
            number = name[len(_PREFIX) :].split("_")[0]
            if number.isdigit() and not started(int(number)):
                shutil.rmtree(os.path.join(base, name), ignore_errors=True)
    return tempfile.mkdtemp(prefix=f"{_PREFIX}{pid}_", dir=base)


def write_variables(folder: str, hosts: Iterable[str], variables: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
    """The tenant's variables, as those of each host it sees: they win over the inventory's groups and hosts, and leave
    what a play sets itself alone. extra: what the fleet was given with -e."""
    os.makedirs(os.path.join(folder, "host_vars"), mode=0o700)
    _write(os.path.join(folder, "variables.yml"), variables)
    if extra:
        _write(os.path.join(folder, "extra.yml"), extra)
    _write(os.path.join(folder, "hosts.yml"), {"all": {"hosts": {}}})
    for host in {*hosts, "localhost"}:
        os.symlink("../variables.yml", os.path.join(folder, "host_vars", f"{host}.yml"))


def write_hosts(folder: str, manager: Any, sources: Iterable[str], seen: Iterable[str]) -> None:
    """The inventory without the hosts that a tenant's run must not see. Each source keeps its group_vars and host_vars."""
    kept = set(seen)
    children = {
        name: {
            "hosts": {host.name: {} for host in group.hosts if host.name in kept},
            "children": {child.name: {} for child in group.child_groups},
            "vars": dict(group.vars),
        }
        for name, group in manager.groups.items()
        if name not in ("all", "ungrouped")
    }
    hosts = {name: dict(host.vars) for name, host in manager.hosts.items() if name in kept}
    everything = {"all": {"hosts": hosts, "children": children, "vars": dict(manager.groups["all"].vars)}}
    for number, source in enumerate(sources):
        own = os.path.join(folder, f"source{number}")
        os.makedirs(own, mode=0o700)
        _write(os.path.join(own, "hosts.yml"), everything if number == 0 else {"all": {"hosts": {}}})
        beside = source if os.path.isdir(source) else os.path.dirname(source)
        for name in ("group_vars", "host_vars"):
            if os.path.isabs(source) and os.path.isdir(os.path.join(beside, name)):
                os.symlink(os.path.join(beside, name), os.path.join(own, name))


def sources(folder: str, given: list[str]) -> list[str]:
    """What a tenant's run gets as its inventory: the fleet's own or the one without some hosts, then its variables."""
    own = [os.path.join(folder, f"source{number}", "hosts.yml") for number in range(len(given))]
    return [*(own if own and os.path.exists(own[0]) else given), os.path.join(folder, "hosts.yml")]


def extra_file(folder: str) -> str:
    """The file of what the fleet was given with -e, or nothing."""
    path = os.path.join(folder, "extra.yml")
    return path if os.path.exists(path) else ""


def _write(path: str, data: Mapping[str, Any]) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        # What Ansible Vault protects is written as it was read: encrypted.
        yaml.dump(data, file, Dumper=AnsibleDumper, default_flow_style=False, allow_unicode=True)
