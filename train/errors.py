"""Errors that the user can fix; each message says where the problem is and what to do."""

from __future__ import annotations


class TrainError(Exception):
    """Ends the command with exit status 2 and the message, without a traceback."""


class DatasetError(TrainError):
    """The dataset is missing or has the wrong form."""


class CheckpointError(TrainError):
    """A file of an earlier run cannot be read, or belongs to another run."""


class ModelFileError(TrainError):
    """An export or a model file is missing, damaged or of another project."""
