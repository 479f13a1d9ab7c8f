# SPDX-License-Identifier: GPL-3.0-or-later
"""What the repository promises about itself: the lock, the licence lines, the roles' specifications."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import project as files_of

ROOT = Path(__file__).parents[2]
ROLES = sorted(p.name for p in (ROOT / "roles").glob("*") if p.is_dir())
PYTHON_FOLDERS = (
    "module_utils",
    "library",
    "action_plugins",
    "filter_plugins",
    "demo",
    "bench",
    "tests",
    "molecule",
    ".ci",
)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text()) if path.exists() else None


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_lock_holds_every_dependency_with_hashes_and_no_address() -> None:
    project = (ROOT / "pyproject.toml").read_text().split("[tool.", 1)[0]
    wanted = {normal(name) for name in re.findall(r'^    "([\w.-]+)"', project, re.M)}
    lock = (ROOT / "requirements.lock").read_text()
    entries = re.findall(r"^([\w.-]+)==.*\n((?:    --hash=\S+(?: \\)?\n)*)", lock, re.M)
    assert "ansible" in wanted
    assert wanted <= {normal(name) for name, _ in entries}
    assert [name for name, hashes in entries if "sha256:" not in hashes] == []
    assert re.findall(r"https?://|--index-url|--find-links", lock) == []


def test_lock_serves_both_debians_python_and_newer_ones() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pins = dict(re.findall(r"^ansible-core==(\S+) ; python_full_version (<|>=) '3.12'", lock, re.M))
    assert sorted(pins.values()) == ["<", ">="]


def test_every_python_file_names_its_licence() -> None:
    files = [p for folder in PYTHON_FOLDERS for p in (ROOT / folder).rglob("*.py") if p.stat().st_size]
    assert [
        str(p.relative_to(ROOT))
        for p in files
        if "SPDX-License-Identifier: GPL-3.0-or-later" not in p.read_text()[:600]
    ] == []


@pytest.mark.parametrize("role", ROLES)
def test_role_defaults_are_those_of_its_specification(role: str) -> None:
    path = ROOT / "roles" / role
    specification = load(path / "meta/argument_specs.yml")
    assert specification, f"roles/{role}/meta/argument_specs.yml is missing"
    entries = specification["argument_specs"]
    assert [name for name in entries if not (path / "tasks" / f"{name}.yml").exists()] == []
    # One variable may serve several entry points; each of them describes it alike.
    options = {key: value for entry in entries.values() for key, value in (entry.get("options") or {}).items()}
    defaults = load(path / "defaults/main.yml") or {}
    untyped = [name for name, option in options.items() if "type" not in option or "description" not in option]
    assert untyped == []
    assert set(defaults) <= set(options), "a default that the specification does not know"
    for name, option in options.items():
        if "default" in option:
            assert name in defaults, f"{name}: specified with a default, absent from defaults/main.yml"
            assert defaults[name] == option["default"], name
        elif name in defaults:
            # Only what is computed at run time may lack a default in the specification.
            assert "{{" in str(defaults[name]), f"{name}: a default that the specification does not name"
        assert not (option.get("required") and name in defaults), f"{name}: required, yet it has a default"


@pytest.mark.parametrize("role", ROLES)
def test_role_explains_itself(role: str) -> None:
    path = ROOT / "roles" / role
    assert (path / "README.md").exists()
    assert (load(path / "meta/main.yml") or {}).get("galaxy_info", {}).get("description")


def test_tables_of_variables_in_the_roles_pages_are_those_of_the_specifications() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci/role_readmes.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), "run `make docs`: " + done.stdout + done.stderr


PAGES = sorted(p for p in ROOT.rglob("*.md") if not any(part.startswith(".") for part in p.relative_to(ROOT).parts))


def anchors(text: str) -> set[str]:
    """The anchors that a page has, as GitHub names its headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    named = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return named | set(re.findall(r'<a id="([^"]+)"', text))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        aim = (page.parent / path).resolve() if path else page
        if not aim.exists() or (anchor and aim.suffix == ".md" and anchor not in anchors(aim.read_text())):
            dead.append(link)
    assert dead == []


def test_tables_of_variables_name_those_that_exist_and_all_public_ones() -> None:
    public = set(load(ROOT / "roles/settings/vars/main.yml")["_settings_defaults"])
    # Secrets have no default among the others: they come from the environment or a vault.
    known = public | {"cutover_target_url", "cutover_application_url", "cutover_rehearsal_url"}
    for role in ROLES:
        entries = load(ROOT / "roles" / role / "meta/argument_specs.yml")["argument_specs"]
        known |= {name for entry in entries.values() for name in entry.get("options") or {}}
    told: dict[str, set[str]] = {"variables.md": set(), "online.md": set()}
    for page, found in told.items():
        for cell in re.findall(r"^\| (`[^|]*) \|", (ROOT / "docs" / page).read_text(), re.M):
            found |= set(re.findall(r"`([a-z]+_[a-z0-9_]+)(?:: [^`]*)?`", cell))
    assert {name for name in told["variables.md"] if name not in known} == set()
    assert {name for name in told["online.md"] if name.startswith("cutover_") and name not in known} == set()
    # Some have a page of their own.
    pages = "".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    assert {name for name in public if f"`{name}`" not in pages and f"{name}=" not in pages} == set()


def test_the_address_of_a_host_is_asked_for_by_its_name() -> None:
    """In a task that is delegated, a variable that holds plain ansible_host is the address of the other host."""
    plain = re.compile(r"(?<![\w.'\"])ansible_host\b(?!:)")
    found = []
    for folder in ("roles", "playbooks", "inventories"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".yml", ".j2") and path.name != "argument_specs.yml":
                lines = path.read_text().splitlines()
                found += [f"{path.relative_to(ROOT)}: {line}" for line in lines if plain.search(line.partition("#")[0])]
    assert found == []


def test_tests_that_share_a_stack_have_one_worker() -> None:
    scope = files_of.load("tests/conftest.py")._Together._split_scope
    folder = {scope(None, f"tests/e2e/roles/{name}.py::test_it[a::b]") for name in ("test_a", "test_b")}
    assert folder == {"tests/e2e/roles"}
    files = ["tests/e2e/test_a.py", "tests/e2e/test_b.py", "tests/integration/test_a.py"]
    assert [scope(None, f"{file}::test_it") for file in files] == files


def test_nothing_is_written_in_the_order_of_a_set() -> None:
    """What these filters of Ansible return has another order in every run: a message, or a setting that then changes."""
    written = re.compile(
        r"\|\s*(difference|union|intersect|symmetric_difference)\([^|]*\)\s*\|\s*(list\s*\|\s*)?join\("
    )
    files = [file for folder in ("roles", "playbooks") for file in (ROOT / folder).rglob("*.yml")]
    assert [str(file.relative_to(ROOT)) for file in files if written.search(file.read_text())] == []
