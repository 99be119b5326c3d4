"""The base class of all errors that a user can fix."""

from __future__ import annotations


class UserError(Exception):
    """Something that only the user can fix.

    The message is shown as it is, without a traceback: one sentence a line, which names the file,
    key or device and says what to do.
    """
