"""The base class of all errors that a user can fix, and the reason in an exception."""

from __future__ import annotations


class UserError(Exception):
    """Something that only the user can fix.

    The message is shown as it is, without a traceback: one sentence a line, which names the file,
    key or device and says what to do.
    """


def reason_of(error: BaseException) -> str:
    """Return the reason in a few words: an OSError's text, else the message's first line."""
    text = getattr(error, "strerror", None) or str(error)
    return str(text).strip().partition("\n")[0] or type(error).__name__
