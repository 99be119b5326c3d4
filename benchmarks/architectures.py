"""Trains candidates for the compact network's architecture and compares them.

    python -m benchmarks.architectures DATASET --epochs 12
    (make bench-architectures DATA= EPOCHS=)

Trains every candidate with the recipe of `compact`, only shorter, on the labels alone and without
the average of the weights, which would lag behind; converts it by `python -m convert`, and times
the int8 files in turn on one thread. The same command continues where it was stopped. Networks stay
in exports/architectures; the table is benchmarks/architectures.json and .md.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_daemon.vision.interpreter import Interpreter
from train.dataset import read_dataset
from train.errors import TrainError
from train.ferplus import read_votes_beside

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras  # only now: it reads the environment

from benchmarks.candidates import CANDIDATES, Candidate
from train.evaluate import evaluate
from train.export import commit, export
from train.fit import compiled, fit
from train.loading import keras_classifier
from train.recipe import Recipe
from train.selection import Selection, select
from train.targets import TrainingSet, make_training_set
from train.terminal import duration

ROOT = Path(__file__).resolve().parent.parent
BASE = "compact"
CLEAN = "test images"  # as the conversion's report names them
WARM_UP_STEPS, TIMED_STEPS = 2, 5
WARM_UP_ROUNDS, TIMED_ROUNDS = 50, 2000

# The gate lets everything pass: what quantization costs is the question.
OPEN_GATE = (
    *("--max-accuracy-drop", "100", "--max-recall-drop", "100", "--max-mean-kl", "100"),
    *("--min-agreement", "0", "--min-runtime-agreement", "0", "--max-runtime-difference", "1"),
)


def main() -> int:
    """Train, convert and time the candidates; 0 when the table is written, else 2."""
    options = _parser().parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a log file is up to date
    try:
        compare(options.dataset, options.epochs, options.output)
    except (TrainError, subprocess.CalledProcessError) as error:
        print(f"benchmarks.architectures: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command continues after the last epoch.", file=sys.stderr)
        return 130
    return 0


def compare(dataset: Path, epochs: int, output: Path) -> None:
    """Write the table, and under `output`/`epochs`-epochs what it is made from."""
    splits, votes = read_dataset(dataset), read_votes_beside(dataset)
    recipe = Recipe.of(BASE, epochs=epochs, votes_head=0.0, average=0.0)
    chosen = select(splits, votes, recipe.seed)
    print(chosen.summary)
    training = make_training_set(chosen, None, recipe)
    step_s = time_steps(training, recipe)
    steps = epochs * math.ceil(len(training.x) / recipe.batch_size)
    print(f"{epochs} epochs of each take about {duration(steps * sum(step_s.values()))} together")
    folder = output / f"{epochs}-epochs"
    networks = {
        each.name: trained(each, training, chosen, recipe, folder / each.name)
        for each in CANDIDATES
    }
    models = {each.name: folder / f"{each.name}.tflite" for each in CANDIDATES}
    reports = {name: converted(folder / name, models[name]) for name in models}
    invoke_ms = time_models(models)
    result = {
        "recipe": asdict(recipe),
        "training_faces": len(training.x),
        "test_faces": len(chosen.validation.y),
        "split": chosen.validation.name,
        "commit": commit(),
        "where": f"{platform.machine()}, Keras {keras.__version__} on {keras.backend.backend()}",
        "candidates": {
            each.name: _figures(each, networks[each.name], reports[each.name])
            | {"invoke_ms": float(np.median(invoke_ms[each.name]))}
            | {"invoke_ratio": _median_ratio(invoke_ms, each.name)}
            | {"training_ratio": step_s[each.name] / step_s[BASE]}
            for each in CANDIDATES
        },
    }
    write(result, ROOT / "benchmarks")


def time_steps(training: TrainingSet, recipe: Recipe) -> dict[str, float]:
    """Median seconds of a training step by candidate; they take turns within one run."""
    part = slice(recipe.batch_size)
    batch = training.x[part], training.targets[part], training.weights[part]
    models = {each.name: compiled(each.build(), recipe, TIMED_STEPS) for each in CANDIDATES}
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(WARM_UP_STEPS + TIMED_STEPS):
        for name, model in models.items():
            start_s = time.perf_counter()
            model.train_on_batch(*batch)
            times[name].append(time.perf_counter() - start_s)
    keras.backend.clear_session()
    return {name: float(np.median(each[WARM_UP_STEPS:])) for name, each in times.items()}


def trained(
    candidate: Candidate, training: TrainingSet, chosen: Selection, recipe: Recipe, folder: Path
) -> keras.Model:
    """Return the folded network of the best epoch, exported to `folder`."""
    recipe = replace(recipe, architecture=candidate.name)
    keras.utils.set_random_seed(recipe.seed)
    network = candidate.build()
    print(f"{candidate.name}: {candidate.title}, {network.count_params():,} parameters")
    fit(network, training, chosen.validation, recipe, folder / "work")
    folded = candidate.fold(network)
    metrics = evaluate(keras_classifier(folded), chosen.validation)
    export(folded, recipe, chosen, metrics, name=candidate.name, folder=folder)
    return folded


def converted(folder: Path, target: Path) -> dict[str, Any]:
    """Return the conversion's report on the int8 model that it makes of the export in `folder`."""
    command = [sys.executable, "-m", "convert", str(folder), "--output", str(target), *OPEN_GATE]
    subprocess.run(command, check=True, cwd=ROOT)  # noqa: S603 - this project's own stage
    report: dict[str, Any] = json.loads(target.with_suffix(".report.json").read_text())
    return report


def time_models(paths: Mapping[str, Path]) -> dict[str, list[float]]:
    """Milliseconds of every round by model, one face on one thread, in an order drawn anew."""
    interpreters = {name: Interpreter(path) for name, path in paths.items()}
    rng = np.random.default_rng(1)
    face = rng.integers(0, 256, (1, 48, 48, 1), dtype=np.uint8)
    times: dict[str, list[float]] = {name: [] for name in paths}
    for _ in range(WARM_UP_ROUNDS + TIMED_ROUNDS):
        for name in rng.permutation(list(paths)):
            start_s = time.perf_counter()
            interpreters[name].run(face)
            times[name].append(1000 * (time.perf_counter() - start_s))
    return {name: each[WARM_UP_ROUNDS:] for name, each in times.items()}


def _median_ratio(times: Mapping[str, list[float]], name: str) -> float:
    """Return the ratio to `compact` in the same round, in which other work delays both alike."""
    return float(np.median(np.divide(times[name], times[BASE])))


def multiply_adds(network: keras.Model) -> int:
    """Return the multiply-adds of all convolutions for one face."""
    total = 0
    for layer in network.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.Conv2D):
            height, width = layer.output.shape[1:3]
            total += height * width * int(np.prod(layer.kernel.shape))
    return total


def _figures(
    candidate: Candidate, network: keras.Model, report: Mapping[str, Any]
) -> dict[str, Any]:
    int8 = report["variants"]["int8"]
    return {
        "title": candidate.title,
        "parameters": network.count_params(),
        "multiply_adds": multiply_adds(network),
        "keras_accuracy": report["keras"][CLEAN]["accuracy"],
        "keras_accuracy_95": report["keras"][CLEAN]["accuracy_95"],
        "int8_accuracy": int8["trials"][CLEAN]["accuracy"],
        "int8_drop": int8["trials"][CLEAN]["accuracy_drop"],
        "int8_bytes": int8["file"]["bytes"],
        "operators": {each["name"]: each["count"] for each in int8["operators"]},
    }


def write(result: Mapping[str, Any], folder: Path) -> None:
    """`architectures.json` and `.md`; the table goes to stdout too."""
    text = table(result)
    print(text)
    (folder / "architectures.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / "architectures.md").write_text(text + "\n")


def table(result: Mapping[str, Any]) -> str:
    """Return the figures as Markdown."""
    recipe, low_high = result["recipe"], result["candidates"][BASE]["keras_accuracy_95"]
    half = 50 * (low_high[1] - low_high[0])
    rows = [_row(name, each) for name, each in result["candidates"].items()]
    return "\n".join(
        [
            f"Each candidate trained alike for {recipe['epochs']} epochs (seed {recipe['seed']}) "
            f"on {result['training_faces']} faces.",
            f"Accuracy is on {result['test_faces']} faces of {result['split']}, which also chose "
            f"the epoch: ± {half:.1f} points (95 %).",
            f"Times are ratios to `{BASE}`, side by side in one run: of one face on LiteRT with",
            f"one thread, and of a training step. {result['where']}.",
            "Made by `make bench-architectures`.",
            "",
            "| candidate | parameters | million multiply-adds | Keras | int8 | drop, points "
            "| int8 bytes | time of a face | of a training step |",
            "|---|---|---|---|---|---|---|---|---|",
            *rows,
        ]
    )


def _row(name: str, each: Mapping[str, Any]) -> str:
    cells = (
        f"`{name}`: {each['title']}",
        f"{each['parameters']:,}",
        f"{each['multiply_adds'] / 1e6:.1f}",
        f"{100 * each['keras_accuracy']:.2f} %",
        f"{100 * each['int8_accuracy']:.2f} %",
        f"{100 * each['int8_drop']:.2f}",
        f"{each['int8_bytes']:,}",
        f"{each['invoke_ratio']:.2f} ×",
        f"{each['training_ratio']:.2f} ×",
    )
    return f"| {' | '.join(cells)} |"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.architectures")
    parser.add_argument("dataset", type=Path, help="as for python -m train fit")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--output", type=Path, default=ROOT / "exports" / "architectures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
