"""The base class of all errors that a user can fix, and the reason in an exception."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

# Of OpenSSL's verification: the certificate is not yet valid, or has expired.
_DATE_CODES: Final = frozenset({9, 10})


class UserError(Exception):
    """Something that only the user can fix.

    The message is shown as it is, without a traceback: one sentence a line, which names the file,
    key or device and says what to do.
    """


def reason_of(error: BaseException) -> str:
    """Return the reason in a few words: an OSError's text, else the message's first line.

    A certificate may be out of date only by the clock of a board that has just started.
    """
    if fault := getattr(error, "verify_message", ""):  # of ssl.SSLCertVerificationError
        is_date = getattr(error, "verify_code", 0) in _DATE_CODES
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        return f"{fault}{f' by the clock of this computer, which shows {today}' * is_date}"
    text = getattr(error, "strerror", None) or str(error)
    return str(text).strip().partition("\n")[0] or type(error).__name__
