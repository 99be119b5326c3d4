"""What a user can mend; the message says where it is and what to do."""

from __future__ import annotations


class TrainError(Exception):
    """Ends the command with exit status 2 and the message, without a traceback."""


class DatasetError(TrainError):
    """The dataset is missing or not FER2013."""


class CheckpointError(TrainError):
    """A file of an earlier run cannot be read or does not fit."""


class ModelFileError(TrainError):
    """An export or a model file is missing, damaged or another project's."""
