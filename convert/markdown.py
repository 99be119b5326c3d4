"""A report as a JSON object in, the same figures as Markdown out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]


def render(report: Json) -> str:
    """The report for a reader."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Json) -> Iterator[str]:
    yield from (f"# {report['name']} {report['version']}: conversion report", "")
    yield f"Made with `{report['command']}` from weights with sha256 `{report['weights_sha256']}`."
    yield from ("", "## Variants", "")
    yield from _table(
        ("variant", "file", "bytes", "pixels in", "oldest TensorFlow Lite", "sha256"),
        [_file_row(name, each) for name, each in report["variants"].items()],
    )
    for images, keras in report["keras"].items():
        yield from ("", f"## The Keras network and its variants on {report['samples']} {images}")
        yield from ("", *_scores_table(report, images, keras))
    yield from ("", "The corrupted images are the same ones, each blurred, noisy or dark.", "")
    yield from ("## Operators", "", *_operators_table(report["variants"]))
    yield from ("", "## Versions", "")
    yield ", ".join(f"{name} {version}" for name, version in report["versions"].items())


def _file_row(name: str, variant: Json) -> tuple[str, ...]:
    file = variant["file"]
    oldest = variant["oldest_runtime"] or "unknown"
    size = f"{file['bytes']:,}"
    return name, f"`{file['name']}`", size, variant["input"]["dtype"], oldest, f"`{file['sha256']}`"


def _scores_table(report: Json, images: str, keras: Json) -> list[str]:
    """The networks' scores, and below them the figures that have a limit."""
    trials = [variant["trials"][images] for variant in report["variants"].values()]
    limits, every = report["limits"], [keras, *trials]
    rows = [
        ("accuracy (95 % interval)", *map(_accuracy, every), ""),
        ("macro-F1", *(_percent(each["macro_f1"]) for each in every), ""),
    ]
    for i, label in enumerate(report["labels"]):
        name = f"recall, {label} ({keras['support'][i]} images)"
        rows.append((name, *(_percent(each["recall"][i]) for each in every), ""))
    for key, name, show, sign in (
        ("accuracy_drop", "accuracy drop (points)", _points, "≤"),
        ("agreement", "top-1 agreement", _percent, "≥"),
        ("recall_drop", "largest recall drop (points)", _points, "≤"),
        ("mean_kl", "mean KL divergence (nats)", _nats, "≤"),
    ):
        rows.append(
            (name, "", *(show(each[key]) for each in trials), f"{sign} {show(limits[key])}")
        )
    return _table(("", "Keras float32", *report["variants"], "limit"), rows)


def _operators_table(variants: Json) -> list[str]:
    rows = [
        (name, op["name"], str(op["version"]), str(op["count"]), op["oldest_runtime"] or "unknown")
        for name, variant in variants.items()
        for op in variant["operators"]
    ]
    return _table(("variant", "operator", "version", "uses", "since TensorFlow Lite"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Markdown lines: names to the left, figures to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]


def _percent(rate: float | None) -> str:
    return "untested" if rate is None else f"{100 * rate:.2f} %"


def _points(rate: float) -> str:
    return f"{100 * rate:.2f}"


def _nats(divergence: float) -> str:
    return f"{divergence:.4f}"


def _accuracy(figures: Json) -> str:
    low, high = figures["accuracy_95"]
    return f"{_percent(figures['accuracy'])} ({100 * low:.2f}–{100 * high:.2f})"
