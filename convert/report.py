"""Finished models in, the report on them as a JSON object out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convert import choice, graph, runtimes, versions
from convert.calibration_study import Point
from convert.candidate import Candidate
from convert.layers import LayerError
from convert.runtime_study import Agreement, Memory
from convert.verify import Comparison, Limits

SCHEMA = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Model:
    """One finished variant: what it is, where it goes, and how it did."""

    candidate: Candidate
    path: Path
    comparisons: tuple[Comparison, ...]  # the test images first
    agreements: Mapping[str, Agreement]  # by runtime


@dataclasses.dataclass(frozen=True, slots=True)
class Measurements:
    """What was measured on all variants together, beside the trials."""

    runtimes: Mapping[str, str]  # versions of those that were reached, LiteRT first
    unreachable: Mapping[str, str]  # the others, and why
    latency_ms: Mapping[str, Mapping[str, Mapping[int, float]]]  # by variant, runtime, threads
    memory: Mapping[str, Memory]  # by variant
    layers: Sequence[LayerError]
    calibration: Sequence[Point]  # empty where it was not studied


def build(
    spec: Mapping[str, Any],
    models: Sequence[Model],
    measured: Measurements,
    limits: Limits,
    command: str,
) -> dict[str, Any]:
    """The report on all variants of one export, from the files' own bytes."""
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
        "weights_sha256": first.candidate.spec["weights_sha256"],
        "keras": {each.images: dataclasses.asdict(each.keras) for each in first.comparisons},
        "samples": first.comparisons[0].samples,
        "variants": variants,
        "runtimes": measured.runtimes,
        "unreachable_runtimes": measured.unreachable,
        "advice": choice.advice(variants),
        "layers": [dataclasses.asdict(layer) for layer in measured.layers],
        "calibration_study": [dataclasses.asdict(point) for point in measured.calibration],
        "limits": dataclasses.asdict(limits),
        "versions": versions.installed(),
        "machine": f"{platform.machine()} with {os.cpu_count()} processors",
        "command": command,
    }


def to_json(report: Mapping[str, Any]) -> bytes:
    """The report's file."""
    return (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode()


def _variant(model: Model) -> dict[str, Any]:
    described = graph.read(model.candidate.content)
    return {
        "file": {
            "name": model.path.name,
            "bytes": len(model.candidate.content),
            "sha256": hashlib.sha256(model.candidate.content).hexdigest(),
        },
        "quantization": model.candidate.spec["quantization"],
        "input": dataclasses.asdict(described.inputs[0]),
        "output": dataclasses.asdict(described.outputs[0]),
        "operators": [
            dataclasses.asdict(operator) | {"oldest_runtime": runtimes.oldest(operator)}
            for operator in described.operators
        ],
        "oldest_runtime": runtimes.oldest_for_all(described.operators),
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
    return dataclasses.asdict(comparison.model) | {
        "accuracy_drop": comparison.accuracy_drop,
        "recall_drop": comparison.worst_class[1],
        "agreement": comparison.agreement,
        "mean_kl": comparison.mean_kl,
    }
