# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the section "Variables" of each role's README.md from its meta/argument_specs.yml.

    role_readmes.py            write those that differ, and name them
    role_readmes.py --check    write nothing; exit status 1 when one differs

What stands above the mark is written by hand and left alone.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
MARK = "<!-- From here on written by `make docs` from meta/argument_specs.yml: edit that. -->"
#: Longer defaults make a table that nobody can read; the specification has them.
LONGEST = 70


def _cell(text: str) -> str:
    """Text for a cell of a table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def _default(option: dict[str, Any]) -> str:
    if option.get("required"):
        return "required"
    if "default" not in option:
        return "unset"
    value = option["default"]
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, str):
        text = value if value else '""'
    else:
        text = str(value).replace("'", "")
    return f"`{_cell(text)}`" if len(text) <= LONGEST else "computed" if "{{" in text else "see the specification"


def _type(option: dict[str, Any]) -> str:
    kind = str(option.get("type", "str"))
    return f"{kind} of {option['elements']}" if "elements" in option else kind


def _means(option: dict[str, Any]) -> str:
    told = option.get("description", "")
    text = " ".join(told) if isinstance(told, list) else str(told)
    if option.get("choices"):
        text += f" One of {', '.join(f'`{choice}`' for choice in option['choices'])}."
    if option.get("no_log") and "secret" not in text.lower():
        text += " Secret."
    return _cell(re.sub(r"\bC\(([^)]*)\)", r"`\1`", text))


def _row(name: str, option: dict[str, Any]) -> str:
    return f"| `{name}` | {_type(option)} | {_default(option)} | {_means(option)} |"


def section(specification: dict[str, Any]) -> str:
    """The section, from what a meta/argument_specs.yml holds. A variable of several entry points stands once."""
    entries: dict[str, Any] = specification["argument_specs"]
    options: dict[str, dict[str, Any]] = {}
    users: dict[str, list[str]] = {}
    for entry, described in entries.items():
        for name, option in (described.get("options") or {}).items():
            options.setdefault(name, option)
            users.setdefault(name, []).append(entry)
    lines = [MARK, "", "## Variables", ""]
    if not options:
        return "\n".join([*lines, "None."]) + "\n"
    # Which entry points use a variable is only told where not all of them do.
    several = len({tuple(entered) for entered in users.values()}) > 1
    lines.append("| variable | type | default | means |" + (" used by |" if several else ""))
    lines.append("|---|---|---|---|" + ("---|" if several else ""))
    for name, option in options.items():
        used = f" {', '.join(f'`{entry}`' for entry in users[name])} |" if several else ""
        lines.append(_row(name, option) + used)
        lines += [
            _row(f"{name}: {part}", inner) + (" |" if several else "")
            for part, inner in (option.get("options") or {}).items()
        ]
    return "\n".join(lines) + "\n"


def page(readme: str, specification: dict[str, Any]) -> str:
    """A README with its section as it should be."""
    return readme.partition(MARK)[0].rstrip() + "\n\n" + section(specification).rstrip() + "\n"


def main(arguments: list[str]) -> int:
    """The command line."""
    different = []
    for path in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml")):
        readme = path.parents[1] / "README.md"
        now = readme.read_text(encoding="utf-8")
        wanted = page(now, yaml.safe_load(path.read_text(encoding="utf-8")))
        if now == wanted:
            continue
        different.append(str(readme.relative_to(ROOT)))
        if "--check" not in arguments:
            readme.write_text(wanted, encoding="utf-8")
    for name in different:
        print(name)
    return 1 if different and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
