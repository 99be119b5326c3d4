"""Renders a conversion report as Markdown and as one self-contained HTML file."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

Json = Mapping[str, Any]

TEMPLATE = Path(__file__).parents[1] / "docs" / "report.html"


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of level 1 or 2."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under a head; the first column has names, the others figures."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing; only the HTML page has it."""

    text: str
    svg: str


# A str is a paragraph, with Markdown's `code` and **strong**.
Block = Heading | Table | Picture | str


def markdown(blocks: Iterable[Block]) -> str:
    """Return the blocks as Markdown, without pictures."""
    shown = (each for each in blocks if not isinstance(each, Picture))
    return "\n\n".join("\n".join(_markdown_lines(block)) for block in shown) + "\n"


def _markdown_lines(block: Heading | Table | str) -> Iterator[str]:
    if isinstance(block, Heading):
        yield f"{'#' * block.level} {block.text}"
    elif isinstance(block, Table):
        rule = ("---", *["---:"] * (len(block.head) - 1))  # names left, figures right
        yield from (f"| {' | '.join(cells)} |" for cells in (block.head, rule, *block.rows))
    else:
        yield block


def html_page(title: str, blocks: Iterable[Block]) -> str:
    """Return the blocks as an HTML page, with pictures inside."""
    body = "\n".join(_element(block) for block in blocks)
    template = Template(TEMPLATE.read_text(encoding="utf-8"))
    return template.substitute(title=html.escape(title), meta="", body=body)


def _element(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{_inline(block.text)}</h{block.level}>"
    if isinstance(block, Table):
        rows = [_row(block.head, "th"), *(_row(cells, "td") for cells in block.rows)]
        return '<div class="table"><table>\n' + "\n".join(rows) + "\n</table></div>"
    if isinstance(block, Picture):
        drawing = block.svg[block.svg.index("<svg") :]  # without the XML declaration
        caption = f"<figcaption>{_inline(block.text)}</figcaption>"
        return f'<figure class="chart wide">\n{drawing}\n{caption}\n</figure>'
    return f"<p>{_inline(block)}</p>"


def _row(cells: Iterable[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{_inline(cell)}</{tag}>" for cell in cells) + "</tr>"


def _inline(text: str) -> str:
    """Escape `text` for HTML, and convert Markdown's `code` and **strong**."""
    escaped = html.escape(text, quote=False)
    escaped = re.sub(r"`([^`]*)`", r"<code>\1</code>", escaped)
    return re.sub(r"\*\*([^*]*)\*\*", r"<strong>\1</strong>", escaped)


def blocks(report: Json) -> Iterator[Block]:
    """Yield the parts of the report; the advice which variant to choose comes first."""
    yield Heading(1, f"{report['name']} {report['version']}: conversion report")
    yield f"Made with `{report['command']}` from weights with sha256 `{report['weights_sha256']}`."
    yield Heading(2, "Variants")
    if report["advice"]:
        yield report["advice"]
    for sentence in report["refusals"]:
        yield f"**Refused:** {sentence}."
    yield _variants_table(report)
    yield (
        f"Accuracy, macro-F1, drop, agreement and mean KL are on the {report['samples']} test "
        f"images{_source(report)}, the last three compared with Keras. Times are medians for one "
        f"face with one and with two threads, measured in turns on {report['machine']}; other "
        "work on it slows the second thread first. Memory is the peak of a fresh process that "
        "runs the model on LiteRT, in brackets its peak before."
    )
    if len(report["variants"]) > 1:
        yield Picture("Size, accuracy and time of the variants", _draw(report))
    yield Heading(2, "Runtimes")
    yield from _runtimes_blocks(report)
    yield Heading(2, "Files")
    yield _files_table(report["variants"])
    for images, keras in report["keras"].items():
        yield Heading(2, f"The Keras network and its variants on {report['samples']} {images}")
        yield _scores_table(report, images, keras)
    yield (
        "The corrupted images are the same ones, each blurred, noisy or dark. Limits are compared "
        "with the favorable end of each figure's 95 % interval."
    )
    if report["calibration_study"]:
        yield from _calibration_blocks(report)
    if report["layers"]:
        yield Heading(2, "Layers that lose most to int8")
        yield "Signal-to-quantization-noise ratio against float32; 20 dB is an error of a tenth."
        worst = sorted(report["layers"], key=lambda layer: float(layer["sqnr_db"]))[:5]
        yield Table(("layer", "dB"), [(f"`{x['name']}`", f"{x['sqnr_db']:.1f}") for x in worst])
    yield Heading(2, "Operators")
    yield _operators_table(report["variants"])
    yield Heading(2, "Versions")
    yield ", ".join(f"{name} {version}" for name, version in report["versions"].items())


def _source(report: Json) -> str:
    """Return words that say whose labels the test images have; "" for the data set's own."""
    return f" with the labels of {report['annotations']}" if report["annotations"] else ""


def _calibration_blocks(report: Json) -> Iterator[Block]:
    chosen = report["variants"]["int8"]["quantization"]["calibration_samples"]
    points = report["calibration_study"]
    yield Heading(2, "Calibration samples")
    reason = _calibration_reason(points, chosen)
    yield (
        f"The int8 model was calibrated with **{chosen}** images, {reason}."
        " Each number was tried on the same part of the test images; differences smaller than"
        " the intervals above may be chance."
    )
    rows = [
        (str(x["samples"]), _percent(x["accuracy"]), _percent(x["agreement"]), _nats(x["mean_kl"]))
        for x in points
    ]
    yield Table(("samples", "accuracy", "top-1 agreement", "mean KL (nats)"), rows)


def _calibration_reason(points: Sequence[Json], chosen: int) -> str:
    """Return what more samples would change, by mean divergence from Keras."""
    larger = [float(point["mean_kl"]) for point in points if point["samples"] > chosen]
    own = [float(point["mean_kl"]) for point in points if point["samples"] <= chosen][-1]
    if not larger:
        return "the largest number tried"
    gain = own - min(larger)
    if gain < 0.1 * own:
        return "since more do not bring its answers closer to Keras's"
    return f"though more bring its answers closer to Keras's, by {_nats(gain)} nats"


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
        f"Every variant ran on {versions}. The table compares their answers with LiteRT's: at "
        f"least {_percent(limits['runtime_agreement'])} must have the same label, and no "
        f"probability may differ by more than {limits['runtime_difference']:g}. Which fast kernels "
        "a runtime uses, and how they round, depends on the processor; the reference kernels do "
        "not."
    )
    for name, reason in report["unreachable_runtimes"].items():
        yield f"**{name} was not available**, so the model was not tested on it: {reason}."
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
            f"`{variant['file']['sha256']}`",
        )
        for name, variant in variants.items()
    ]
    return Table(("variant", "file", "input", "sha256"), rows)


def _scores_table(report: Json, images: str, keras: Json) -> Table:
    """Return the networks' scores, then the figures that have a limit."""
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
        (name, op["name"], str(op["version"]), str(op["count"]))
        for name, variant in variants.items()
        for op in variant["operators"]
    ]
    return Table(("variant", "operator", "version", "uses"), rows)


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


def _draw(report: Json) -> str:
    """Draw accuracy by size as SVG: each variant with its 95 % interval, and Keras as a line."""
    # Imported here: the report of one variant needs no Matplotlib.
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    images, keras = next(iter(report["keras"].items()))
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    axes.axhline(100 * keras["accuracy"], color="gray", linestyle=":", label="Keras")
    for name, variant in report["variants"].items():
        trial, size = variant["trials"][images], variant["file"]["bytes"] / 1e6
        accuracy, (low, high) = trial["accuracy"], trial["accuracy_95"]
        spread = [[100 * (accuracy - low)], [100 * (high - accuracy)]]
        litert = next(iter(variant["runtimes"].values()))
        label = f"{name}, {litert['latency_ms'][1]:.2f} ms"
        axes.errorbar(size, 100 * accuracy, spread, fmt="o", capsize=4, label=label)
    axes.set(xlabel="size of the file (MB)", ylabel=f"accuracy on {report['samples']} {images} (%)")
    axes.set_xlim(left=0)
    figure.legend(title="one face, one thread, LiteRT", fontsize="small", loc="outside right upper")
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
