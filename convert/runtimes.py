"""An operator and its version in, the oldest TensorFlow Lite that has it out.

From `FindMinimumRuntimeVersionForOp` in TensorFlow's own table
(https://github.com/tensorflow/tensorflow/blob/master/tensorflow/lite/tools/versioning/runtime_version.cc),
for the operators that convolution networks turn into. tflite-runtime carries TensorFlow's
numbers; every ai-edge-litert is newer than all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from convert.graph import Operator

# By operator the release that brought version 1, version 2, …
_RELEASES: Mapping[str, tuple[str, ...]] = {
    "ADD": ("1.5.0", "1.14.0", "2.4.0", "2.6.0"),
    "AVERAGE_POOL_2D": ("1.5.0", "1.14.0", "2.3.0"),
    "CONCATENATION": ("1.5.0", "1.14.0", "2.3.0"),
    "CONV_2D": ("1.5.0", "1.14.0", "1.14.0", "2.3.0", "2.4.0", "2.9.0"),
    "DEPTHWISE_CONV_2D": ("1.5.0", "1.12.0", "1.14.0", "2.2.0", "2.3.0", "2.3.0"),
    "DEQUANTIZE": ("1.13.1", "1.14.0", "1.15.0", "2.2.0", "2.7.0"),
    "FULLY_CONNECTED": (
        *("1.5.0", "1.10.0", "1.14.0", "1.14.0", "2.0.0"),
        *("2.1.0", "2.3.0", "2.3.0", "2.3.0"),
    ),
    "LEAKY_RELU": ("1.13.1", "2.3.0"),
    "LOGISTIC": ("1.14.0", "1.14.0", "2.3.0"),
    "MAX_POOL_2D": ("1.5.0", "1.14.0", "2.3.0"),
    "MEAN": ("1.6.0", "1.14.0", "2.4.0"),
    "MUL": ("1.5.0", "1.14.0", "1.15.0", "2.3.0", "2.6.0"),
    "PAD": ("1.5.0", "1.14.0", "2.4.0", "2.6.0"),
    "QUANTIZE": ("1.14.0", "1.15.0", "2.7.0"),
    "RELU": ("1.5.0", "2.1.0", "2.5.0"),
    "RESHAPE": ("1.5.0",),
    "SOFTMAX": ("1.5.0", "1.14.0", "2.3.0"),
    "SUB": ("1.6.0", "1.14.0", "2.3.0", "2.4.0", "2.4.0"),
}


def oldest(operator: Operator) -> str | None:
    """The first release with this operator in this version; None if it is not in the table."""
    releases = _RELEASES.get(operator.name, ())
    return releases[operator.version - 1] if 0 < operator.version <= len(releases) else None


def oldest_for_all(operators: Iterable[Operator]) -> str | None:
    """The first release that has them all; None if one of them is not in the table."""
    releases = [oldest(operator) for operator in operators]
    known = [release for release in releases if release is not None]
    return max(known, key=_numbers) if known and len(known) == len(releases) else None


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in release.split("."))
