"""A report's figures in, a word on which variant to choose for what out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convert.variants import DEFAULT

Json = Mapping[str, Any]

_WORTH = 0.9  # of the default's figure: a tenth better is worth another file


def advice(variants: Mapping[str, Json]) -> str:
    """One paragraph over all variants; "" where there is nothing to choose from."""
    if len(variants) == 1:
        return ""
    default = variants[DEFAULT.name]
    words = [
        f"Choose **{DEFAULT.name}** unless you have a reason not to: {_megabytes(default)}, "
        f"{_ms(default):.2f} ms a face here, {_points(default)} than Keras, and no floating point, "
        "which suits small boards and accelerators best."
    ]
    for reason, key, figure in (
        ("where answers must be Keras's own", _divergence, "mean KL {:.5f} nats"),
        ("where every byte counts", _bytes, "{:,} bytes"),
        ("on a machine like this one, where time counts most", _ms, "{:.2f} ms a face"),
    ):
        best = min(variants, key=lambda name: key(variants[name]))
        value = key(variants[best])
        if value < _WORTH * key(default):
            words.append(f"Choose **{best}** {reason} ({figure.format(value)}).")
    return " ".join(words)


def _clean(variant: Json) -> Json:
    first: Json = next(iter(variant["trials"].values()))
    return first


def _divergence(variant: Json) -> float:
    return float(_clean(variant)["mean_kl"])


def _bytes(variant: Json) -> float:
    return int(variant["file"]["bytes"])


def _ms(variant: Json) -> float:
    """On LiteRT, at one thread."""
    first: Json = next(iter(variant["runtimes"].values()))
    return float(first["latency_ms"][1])


def _megabytes(variant: Json) -> str:
    return f"{variant['file']['bytes'] / 1e6:.2f} MB"


def _points(variant: Json) -> str:
    drop = 100 * float(_clean(variant)["accuracy_drop"])
    return f"{abs(drop):.2f} points {'better' if drop < 0 else 'worse'}"
