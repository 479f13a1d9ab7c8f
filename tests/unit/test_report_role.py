# SPDX-License-Identifier: GPL-3.0-or-later
"""The role writes the files through Ansible itself, which has other rules for templates than Jinja."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.report import RUN, context, cutover_journal, finding, plan

ROOT = Path(__file__).parents[2]
NASTY = "<b>&\"'{{ 6 * 7 }}"
SECRET = "c0rrect-h0rse"

# The data comes out of a module, as in a run: Ansible must not take it for templates.
PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.slurp:
        src: "{{ input }}"
      register: read
      no_log: true
    - ansible.builtin.include_role:
        name: report
        tasks_from: "{{ entry }}"
      vars:
        given: "{{ read.content | b64decode | from_json }}"
        report_journal: "{{ given.journal }}"
        report_plan: "{{ given.plan }}"
        report_findings: "{{ given.findings }}"
        report_context: "{{ given.context }}"
    - ansible.builtin.copy:
        content: "{{ report_result | to_json }}"
        dest: "{{ input }}.result"
        mode: "0600"
      when: not ansible_check_mode
"""


def play(folder: Path, given: dict[str, Any], *options: str, entry: str = "main") -> str:
    """Run the role on the given input; the terminal's output."""
    (folder / "input.json").write_text(json.dumps(given))
    (folder / "play.yml").write_text(PLAYBOOK)
    settings = {
        "input": str(folder / "input.json"),
        "entry": entry,
        "cutover_report_dir": str(folder / "reports"),
        "cutover_retention_days": 7,
        "ansible_python_interpreter": sys.executable,
    }
    ansible = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local"]
    done = subprocess.run(
        [*ansible, "play.yml", "-e", json.dumps(settings), *options],
        cwd=folder,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def given() -> dict[str, Any]:
    rows = {"orders": 20_150, NASTY: 3}
    journal = cutover_journal(rows)
    url = f"postgresql://shop_app:{SECRET}@127.0.0.1/shop"
    return {
        "journal": journal.events,
        "plan": plan(rows),
        "findings": [finding("warning", message=NASTY)],
        "context": context("released", journal, database_after=url, message=f"{NASTY} {url}"),
    }


def test_it_writes_the_files_and_says_what_came_out(tmp_path: Path, given: dict[str, Any]) -> None:
    shown = play(tmp_path, given, "-vvv")
    folder = tmp_path / "reports" / "shop" / RUN
    report = json.loads((folder / "report.json").read_text())
    page = (folder / "report.html").read_text()
    result = json.loads((tmp_path / "input.json.result").read_text())

    assert report["ok"] is True
    assert report["tables"][1]["name"] == NASTY
    assert result["ok"] is True
    assert (result["outcome"], result["html"]) == ("released", str(folder / "report.html"))
    assert "OK · Released: the application runs on PostgreSQL" in shown

    assert page.startswith("<!DOCTYPE html>")
    assert "&lt;b&gt;&amp;&quot;&#x27;{{ 6 * 7 }}" in page
    assert '<b>&"' not in page
    assert ">None<" not in page.replace(" ", "").replace("\n", "")

    assert (folder / "report.json").stat().st_mode & 0o777 == 0o640
    assert (folder / "report.html").stat().st_mode & 0o777 == 0o640
    assert folder.stat().st_mode & 0o777 == 0o750
    assert os.readlink(folder.parent / "latest") == RUN
    for text in (shown, page, (folder / "report.json").read_text()):
        assert SECRET not in text


def test_a_report_that_is_not_ok_is_written_and_fails_nothing(tmp_path: Path, given: dict[str, Any]) -> None:
    given["findings"].append(finding())
    shown = play(tmp_path, given)
    result = json.loads((tmp_path / "input.json.result").read_text())
    assert result["ok"] is False
    assert "documents.body" in result["message"]
    assert "NOT OK · Released, but not proven" in shown


def test_check_mode_shows_the_summary_and_writes_nothing(tmp_path: Path, given: dict[str, Any]) -> None:
    shown = play(tmp_path, given, "--check")
    assert "OK · Released" in shown
    assert not (tmp_path / "reports").exists()


def test_preflight_writes_its_findings(tmp_path: Path, given: dict[str, Any]) -> None:
    given["findings"].append(finding())
    shown = play(tmp_path, given, entry="preflight")
    folder = tmp_path / "reports" / "shop" / RUN
    made = json.loads((folder / "preflight.json").read_text())
    assert made["ok"] is False
    assert [one["severity"] for one in made["findings"]] == ["error", "warning"]
    assert made["findings"][0]["decide"] == finding()["decide"]
    assert (folder / "preflight.json").stat().st_mode & 0o777 == 0o640
    assert json.loads((tmp_path / "input.json.result").read_text())["ok"] is False
    assert "NO GO" in shown
    assert "nul: strip" in shown
    assert "nul: strip" in (folder / "decisions.yml").read_text()
    assert f"-e @{folder}/decisions.yml" in shown


@pytest.mark.parametrize("run", ["../elsewhere", "", ".hidden", "a/b"])
def test_a_run_cannot_lead_out_of_the_folder(tmp_path: Path, given: dict[str, Any], run: str) -> None:
    given["context"]["run"] = run
    with pytest.raises(AssertionError, match=r"context\.run must be a plain name"):
        play(tmp_path, given)
    assert not (tmp_path / "reports").exists()
