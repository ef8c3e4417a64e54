"""The table of a trial's accounts: made once, with passwords of its own, and read with care."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import ModuleType

import pytest

from course_lib.grading.places import ROOT


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as the hub's configuration imports it."""
    pytest.importorskip("jupyterhub", reason="make hub-setup installs JupyterHub")
    monkeypatch.syspath_prepend(ROOT / "deploy" / "jupyterhub")
    monkeypatch.delitem(sys.modules, "accounts", raising=False)
    import accounts

    return accounts


def test_the_table_is_made_once_and_only_its_owner_reads_it(accounts: ModuleType, tmp_path: Path) -> None:
    first, other = (accounts.prepare(tmp_path / name) for name in ("a.csv", "b.csv"))
    assert sorted(item.role for item in first) == ["grader", "student", "student"]
    assert len({item.password for item in first + other}) == 6 and min(len(item.password) for item in first) >= 12
    assert (tmp_path / "a.csv").stat().st_mode & 0o077 == 0
    assert accounts.prepare(tmp_path / "a.csv") == first


def test_a_new_line_gets_a_password_and_the_others_keep_theirs(accounts: ModuleType, tmp_path: Path) -> None:
    table = tmp_path / "accounts.csv"
    before = accounts.prepare(table)
    with table.open("a") as file:
        file.write("cleo,student\n")
    after = accounts.prepare(table)
    assert after[:-1] == before and after[-1].name == "cleo" and after[-1].password


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("name,role\n", "the first line is account,role,password"),
        ("account,role,password\nAda L,student,x\n", "'Ada L'"),
        ("account,role,password\nada,student,x\nada,student,y\n", "there twice"),
        ("account,role,password\nada,boss,x\n", "student or grader, not 'boss'"),
    ],
)
def test_a_row_that_cannot_be_understood_is_named(accounts: ModuleType, tmp_path: Path, lines: str, said: str) -> None:
    table = tmp_path / "accounts.csv"
    table.touch(0o600)
    table.write_text(lines)
    with pytest.raises(accounts.AccountsError, match=said):
        accounts.prepare(table)


def test_a_table_that_others_may_read_is_refused(accounts: ModuleType, tmp_path: Path) -> None:
    table = tmp_path / "accounts.csv"
    accounts.prepare(table)
    table.chmod(0o644)
    with pytest.raises(accounts.AccountsError, match="chmod 600"):
        accounts.read(table)


@pytest.mark.parametrize("name", ["ada", "ADA"])
def test_only_the_right_password_lets_in_and_says_the_group(accounts: ModuleType, tmp_path: Path, name: str) -> None:
    table = tmp_path / "accounts.csv"
    passwords = {item.name: item.password for item in accounts.prepare(table)}
    door = accounts.TrialAuthenticator(table=str(table), groups={"student": "s", "grader": "g"})

    def try_to_enter(password: str) -> object:
        return asyncio.run(door.authenticate(None, {"username": name, "password": password}))

    assert try_to_enter(passwords["ada"]) == {"name": "ada", "groups": ["s"]}
    assert try_to_enter(passwords["ben"]) is None and try_to_enter("") is None
    table.write_text("account,role,password\nada,student,\n")
    assert try_to_enter("") is None
