"""The accounts of a trial: a table in a file that only its owner may read."""

from __future__ import annotations

import csv
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyterhub.auth import Authenticator
from traitlets import Dict, Unicode

COLUMNS = ("account", "role", "password")
ROLES = ("student", "grader")
FIRST = (("grader", "grader"), ("ada", "student"), ("ben", "student"))


class AccountsError(Exception):
    """A table that cannot be understood; the message says where and what to do."""


@dataclass(frozen=True)
class Account:
    """A row of the table."""

    name: str
    role: str
    password: str


def prepare(path: Path) -> list[Account]:
    """Make the table if it is not there, and a password for each account that has none."""
    found = read(path) if path.exists() else [Account(name, role, "") for name, role in FIRST]
    accounts = [Account(item.name, item.role, item.password or secrets.token_urlsafe(9)) for item in found]
    if accounts != found:
        fresh = path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([COLUMNS, *((item.name, item.role, item.password) for item in accounts)])
        fresh.replace(path)
    return accounts


def read(path: Path) -> list[Account]:
    """The accounts in a table.

    Raises:
        AccountsError: a row cannot be understood, or the file can be read by others.
    """
    if path.stat().st_mode & 0o077:
        raise AccountsError(f"{path} holds passwords, and others may read it: chmod 600 {path}")
    with path.open(newline="", encoding="utf-8") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file) if any(cell.strip() for cell in row)]
    if not rows or tuple(rows[0]) != COLUMNS:
        raise AccountsError(f"{path}: the first line is {','.join(COLUMNS)}")
    accounts: dict[str, Account] = {}
    for row in rows[1:]:
        name, role, password = [*row, "", ""][:3]
        if not re.fullmatch(r"[a-z][a-z0-9_-]*", name) or name in accounts:
            raise AccountsError(f"{path}: the account {name!r} is there twice, or is not made of a-z, 0-9, _ and -")
        if role not in ROLES:
            raise AccountsError(f"{path}: {name} is {' or '.join(ROLES)}, not {role!r}")
        accounts[name] = Account(name, role, password)
    return list(accounts.values())


class TrialAuthenticator(Authenticator):
    """Lets in whom the table names; it is read at each login, so that a new line needs no restart."""

    table = Unicode(help="The file.").tag(config=True)
    groups = Dict(help="The hub's group of each role.").tag(config=True)

    async def authenticate(self, handler: Any, data: dict[str, str]) -> dict[str, Any] | None:
        """The account with this name and password, if there is one."""
        accounts = {account.name: account for account in read(Path(self.table))}
        account = accounts.get(self.normalize_username(data["username"]))
        if account is None or not account.password:
            return None
        if not secrets.compare_digest(data["password"].encode(), account.password.encode()):
            return None
        return {"name": account.name, "groups": [self.groups[account.role]]}
