# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords on the controller: which ones work everywhere, how new ones are made, and the files that keep them.

A secret `name` may have two companions while it is rotated: `name.next`, the password that comes, and `name.former`, the
one that was. Each step is one rename or one link, so a run that is killed loses neither.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import string
import stringprep
import tempfile
import unicodedata
from typing import Any

from .errors import CutoverError

NEXT, FORMER = ".next", ".former"
LENGTH = 32
#: Far below what PgBouncer takes from its user list; a longer one is a file's content by mistake.
LONGEST = 256
_ALPHABET = string.ascii_letters + string.digits
_PROHIBITED = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def generate() -> str:
    """A new password: letters and digits, so that nothing ever has to quote it."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(LENGTH))


def saslprep(password: str) -> str:
    """The password as SCRAM uses it (RFC 4013). Raises ValueError, which says why it has no such form, never the password."""
    if password.isascii():
        return password
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in password if not stringprep.in_table_b1(char)
    )
    normal = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if not normal:
        raise ValueError("it holds nothing but characters that SASLprep leaves out")
    for char in normal:
        if any(test(char) for test in _PROHIBITED):
            raise ValueError(f"it holds U+{ord(char):04X}, which SASLprep prohibits or does not know")
    if any(map(stringprep.in_table_d1, normal)) and (
        any(map(stringprep.in_table_d2, normal))
        or not (stringprep.in_table_d1(normal[0]) and stringprep.in_table_d1(normal[-1]))
    ):
        raise ValueError("it mixes text from right to left with other text, which SASLprep prohibits")
    return normal


def problem(password: Any) -> str:
    """Why a password cannot be used, or nothing. The text holds no part of it but the number of a character."""
    if not isinstance(password, str):
        return f"it is no text but {_kind(password)}: put it in quotes"
    if not password:
        return "it is empty"
    for char, name in (("\0", "a NUL"), ("\n", "a line break"), ("\r", "a carriage return")):
        if char in password:
            return f"it holds {name}"
    try:
        size = len(password.encode())
        prepared = saslprep(password)
    except UnicodeEncodeError:
        return "it is no valid Unicode"
    except ValueError as error:
        return f"{error}: clients would not agree on it"
    control = next((char for char in prepared if stringprep.in_table_c21_c22(char)), "")
    if control:
        return f"it holds the control character U+{ord(control):04X}"
    if max(size, len(prepared.encode())) > LONGEST:
        return f"it is longer than {LONGEST} bytes"
    return ""


def _kind(value: Any) -> str:
    kinds = {
        bool: "yes or no",
        int: "a number",
        float: "a number",
        dict: "a mapping",
        list: "a list",
        type(None): "null",
    }
    return kinds.get(type(value), type(value).__name__)


def check(value: Any, where: str) -> str:
    """The value, if it can be a password. Raises CutoverError."""
    reason = problem(value)
    if reason:
        raise CutoverError(f"{where} cannot be used as a password: {reason}. Nothing was changed.")
    return str(value)


class Held:
    """Secrets that are kept elsewhere: what is there, and what the caller has to put and to remove, in this order."""

    def __init__(self, there: dict[str, str], place: str) -> None:
        self.there = dict(there)
        self.place = place
        self.notes: list[str] = []
        self.put: list[dict[str, str]] = []
        self.remove: list[str] = []

    def read(self, name: str) -> str | None:
        """A secret, or None."""
        value = self.there.get(name)
        return None if value is None else check(value, f"{name} in {self.place}")

    def make(self, name: str, value: str) -> str:
        """Keep a new secret unless there is one."""
        return self.there[name] if name in self.there else self._set(name, value)

    def promote(self, name: str) -> bool:
        """Let `name.next` take the place of `name`, which stays as `name.former`."""
        if name + NEXT not in self.there:
            return False
        if name in self.there and name + FORMER not in self.there:
            self._set(name + FORMER, self.there[name])
        self._set(name, self.there[name + NEXT])
        self._drop(name + NEXT)
        return True

    def forget(self, name: str) -> bool:
        """Remove `name.former`."""
        there = name + FORMER in self.there
        if there:
            self._drop(name + FORMER)
        return there

    def _set(self, name: str, value: str) -> str:
        self.there[name] = value
        self.put.append({"name": name, "value": value})
        return value

    def _drop(self, name: str) -> None:
        del self.there[name]
        self.remove.append(name)


class Directory:
    """The secrets of one migration, a file each (0600) in a folder of their own (0700)."""

    def __init__(self, path: str, check_mode: bool = False) -> None:
        self.path = os.path.abspath(os.path.expanduser(path))
        self.check_mode = check_mode
        #: What had to be put right, for the operator.
        self.notes: list[str] = []

    def read(self, name: str) -> str | None:
        """A secret as its file holds it, or None. Narrows the rights of the file. Raises CutoverError."""
        path = os.path.join(self.path, name)
        self._guard_folder()
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CutoverError(f"{path} cannot be read as a secret: {error.strerror}. Nothing was changed.") from None
        try:
            state = os.fstat(handle)
            if not stat.S_ISREG(state.st_mode):
                raise CutoverError(f"{path} is no file, so it cannot hold a secret. Nothing was changed.")
            self._narrow(path, state, 0o600)
            content = os.read(handle, LONGEST * 4)
        finally:
            os.close(handle)
        try:
            text = content.decode()
        except UnicodeDecodeError:
            raise CutoverError(f"{path} cannot be used as a password: it is no UTF-8. Nothing was changed.") from None
        # An editor ends a file with a line break; it is no part of the password.
        text = text[:-1] if text.endswith("\n") else text
        return check(text, path)

    def make(self, name: str, value: str) -> str:
        """Keep a new secret unless there is one, and return the one that is kept: of several runs the first wins."""
        if self.check_mode:
            return value
        temporary = self._written(value)
        try:
            os.link(temporary, os.path.join(self.path, name))
        except FileExistsError:
            return self.read(name) or value
        finally:
            os.unlink(temporary)
        self._sync()
        return value

    def promote(self, name: str) -> bool:
        """Let `name.next` take the place of `name`, which stays as `name.former`. Killed at any point, a second call ends it."""
        coming, path = (os.path.join(self.path, one) for one in (name + NEXT, name))
        if not os.path.exists(coming):
            return False
        if self.check_mode:
            return True
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            os.link(path, path + FORMER)
        self._sync()
        os.replace(coming, path)
        self._sync()
        return True

    def forget(self, name: str) -> bool:
        """Remove `name.former`."""
        path = os.path.join(self.path, name + FORMER)
        if not os.path.exists(path):
            return False
        if not self.check_mode:
            os.unlink(path)
            self._sync()
        return True

    def _written(self, value: str) -> str:
        try:
            os.makedirs(self.path, mode=0o700, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.path, prefix=".new-")
        except OSError as error:
            raise CutoverError(
                f"{self.path}: secrets cannot be kept there ({error.strerror}); set cutover_secrets_dir to a folder of your "
                "own. Nothing was changed."
            ) from None
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(value + "\n")
            file.flush()
            os.fsync(file.fileno())
        return temporary

    def _guard_folder(self) -> None:
        try:
            state = os.stat(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise CutoverError(
                f"{self.path} cannot be used for secrets: {error.strerror}. Nothing was changed."
            ) from None
        if not stat.S_ISDIR(state.st_mode):
            raise CutoverError(f"{self.path} is no folder, so it cannot keep secrets. Nothing was changed.")
        if state.st_mode & 0o002:
            raise CutoverError(
                f"{self.path} can be written by everybody, who could replace the secrets in it; "
                "set cutover_secrets_dir to a folder of your own. Nothing was changed."
            )
        self._narrow(self.path, state, 0o700)

    def _narrow(self, path: str, state: os.stat_result, mode: int) -> None:
        if not state.st_mode & 0o077:
            return
        was = f"{stat.S_IMODE(state.st_mode):04o}"
        if self.check_mode:
            note = f"{path} has mode {was}, so others may read it; a real run makes it {mode:04o}."
            self.notes.extend([] if note in self.notes else [note])
            return
        try:
            os.chmod(path, mode)
        except OSError:
            raise CutoverError(
                f"{path} has mode {was}, so others may read it, and it belongs to somebody else: "
                f"make it {mode:04o}, owned by who runs Ansible. Nothing was changed."
            ) from None
        self.notes.append(
            f"{path} had mode {was} and has {mode:04o} now. If others could read it, rotate the passwords (playbooks/rotate.yml)."
        )

    def _sync(self) -> None:
        handle = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
