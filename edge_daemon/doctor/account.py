"""Names of accounts and groups."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Sequence


def user_name() -> str:
    """Return the account of this process, or its number where it has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def has_account(name: str) -> bool:
    """Return whether this machine has an account called `name`."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def group_name(gid: int) -> str:
    """Return the name of a group, or its number where it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def members(gid: int) -> Sequence[str]:
    """Return the members of a group; membership takes effect at their next login."""
    try:
        return grp.getgrgid(gid).gr_mem
    except KeyError:
        return ()
