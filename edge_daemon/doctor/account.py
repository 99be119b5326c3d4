"""Accounts and groups: what the system's lists say of this process in, names out."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Sequence


def user_name() -> str:
    """The account this runs as; its number where it has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def has_account(name: str) -> bool:
    """Whether this machine has an account of that name."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def group_name(gid: int) -> str:
    """The group's name, or its number."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def members(gid: int) -> Sequence[str]:
    """Whom the system's list puts in the group, from their next login on."""
    try:
        return grp.getgrgid(gid).gr_mem
    except KeyError:
        return ()
