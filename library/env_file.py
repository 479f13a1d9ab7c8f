#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change one variable of an application's environment file, and put the former line back."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: env_file
short_description: Set one variable of an environment file so that the former line can be restored
description:
  - Replaces one C(NAME=value) line in one step.
    Keeps every other line, the owner, an C(export) and the kind of quotes.
  - The line as it was is kept beside the file, in C(<path>.pg-cutover-before), until restored or forgotten.
    A second switch does not overwrite it with a line that this module wrote itself.
  - Values never appear in the result. URLs are returned with the password replaced by C(***).
version_added: 0.1.0
author:
  - pg-cutover contributors
options:
  path:
    description: The environment file. It must exist.
    type: path
    required: true
  name:
    description: The variable.
    type: str
    required: true
  state:
    description:
      - C(present) sets the variable.
      - C(restored) puts the former line back and removes the copy of it. Without such a copy nothing happens.
      - C(forgotten) removes the copy of the former line, after which it cannot be restored, and the dated copies.
      - C(rotated) gives the URL that stands there, of whatever scheme, the user O(user) and the password O(password), if its user
        is one of O(users), and leaves anything else alone. The line that a restore puts back stays what it was.
      - C(read) only returns what stands there, without passwords.
    type: str
    choices: [present, restored, forgotten, rotated, read]
    default: present
  value:
    description: The value. Needed for C(present).
    type: str
  users:
    description: Needed for C(rotated).
    type: list
    elements: str
  user:
    description: Needed for C(rotated).
    type: str
  password:
    description: Needed for C(rotated).
    type: str
  mode:
    description: Permissions of the file after a change, octal.
    type: str
    default: "0600"
  copy_of:
    description:
      - With C(present), makes the file as a copy of this one, in which the variable has the value. Owned like it.
        Nothing is kept for a restore, as the other file has it all.
    type: path
  also:
    description:
      - With O(copy_of), other variables that differ in the copy. Not for secrets, as a verbose run shows them.
    type: dict
    default: {}
  backup:
    description: Keep a dated copy of the whole file when it changes. None is made of one that was made by O(copy_of).
    type: bool
    default: true
attributes:
  check_mode:
    description: Says what it would do.
    support: full
  diff_mode:
    description: Shows the value before and after without passwords.
    support: full
"""

EXAMPLES = r"""
- name: Switch the application
  env_file:
    path: /etc/example/app.env
    name: DATABASE_URL
    value: "{{ application_database_url }}"
  no_log: true

- name: Write the settings of a second instance, which listens on another port
  env_file:
    path: /etc/example/app-green.env
    copy_of: /etc/example/app.env
    name: DATABASE_URL
    value: "{{ application_database_url }}"
    also:
      PORT: "8082"

- name: Go back to the former line
  env_file:
    path: /etc/example/app.env
    name: DATABASE_URL
    state: restored
"""

RETURN = r"""
user:
  description: The user of the URL after the task.
  returned: when I(state=rotated) and the URL had one of the users
  type: str
redacted:
  description: The value after the task, without a password; empty when the variable is not set.
  returned: always
  type: str
  sample: postgresql://app:***@127.0.0.1:6432/app
redacted_before:
  description: The value before the task, without a password.
  returned: always
  type: str
former_kept:
  description: Whether a former line is kept for a restore after the task.
  returned: always
  type: bool
former_redacted:
  description: The value in the former line that is kept after the task, without a password.
  returned: always
  type: str
former_file:
  description: Where the former line is kept.
  returned: always
  type: str
backup_file:
  description: The dated copy of the file.
  returned: when one was made
  type: str
"""

import contextlib
import hashlib
import os
import re
import stat
import tempfile
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from ansible.module_utils.basic import AnsibleModule

SUFFIX = ".pg-cutover-before"
WRITTEN = "# written-sha256: "
HEADER = (
    "# Written by pg-cutover: the line that {name} had before the application was switched.\n"
    "# A rollback puts it back. An absent line below means that the variable was not set.\n"
)


class Former(NamedTuple):
    """The line before the first switch, and which values were written since (as digests)."""

    line: str | None
    written: list[str]


def redact(value: str) -> str:
    """The value without the password of a URL. Greedy, because a raw `@` may stand in a password."""
    value = re.sub(r"(://[^:@/\s]*):.*@", r"\1:***@", value)
    return re.sub(r"(?i)([?&](?:password|sslpassword)=)[^&\s'\"]*", r"\1***", value)


def digest(value: str) -> str:
    """What identifies a written value without holding it."""
    return hashlib.sha256(value.encode()).hexdigest()


class EnvFile:
    """One variable in one file."""

    def __init__(self, module: AnsibleModule, path: str) -> None:
        self.module = module
        # A link stays a link: its target is what changes.
        self.path = os.path.realpath(path)
        self.name: str = module.params["name"]
        self.former_path = self.path + SUFFIX
        try:
            with open(self.path, encoding="utf-8", errors="surrogateescape") as file:
                self.lines = file.read().splitlines()
        except FileNotFoundError:
            module.fail_json(
                msg=f"{self.path} does not exist. Name the one that sets {self.name} (application_env_file), "
                "or create it with the value that the application uses now."
            )
        self.find()

    def find(self) -> None:
        """Find the line that sets the variable."""
        self.pattern = re.compile(
            rf"^(?P<head>\s*(?:export\s+)?{re.escape(self.name)}\s*=\s*)"
            r"(?P<quote>['\"]?)(?P<value>.*?)(?P=quote)\s*$"
        )
        found = [number for number, line in enumerate(self.lines) if self.pattern.match(line)]
        if len(found) > 1:
            self.module.fail_json(
                msg=f"{self.path} sets {self.name} {len(found)} times, in lines "
                f"{', '.join(str(number + 1) for number in found)}: leave one of them."
            )
        self.position: int | None = found[0] if found else None

    @property
    def line(self) -> str | None:
        """The whole line, or None."""
        return None if self.position is None else self.lines[self.position]

    def value_of(self, line: str | None) -> str:
        """The value in a line."""
        match = self.pattern.match(line) if line is not None else None
        return match.group("value") if match else ""

    def line_with(self, value: str) -> str:
        """The line for a value, in the style of the line that is there."""
        match = self.pattern.match(self.line) if self.line is not None else None
        head, quote = (match.group("head"), match.group("quote")) if match else (f"{self.name}=", "")
        return f"{head}{quote}{value}{quote}"

    def text_with(self, line: str | None) -> str:
        """The file's text with the line replaced, added, or (None) removed."""
        lines = list(self.lines)
        if self.position is not None:
            lines[self.position : self.position + 1] = [] if line is None else [line]
        elif line is not None:
            lines.append(line)
        return "".join(f"{one}\n" for one in lines)

    def former(self) -> Former | None:
        """What is kept for a restore."""
        try:
            with open(self.former_path, encoding="utf-8", errors="surrogateescape") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            return None
        kept = [line for line in lines if line and not line.startswith("#")]
        written = [line[len(WRITTEN) :] for line in lines if line.startswith(WRITTEN)]
        return Former(kept[0] if kept else None, written)

    def copied_text(self, values: dict[str, str]) -> str:
        """The file's text with several variables set; each keeps its place and style, new ones come last."""
        mine, lines = (self.name, self.position, self.pattern), self.lines
        try:
            for name, value in values.items():
                self.name = name
                self.find()
                self.lines = self.text_with(self.line_with(value)).splitlines()
            return "".join(f"{line}\n" for line in self.lines)
        finally:
            (self.name, self.position, self.pattern), self.lines = mine, lines

    def write(self, path: str, text: str, mode: int) -> None:
        """Replace a file in one step; owned like the environment file, at no moment readable by others."""
        owner = os.stat(self.path)
        if os.path.exists(path):
            # atomic_move gives the new file the mode of the old one.
            os.chmod(path, mode)
        handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".pg-cutover-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
                os.fchown(handle, owner.st_uid, owner.st_gid)
                os.fchmod(handle, mode)
                file.write(text)
                file.flush()
                os.fsync(handle)
            self.module.atomic_move(temporary, path)
            os.chown(path, owner.st_uid, owner.st_gid)
            os.chmod(path, mode)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)

    def keep(self, former: Former) -> None:
        """Write what a restore needs."""
        text = HEADER.format(name=self.name) + "".join(f"{WRITTEN}{one}\n" for one in former.written)
        self.write(self.former_path, text + ("" if former.line is None else f"{former.line}\n"), 0o600)

    def backup(self) -> str | None:
        """A dated copy, readable by its owner only."""
        if not self.module.params["backup"]:
            return None
        copy: str = self.module.backup_local(self.path)
        os.chmod(copy, 0o600)
        return copy

    def copies(self) -> list[str]:
        """The dated copies that lie beside the file; their passwords outlive the migration otherwise."""
        folder, name = os.path.split(os.path.abspath(self.path))
        dated = re.compile(re.escape(name) + r"\.\d+\.\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d~")
        return [os.path.join(folder, found) for found in sorted(os.listdir(folder)) if dated.fullmatch(found)]


def switch(env: EnvFile, value: str, mode: int) -> str | None:
    """Keep the former line, then set the value. Killed in between, a second run ends the same."""
    former = env.former()
    current = env.value_of(env.line)
    if former is not None and digest(current) in former.written:
        # This module wrote the current value: what stood there before it is the line to go back to.
        keep = Former(former.line, [*former.written, digest(value)])
    else:
        keep = Former(env.line, [digest(value)])
    env.keep(keep)
    copy = env.backup()
    env.write(env.path, env.text_with(env.line_with(value)), mode)
    return copy


def copy_as(module: AnsibleModule, mode: int) -> dict[str, Any]:
    """Make the file as a copy of another one in which some variables differ; what the task returns."""
    name, value, path = module.params["name"], module.params["value"], os.path.realpath(module.params["path"])
    also = {str(key): str(one) for key, one in module.params["also"].items()}
    for key, one in {name: value, **also}.items():
        refuse_what_is_read_differently(module, key, one)
    origin = EnvFile(module, module.params["copy_of"])
    if path == origin.path:
        module.fail_json(msg=f"{path} would be a copy of itself: name another file for the second instance.")
    text = origin.copied_text({name: value, **also})
    there, same = None, False
    if os.path.exists(path):
        there = EnvFile(module, path)
        owner, state = os.stat(origin.path), os.stat(path)
        same = "".join(f"{line}\n" for line in there.lines) == text and (
            state.st_uid,
            state.st_gid,
            stat.S_IMODE(state.st_mode),
        ) == (owner.st_uid, owner.st_gid, mode)
    if not same and not module.check_mode:
        try:
            origin.write(path, text, mode)
        except OSError as error:
            module.fail_json(msg=f"{path} cannot be written: {error}")
    before = redact(there.value_of(there.line)) if there else ""
    return {
        "changed": not same,
        "redacted": redact(value),
        "redacted_before": before,
        "former_kept": False,
        "former_redacted": "",
        "former_file": "",
        "diff": {
            "before": f"{name}={before}\n" if there else "",
            "after": f"{name}={redact(value)}\n",
            "before_header": path,
            "after_header": path,
        },
    }


def rotated(value: str, users: list[str], user: str, password: str) -> str | None:
    """The URL with another user and password and everything else as it was; None if it is not one of these users'."""
    # Any scheme: frameworks have their own (postgis://, pgsql://), and the user tells whose URL it is.
    match = re.match(r"^([A-Za-z][A-Za-z0-9+.-]*://)([^:@/?#]+)(?::[^@/?#]*)?(@.+)$", value)
    if match is None or unquote(match.group(2)) not in users:
        return None
    return f"{match.group(1)}{quote(user, safe='')}:{quote(password, safe='')}{match.group(3)}"


def rotate(env: EnvFile, value: str, mode: int) -> None:
    """Set the value; what a restore needs stays, and knows the new value as one that was written here."""
    former = env.former()
    if former is not None and digest(env.value_of(env.line)) in former.written:
        env.keep(Former(former.line, [*former.written, digest(value)]))
    env.write(env.path, env.text_with(env.line_with(value)), mode)


def refuse_what_is_read_differently(module: AnsibleModule, name: str, value: str) -> None:
    """Stop at a value that programs read differently from environment files."""
    if re.search(r"[\s'\"\\]", value):
        module.fail_json(
            msg=f"The value for {name} holds a space, a quote or a backslash, which "
            "programs read differently from environment files. Percent-encode it."
        )


def restore(env: EnvFile, former: Former, mode: int) -> str | None:
    """Put the former line back, then drop the copy of it."""
    copy = None
    if env.line != former.line:
        copy = env.backup()
        env.write(env.path, env.text_with(former.line), mode)
    os.unlink(env.former_path)
    return copy


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "state": {
                "type": "str",
                "choices": ["present", "restored", "forgotten", "rotated", "read"],
                "default": "present",
            },
            "value": {"type": "str", "no_log": True},
            "users": {"type": "list", "elements": "str"},
            "user": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "mode": {"type": "str", "default": "0600"},
            "copy_of": {"type": "path"},
            "also": {"type": "dict", "default": {}},
            "backup": {"type": "bool", "default": True},
        },
        required_if=[("state", "present", ("value",)), ("state", "rotated", ("users", "user", "password"))],
        supports_check_mode=True,
    )
    state, value = module.params["state"], module.params["value"]
    if not re.match(r"^0?[0-7]{3}$", module.params["mode"]):
        module.fail_json(msg=f"mode must be octal like 0600, not {module.params['mode']!r}")
    mode = int(module.params["mode"], 8)
    if state == "present" and module.params["copy_of"]:
        module.exit_json(**copy_as(module, mode))
    if state == "present":
        refuse_what_is_read_differently(module, module.params["name"], value)

    env = EnvFile(module, module.params["path"])
    former = env.former()
    before, copy, changed = env.value_of(env.line), None, False
    if state == "rotated":
        value = rotated(before, module.params["users"], module.params["user"], module.params["password"])
    try:
        if state == "present" and before != value:
            changed = True
            copy = None if module.check_mode else switch(env, value, mode)
        elif state == "rotated" and value not in (None, before):
            changed = True
            if not module.check_mode:
                rotate(env, value, mode)
        elif state == "restored" and former is not None:
            changed = True
            copy = None if module.check_mode else restore(env, former, mode)
        elif state == "forgotten" and (former is not None or env.copies()):
            changed = True
            for path in [] if module.check_mode else [env.former_path] * (former is not None) + env.copies():
                os.unlink(path)
    except OSError as error:
        module.fail_json(msg=f"{env.path} cannot be changed: {error}")

    after = before
    if changed and state in ("present", "rotated"):
        after = value
    elif changed and state == "restored" and former is not None:
        after = env.value_of(former.line)
    kept = former if module.check_mode else env.former()
    result = {
        "changed": changed,
        "redacted": redact(after),
        "redacted_before": redact(before),
        "former_kept": kept is not None,
        "former_redacted": redact(env.value_of(kept.line)) if kept else "",
        "former_file": env.former_path,
        "diff": {
            "before": f"{env.name}={redact(before)}\n",
            "after": f"{env.name}={redact(after)}\n",
            "before_header": env.path,
            "after_header": env.path,
        },
    }
    if state == "rotated" and value is not None:
        result["user"] = module.params["user"]
    if copy:
        result["backup_file"] = copy
    module.exit_json(**result)


if __name__ == "__main__":
    main()
