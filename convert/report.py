"""A finished conversion in, its report as a JSON object and as Markdown out."""

from __future__ import annotations

import dataclasses
import hashlib
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata as packages
from typing import Any

import tensorflow as tf

from convert import graph, scores, verify

SCHEMA = 1


def versions() -> dict[str, str]:
    """The versions of what decides the file's bytes and figures."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,  # the package may be tensorflow or tensorflow-cpu
        **{name: packages.version(name) for name in ("keras", "ai-edge-litert", "flatbuffers")},
    }


def build(
    spec: Mapping[str, Any],
    file_name: str,
    content: bytes,
    comparison: verify.Comparison,
    command: str,
) -> dict[str, Any]:
    """The report as a JSON object, from the spec inside the file and the file's own bytes."""
    described = graph.read(content)
    return {
        "schema": SCHEMA,
        "name": spec["name"],
        "version": spec["version"],
        "labels": spec["labels"],
        "file": {
            "name": file_name,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        },
        "weights_sha256": spec["weights_sha256"],
        "quantization": spec["quantization"],
        "input": dataclasses.asdict(described.inputs[0]),
        "output": dataclasses.asdict(described.outputs[0]),
        "operators": [dataclasses.asdict(operator) for operator in described.operators],
        "test": dataclasses.asdict(comparison) | {"accuracy_drop": comparison.accuracy_drop},
        "limits": {
            "accuracy_drop": verify.MAX_ACCURACY_DROP,
            "agreement": verify.MIN_AGREEMENT,
            "mean_kl": verify.MAX_MEAN_KL,
        },
        "versions": versions(),
        "command": command,
    }


def to_markdown(report: Mapping[str, Any], comparison: verify.Comparison) -> str:
    """The same figures for a reader."""
    file = report["file"]
    lines = [
        f"# {report['name']} {report['version']}: conversion report",
        "",
        f"`{file['name']}`, {file['bytes']} bytes, sha256 `{file['sha256']}`",
        "",
        f"Made with `{report['command']}` from weights with sha256 `{report['weights_sha256']}`.",
        "",
        f"## The Keras network and the int8 model on the same {comparison.samples} test images",
        "",
        *_scores_table(report["labels"], comparison),
        "",
        *_limits_table(comparison),
        "",
        "## Operators",
        "",
        *_operators_table(report["operators"]),
        "",
        "## Versions",
        "",
        ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
    ]
    return "\n".join(lines) + "\n"


def _scores_table(labels: Sequence[str], comparison: verify.Comparison) -> list[str]:
    keras, int8 = comparison.keras, comparison.int8
    rows = [
        ("accuracy (95 % interval)", _accuracy(keras), _accuracy(int8)),
        ("macro-F1", _percent(keras.macro_f1), _percent(int8.macro_f1)),
    ]
    for label, before, after in zip(labels, keras.recall, int8.recall, strict=True):
        rows.append((f"recall, {label}", _percent(before), _percent(after)))
    return _table(("", "Keras float32", "TFLite int8"), rows)


def _limits_table(comparison: verify.Comparison) -> list[str]:
    drop, kl = 100 * comparison.accuracy_drop, comparison.mean_kl
    rows = [
        ("accuracy drop (points)", f"{drop:.2f}", f"≤ {100 * verify.MAX_ACCURACY_DROP:.1f}"),
        ("top-1 agreement", _percent(comparison.agreement), f"≥ {_percent(verify.MIN_AGREEMENT)}"),
        ("mean KL divergence (nats)", f"{kl:.4f}", f"≤ {verify.MAX_MEAN_KL}"),
    ]
    return _table(("", "measured", "limit"), rows)


def _operators_table(operators: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [(op["name"], str(op["version"]), str(op["count"])) for op in operators]
    return _table(("operator", "version", "uses"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Markdown lines: names to the left, figures to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]


def _percent(rate: float | None) -> str:
    return "untested" if rate is None else f"{100 * rate:.2f} %"


def _accuracy(figures: scores.Scores) -> str:
    low, high = figures.accuracy_95
    return f"{_percent(figures.accuracy)} ({100 * low:.2f}–{100 * high:.2f})"
