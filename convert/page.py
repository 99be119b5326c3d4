"""A report as a JSON object in, what a reader is shown out: headings, words, tables, a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of level 1 or 2."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under a head; the first column is names, the others figures."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing, which a page holds itself or finds in a file beside it."""

    text: str
    file_name: str
    svg: str


Block = (
    Heading | Table | Picture | str
)  # a str is a paragraph, with Markdown's `code` and **strong**


def blocks(report: Json, picture: Picture | None) -> Iterator[Block]:
    """The report for a reader, the choice before its reasons."""
    yield Heading(1, f"{report['name']} {report['version']}: conversion report")
    yield f"Made with `{report['command']}` from weights with sha256 `{report['weights_sha256']}`."
    yield Heading(2, "Variants")
    if report["advice"]:
        yield report["advice"]
    yield _variants_table(report)
    yield (
        f"Accuracy, macro-F1 and what follows them are on the {report['samples']} test images, "
        "the last three against Keras. Times are medians of one face at one and at two threads, "
        f"taken in turns on {report['machine']}; other work on it shows in the second thread "
        "first. Memory is the peak of a fresh process that runs the model on LiteRT, in brackets "
        "what it had before."
    )
    if picture:
        yield picture
    yield Heading(2, "Runtimes")
    yield from _runtimes_blocks(report)
    yield Heading(2, "Files")
    yield _files_table(report["variants"])
    for images, keras in report["keras"].items():
        yield Heading(2, f"The Keras network and its variants on {report['samples']} {images}")
        yield _scores_table(report, images, keras)
    yield "The corrupted images are the same ones, each blurred, noisy or dark."
    if report["calibration_study"]:
        yield from _calibration_blocks(report)
    yield Heading(2, "Layers that lose most to int8")
    yield "Signal-to-quantization-noise ratio against float32; 20 dB is an error of a tenth."
    worst = sorted(report["layers"], key=lambda layer: float(layer["sqnr_db"]))[:5]
    yield Table(("layer", "dB"), [(f"`{x['name']}`", f"{x['sqnr_db']:.1f}") for x in worst])
    yield Heading(2, "Operators")
    yield _operators_table(report["variants"])
    yield Heading(2, "Versions")
    yield ", ".join(f"{name} {version}" for name, version in report["versions"].items())


def _calibration_blocks(report: Json) -> Iterator[Block]:
    chosen = report["variants"]["int8"]["quantization"]["calibration_samples"]
    points = report["calibration_study"]
    yield Heading(2, "Calibration samples")
    reason = _calibration_reason(points, chosen)
    yield (
        f"The int8 model was calibrated with **{chosen}** images, {reason}."
        " Each size was tried on the same part of the test images; smaller differences than"
        " the intervals above are chance."
    )
    rows = [
        (str(x["samples"]), _percent(x["accuracy"]), _percent(x["agreement"]), _nats(x["mean_kl"]))
        for x in points
    ]
    yield Table(("samples", "accuracy", "top-1 agreement", "mean KL (nats)"), rows)


def _calibration_reason(points: Sequence[Json], chosen: int) -> str:
    """What more samples than the chosen ones would bring, by mean divergence from Keras."""
    larger = [float(point["mean_kl"]) for point in points if point["samples"] > chosen]
    own = [float(point["mean_kl"]) for point in points if point["samples"] <= chosen][-1]
    if not larger:
        return "the largest number tried"
    gain = own - min(larger)
    if gain < 0.1 * own:
        return "since more bring its answers no nearer to Keras's"
    return f"though more bring its answers nearer to Keras's, by {_nats(gain)} nats"


def _variants_table(report: Json) -> Table:
    rows = []
    for name, variant in report["variants"].items():
        trial, memory = next(iter(variant["trials"].values())), variant["memory"]
        rows.append(
            (
                name,
                f"{variant['file']['bytes']:,}",
                _accuracy(trial),
                _percent(trial["macro_f1"]),
                _points(trial["accuracy_drop"]),
                _percent(trial["agreement"]),
                _nats(trial["mean_kl"]),
                *(_both_ms(each["latency_ms"]) for each in variant["runtimes"].values()),
                f"{memory['peak_mib']:.1f} ({memory['idle_mib']:.1f})",
            )
        )
    head = ("variant", "bytes", "accuracy (95 % interval)", "macro-F1", "drop (points)")
    times = (f"ms, {name}" for name in report["runtimes"])
    return Table((*head, "agreement", "mean KL", *times, "memory (MiB)"), rows)


def _runtimes_blocks(report: Json) -> Iterator[Block]:
    versions = ", ".join(f"{name} {version}" for name, version in report["runtimes"].items())
    limits = report["limits"]
    yield (
        f"Every variant ran on {versions}. How their answers differ from LiteRT's; at least "
        f"{_percent(limits['runtime_agreement'])} must have the same label, no probability may "
        f"be off by more than {limits['runtime_difference']:g}. Which fast kernels a runtime "
        "takes, and how they round, depends on the processor; its reference kernels don't."
    )
    for name, reason in report["unreachable_runtimes"].items():
        yield f"**{name} was not reached**, so that nothing is known of it: {reason}."
    reference = next(iter(report["runtimes"]))
    rows = [
        (
            variant_name,
            name,
            str(found["images"]),
            _percent(found["agreement"]),
            f"{found['max_difference']:.4f}",
            _percent(found["identical"]),
            _percent(found["identical_reference"]),
        )
        for variant_name, variant in report["variants"].items()
        for name, each in variant["runtimes"].items()
        if name != reference and (found := each["agreement"])
    ]
    head = ("variant", "runtime", "images", "same label", "largest difference of a probability")
    yield Table((*head, "identical to the bit", "identical on reference kernels"), rows)


def _files_table(variants: Json) -> Table:
    rows = [
        (
            name,
            f"`{variant['file']['name']}`",
            variant["input"]["dtype"].lower(),
            variant["oldest_runtime"] or "unknown",
            f"`{variant['file']['sha256']}`",
        )
        for name, variant in variants.items()
    ]
    return Table(("variant", "file", "pixels in", "oldest TensorFlow Lite", "sha256"), rows)


def _scores_table(report: Json, images: str, keras: Json) -> Table:
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
        figures = (show(each[key]) for each in trials)
        rows.append((name, "", *figures, f"{sign} {show(limits[key])}"))
    return Table(("", "Keras float32", *report["variants"], "limit"), rows)


def _operators_table(variants: Json) -> Table:
    rows = [
        (name, op["name"], str(op["version"]), str(op["count"]), op["oldest_runtime"] or "unknown")
        for name, variant in variants.items()
        for op in variant["operators"]
    ]
    return Table(("variant", "operator", "version", "uses", "since TensorFlow Lite"), rows)


def _percent(rate: float | None) -> str:
    return "untested" if rate is None else f"{100 * rate:.2f} %"


def _points(rate: float) -> str:
    return f"{100 * rate:.2f}"


def _nats(divergence: float) -> str:
    return f"{divergence:.4f}"


def _both_ms(latency_ms: Mapping[int, float]) -> str:
    return " / ".join(f"{ms:.2f}" for ms in latency_ms.values())


def _accuracy(figures: Json) -> str:
    low, high = figures["accuracy_95"]
    return f"{_percent(figures['accuracy'])} ({100 * low:.2f}–{100 * high:.2f})"
