"""Errors that the user can fix, each with the exit status of the process."""

from __future__ import annotations


class ConvertError(Exception):
    """The input is unusable or the output cannot be written; the message names the file and why."""

    exit_status = 2


class GateError(ConvertError):
    """A model answers too differently from the Keras network to be used."""

    exit_status = 1
