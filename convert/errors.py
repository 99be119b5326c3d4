"""What can go wrong in a conversion: one clear sentence and the process's exit status."""

from __future__ import annotations


class ConvertError(Exception):
    """The input cannot be read or the output cannot be written; the message says which and why."""

    exit_status = 2


class GateError(ConvertError):
    """The converted model answers too differently from the Keras network to be shipped."""

    exit_status = 1
