# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords on the controller: which are accepted, how they are kept, and what survives a kill at any step."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.errors import CutoverError
from cutover.keeping import keep
from cutover.passwords import problem, saslprep


def asked(directory: Path, action: str = "find", check: bool = False, **wanted: Any) -> dict[str, Any]:
    """What the action plugin would return."""
    return keep(
        {
            "action": action,
            "directory": str(directory),
            "held": None,
            "place": "",
            "names": list(wanted),
            "wanted": wanted,
            "variables": {"app": "provider_app_password"},
        },
        check,
    )


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "empty"),
        ("a\0b", "a NUL"),
        ("a\nb", "a line break"),
        ("a\r", "a carriage return"),
        ("a\tb", "the control character U+0009"),
        ("a\x7f", "the control character U+007F"),
        ("bell\u0085", "U+0085, which SASLprep prohibits"),
        ("\u00ad", "nothing but characters that SASLprep leaves out"),
        ("new \u0378", "U+0378, which SASLprep prohibits or does not know"),
        ("tag\U000e0041", "U+E0041, which SASLprep prohibits"),
        ("private\ue000", "U+E000"),
        ("\u05d0a", "from right to left"),
        ("a\ud800", "no valid Unicode"),
        ("x" * 257, "longer than 256 bytes"),
        ("ä" * 129, "longer than 256 bytes"),
        (7, "no text but a number"),
        (True, "no text but yes or no"),
        (None, "no text but null"),
        (["a"], "no text but a list"),
    ],
)
def test_password_that_cannot_work_is_refused_without_being_shown(password: Any, reason: str) -> None:
    assert reason in problem(password)
    if isinstance(password, str) and len(password) > 1:
        assert password not in problem(password)


@pytest.mark.parametrize(
    "password", ["@ : / % '\"", "a\\b$c#d", " lead and trail ", "ünïcødé 漢字", "ﬁle", "so\u00adft", "אבג"]
)
def test_password_that_works_is_accepted(password: str) -> None:
    assert problem(password) == ""


@given(st.text(max_size=40))
def test_what_is_accepted_is_the_same_when_prepared_twice(password: str) -> None:
    if not problem(password):
        assert saslprep(saslprep(password)) == saslprep(password)


def test_made_once_private_and_the_same_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "shop"
    first = asked(folder, app="", owner="")
    assert first["changed"]
    assert {len(value) for value in first["secrets"].values()} == {32}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    again = asked(folder, app="", owner="")
    assert not again["changed"]
    assert again["secrets"] == first["secrets"]


def test_the_inventorys_password_wins_and_is_not_kept(tmp_path: Path) -> None:
    found = asked(tmp_path / "shop", app="p@ss: word", owner="")
    assert found["secrets"]["app"] == "p@ss: word"
    assert found["given"] == ["app"]
    assert [file.name for file in (tmp_path / "shop").iterdir()] == ["owner"]


def test_nothing_is_made_before_all_given_ones_are_judged(tmp_path: Path) -> None:
    with pytest.raises(
        CutoverError, match=r"^provider_app_password cannot be used as a password: it holds a line break\. Noth"
    ):
        asked(tmp_path / "shop", owner="", app="hidden\n")
    assert not (tmp_path / "shop").exists()


def test_check_mode_makes_none(tmp_path: Path) -> None:
    found = asked(tmp_path / "shop", check=True, app="")
    assert len(found["secrets"]["app"]) == 32
    assert not (tmp_path / "shop").exists()


def test_hosts_that_ask_at_the_same_time_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: asked(tmp_path / "shop", app="")["secrets"]["app"], range(48)))
    assert len(set(found)) == 1
    assert [file.name for file in (tmp_path / "shop").iterdir()] == ["app"]


def test_wide_rights_are_narrowed_and_told(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    asked(folder, app="")
    (folder / "app").chmod(0o644)
    folder.chmod(0o755)
    told = asked(folder, check=True, app="")["notes"]
    assert [("0755" in note or "0644" in note) and "a real run makes it" in note for note in told] == [True, True]
    assert stat.S_IMODE((folder / "app").stat().st_mode) == 0o644
    notes = asked(folder, app="")["notes"]
    assert "0755 and has 0700 now" in notes[0]
    assert "0644 and has 0600 now" in notes[1]
    assert stat.S_IMODE((folder / "app").stat().st_mode) == 0o600
    assert asked(folder, app="")["notes"] == []


def test_what_is_no_secret_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir(mode=0o700)
    (folder / "app").symlink_to("/etc/hostname")
    with pytest.raises(CutoverError, match="cannot be read as a secret"):
        asked(folder, app="")
    (folder / "app").unlink()
    (folder / "app").mkdir()
    with pytest.raises(CutoverError, match="is no file"):
        asked(folder, app="")
    (folder / "app").rmdir()
    (folder / "app").write_bytes(b"hidden\r\n")
    with pytest.raises(
        CutoverError, match=r"shop/app cannot be used as a password: it holds a carriage return\. Nothing"
    ):
        asked(folder, app="")
    (folder / "app").write_bytes(b"\xff\xfe")
    with pytest.raises(CutoverError, match="it is no UTF-8"):
        asked(folder, app="")
    folder.chmod(0o777)
    with pytest.raises(CutoverError, match="written by everybody"):
        asked(folder, app="")


# ---------------------------------------------------------------- rotation


def test_a_rotation_goes_its_way_and_begins_once(tmp_path: Path) -> None:
    old = asked(tmp_path, app="")["secrets"]["app"]
    coming = asked(tmp_path, "begin", app="")
    assert coming["secrets"]["app"] == old
    new = coming["coming"]["app"]
    assert asked(tmp_path, "begin", app="")["coming"]["app"] == new
    promoted = asked(tmp_path, "promote", app="")
    assert (promoted["secrets"]["app"], promoted["former"]["app"], promoted["coming"]) == (new, old, {})
    assert not asked(tmp_path, "promote", app="")["changed"]
    assert not asked(tmp_path, "begin", app="")["changed"], "it has not ended"
    assert asked(tmp_path, "forget", app="")["former"] == {}
    assert [file.name for file in tmp_path.iterdir()] == ["app"]


class Killed(BaseException):
    """The end of the process."""


@pytest.mark.parametrize("call", range(12))
@pytest.mark.parametrize("kind", ["directory", "held"])
def test_killed_at_any_step_neither_password_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int, kind: str
) -> None:
    """Every call that changes something on the disk, or in the store, is the last one of some run."""
    if kind == "directory":
        _directory_killed(tmp_path, monkeypatch, call)
    else:
        _held_killed(call)


def _directory_killed(folder: Path, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    old = asked(folder, app="")["secrets"]["app"]
    left = [call]

    def ending(name: str) -> None:
        real = getattr(os, name)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            if not left[0]:
                raise Killed
            left[0] -= 1
            return real(*arguments, **named)

        monkeypatch.setattr(os, name, wrapped)

    for name in ("link", "replace", "unlink", "fsync"):
        ending(name)
    new = ""
    try:
        new = asked(folder, "begin", app="")["coming"]["app"]
        asked(folder, "promote", app="")
        asked(folder, "forget", app="")
    except Killed:
        pass
    monkeypatch.undo()
    kept = {f.name: f.read_text().strip() for f in folder.iterdir() if not f.name.startswith(".new-")}
    assert kept["app"] in {old, new} - {""}
    if kept["app"] != old and "app.former" not in kept:
        assert not left[0] or kept == {"app": new}
    # The run after it ends the rotation that was under way, or makes the first step of one.
    coming = asked(folder, "begin", app="")
    wanted = coming["coming"].get("app", coming["secrets"]["app"])
    assert not new or wanted == new or kept == {"app": new}
    assert asked(folder, "promote", app="")["secrets"]["app"] == wanted
    asked(folder, "forget", app="")
    assert asked(folder, app="")["secrets"]["app"] == wanted


def _held_killed(call: int) -> None:
    """The caller carries out what it is told, one by one, and may be killed between any two."""
    there = {"app": "old"}
    left = call

    def act(action: str) -> dict[str, Any]:
        nonlocal left
        said = keep(
            {"action": action, "held": there, "place": "", "names": ["app"], "wanted": {"app": ""}, "variables": {}},
            False,
        )
        for entry in said["put"]:
            if not left:
                raise Killed
            left -= 1
            there[entry["name"]] = entry["value"]
        for name in said["remove"]:
            if not left:
                raise Killed
            left -= 1
            del there[name]
        return said

    new = ""
    try:
        new = act("begin")["coming"]["app"]
        act("promote")
        act("forget")
    except Killed:
        pass
    assert there["app"] in {"old", new} - {""}
    left = 99
    act("begin")
    act("promote")
    act("forget")
    assert list(there) == ["app"]
    if new and call < 5:
        assert there["app"] == new
