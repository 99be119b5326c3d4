"""Builds the conversion report as a JSON object."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata as packages
from pathlib import Path
from typing import Any

import tensorflow as tf

from convert import tflite
from convert.candidate import Candidate
from convert.gate import Comparison, Limits
from convert.runtimes import Agreement, Memory
from convert.studies import CalibrationPoint, LayerError

SCHEMA = 4

Json = Mapping[str, Any]

_WORTH = 0.9  # another variant is advised if its figure is at most this share of int8's


@dataclasses.dataclass(frozen=True, slots=True)
class Model:
    """A finished variant with its path and what the gate measured."""

    candidate: Candidate
    path: Path
    comparisons: tuple[Comparison, ...]  # the test images first
    agreements: Mapping[str, Agreement]  # by runtime


@dataclasses.dataclass(frozen=True, slots=True)
class Measurements:
    """The measurements of all variants, besides those of the gate."""

    runtimes: Mapping[str, str]  # versions of those available, LiteRT first
    unreachable: Mapping[str, str]  # the others, and why
    latency_ms: Mapping[str, Mapping[str, Mapping[int, float]]]  # by variant, runtime, threads
    memory: Mapping[str, Memory]  # by variant
    layers: Sequence[LayerError]  # empty without an int8 variant
    calibration: Sequence[CalibrationPoint]  # empty where it was not studied


def build(
    spec: Json,
    models: Sequence[Model],
    measured: Measurements,
    limits: Limits,
    *,
    refusals: Sequence[str],
    command: str,
) -> dict[str, Any]:
    """Build the report on the finished variants of one export from their files' bytes.

    `refusals` are the gate's sentences about the variants that it refused.
    """
    first = models[0]
    variants = {
        model.candidate.variant.name: _variant(model) | _measured(model, measured)
        for model in models
    }
    return {
        "schema": SCHEMA,
        "name": spec["name"],
        "version": spec["version"],
        "labels": spec["labels"],
        "annotations": spec.get("dataset", {}).get("annotations"),
        "weights_sha256": first.candidate.spec["weights_sha256"],
        "keras": {each.images: dataclasses.asdict(each.keras) for each in first.comparisons},
        "samples": first.comparisons[0].samples,
        "variants": variants,
        "refusals": list(refusals),
        "runtimes": measured.runtimes,
        "unreachable_runtimes": measured.unreachable,
        "advice": advice(variants),
        "layers": [dataclasses.asdict(layer) for layer in measured.layers],
        "calibration_study": [dataclasses.asdict(point) for point in measured.calibration],
        "limits": dataclasses.asdict(limits),
        "versions": versions(),
        "machine": f"{platform.machine()} with {os.cpu_count()} processors",
        "command": command,
    }


def versions() -> dict[str, str]:
    """Return the versions of the packages that a model's bytes and a report's figures depend on."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,  # its package may be tensorflow or tensorflow-cpu
        **{name: packages.version(name) for name in ("keras", "ai-edge-litert", "flatbuffers")},
    }


def to_json(report: Json) -> bytes:
    """Return the content of the report's file."""
    return (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode()


def advice(variants: Mapping[str, Json]) -> str:
    """Return a paragraph on which variant to choose; "" if there is only one."""
    if len(variants) == 1 or "int8" not in variants:
        return ""
    default = variants["int8"]
    words = [
        f"Choose **int8** unless you have a reason not to: {_megabytes(default)}, "
        f"{_ms(default):.2f} ms a face here, {_accuracy(default)}, and no floating point, "
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


def _variant(model: Model) -> dict[str, Any]:
    described = tflite.read(model.candidate.content)
    return {
        "file": {
            "name": model.path.name,
            "bytes": len(model.candidate.content),
            "sha256": hashlib.sha256(model.candidate.content).hexdigest(),
        },
        "quantization": model.candidate.spec["quantization"],
        "input": dataclasses.asdict(described.inputs[0]),
        "output": dataclasses.asdict(described.outputs[0]),
        "operators": [dataclasses.asdict(operator) for operator in described.operators],
        "trials": {each.images: _trial(each) for each in model.comparisons},
    }


def _measured(model: Model, measured: Measurements) -> dict[str, Any]:
    variant = model.candidate.variant.name
    return {
        "memory": dataclasses.asdict(measured.memory[variant]),
        "runtimes": {
            runtime: {
                "latency_ms": measured.latency_ms[variant][runtime],
                "agreement": dataclasses.asdict(agreement),
            }
            for runtime, agreement in model.agreements.items()
        },
    }


def _trial(comparison: Comparison) -> dict[str, Any]:
    drop = comparison.accuracy_drop
    worst = comparison.recall_drops[comparison.worst_class]
    return dataclasses.asdict(comparison.model) | {
        "accuracy_drop": drop.points,
        "accuracy_drop_low": drop.low,
        "recall_drop": worst.points,
        "recall_drop_low": worst.low,
        "agreement": comparison.agreement,
        "agreement_high": comparison.agreement_high,
        "mean_kl": comparison.mean_kl,
        "mean_kl_low": comparison.mean_kl_low,
    }


def _clean(variant: Json) -> Json:
    first: Json = next(iter(variant["trials"].values()))
    return first


def _divergence(variant: Json) -> float:
    return float(_clean(variant)["mean_kl"])


def _bytes(variant: Json) -> float:
    return int(variant["file"]["bytes"])


def _ms(variant: Json) -> float:
    """Return the median time on LiteRT with one thread, in ms."""
    first: Json = next(iter(variant["runtimes"].values()))
    return float(first["latency_ms"][1])


def _megabytes(variant: Json) -> str:
    return f"{variant['file']['bytes'] / 1e6:.2f} MB"


def _accuracy(variant: Json) -> str:
    """Return how its accuracy compares with Keras's, where the difference is more than chance."""
    trial = _clean(variant)
    drop, low = float(trial["accuracy_drop"]), float(trial["accuracy_drop_low"])
    if low <= 0 <= 2 * drop - low:
        return "an accuracy that differs from Keras's by no more than chance"
    return f"{100 * abs(drop):.2f} points {'better' if drop < 0 else 'worse'} than Keras"
