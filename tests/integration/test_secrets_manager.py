# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords kept in Secrets Manager, as a local server answers for it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from support.project import ROOT

pytestmark = pytest.mark.long

PLAY = """
- name: Find passwords
  hosts: all
  gather_facts: false
  tasks:
    - name: Do it
      ansible.builtin.include_role:
        name: secrets
        tasks_from: "{{ act | default('main') }}"
      vars:
        secrets_wanted: {owner_password: "", app_password: "{{ given | default('') }}"}
        secrets_names: [owner_password, app_password]
    - name: Sum up what each host got
      ansible.builtin.debug:
        msg: "got {{ secrets_known | to_json(sort_keys=true) | hash('sha256') }}"
"""


@pytest.fixture
def region(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    yield "eu-central-1"
    server.stop()


def play(folder: Path, region: str, fails: bool = False, **variables: object) -> str:
    """Run the role on three hosts at once; what it printed."""
    (folder / "play.yml").write_text(PLAY)
    (folder / "hosts.yml").write_text(
        "all: {hosts: {a: {}, b: {}, c: {}}, vars: {ansible_connection: local,"
        ' ansible_python_interpreter: "{{ ansible_playbook_python }}"}}'
    )
    (folder / "host_vars").mkdir(exist_ok=True)
    (folder / "host_vars/localhost.yml").write_text('ansible_python_interpreter: "{{ ansible_playbook_python }}"\n')
    (folder / "variables.json").write_text(
        json.dumps(
            {"cutover_secrets_store": "secretsmanager", "secrets_region": region, "cutover_name": "shop", **variables}
        )
    )
    done = subprocess.run(
        [
            *(str(ROOT / ".venv/bin/ansible-playbook"), "-vvv", "--diff", "-i", str(folder / "hosts.yml")),
            *(str(folder / "play.yml"), "-e", f"@{folder / 'variables.json'}"),
        ],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    said = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, said[-5000:]
    return said


def kept(region: str) -> dict[str, str]:
    """What the store holds."""
    client = boto3.client("secretsmanager", region_name=region)
    names = [entry["Name"] for entry in client.list_secrets()["SecretList"]]
    return {name: client.get_secret_value(SecretId=name)["SecretString"] for name in names}


@pytest.mark.slow
def test_passwords_are_made_found_and_rotated_in_secrets_manager(tmp_path: Path, region: str) -> None:
    first = play(tmp_path, region)
    held = kept(region)
    assert sorted(held) == ["pg-cutover/shop/app_password", "pg-cutover/shop/owner_password"]
    assert {len(value) for value in held.values()} == {32}
    sums = [line for line in first.splitlines() if "got " in line]
    assert len(sums) == 3
    assert len({line.split("got ")[1] for line in sums}) == 1, "every host gets the same"

    second = play(tmp_path, region)
    assert kept(region) == held
    assert "changed=0" in second
    assert "changed=1" not in second

    # The inventory's own is neither kept there nor rotated there.
    begun = play(tmp_path, region, act="begin", given="p@ss: word")
    coming = kept(region).pop("pg-cutover/shop/owner_password.next")
    assert coming != held["pg-cutover/shop/owner_password"]
    play(tmp_path, region, act="promote", given="p@ss: word")
    now = kept(region)
    assert now == {
        "pg-cutover/shop/app_password": held["pg-cutover/shop/app_password"],
        "pg-cutover/shop/owner_password": coming,
        "pg-cutover/shop/owner_password.former": held["pg-cutover/shop/owner_password"],
    }
    play(tmp_path, region, act="forget", given="p@ss: word")
    assert "pg-cutover/shop/owner_password.former" not in kept(region)
    for secret in (*held.values(), coming, "p@ss: word"):
        assert secret not in first + second + begun
