"""The whole conversion: read the export, quantize, pass the gate, report, write."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from convert import (
    candidate,
    contract,
    export_folder,
    gate,
    network,
    outputs,
    page,
    quantize,
    report,
    studies,
    tflite,
    trials,
    variants,
)
from convert.candidate import Candidate
from convert.errors import ConvertError, GateError
from convert.export_folder import ExportFolder
from convert.gate import Comparison, Limits
from convert.runtimes import Agreement, Bench, Runtime
from convert.trials import Trial
from convert.variants import Variant

LAYER_SAMPLES = 20  # images over which the errors of layers are summed


@dataclass(slots=True)
class Refused:
    """Collects the gate's sentences on the variants that it refused."""

    sentences: list[str]

    def add(self, made: Candidate, path: Path, refusal: GateError) -> None:
        """Write a refused candidate to a file for study, and add the gate's sentence."""
        rejected = outputs.rejected_path(path)
        outputs.write_all({rejected: made.content})
        self.sentences.append(f"{refusal}; it is kept as {rejected}")


def convert(
    folder: Path,
    target: Path,
    *,
    chosen: Sequence[Variant],
    limits: Limits,
    runtimes: Sequence[Runtime],
    command: str,
) -> None:
    """Convert an export folder to `target`, with its other variants and reports beside it.

    `runtimes` are compared with LiteRT where they are available. Prints each step; `command` is
    quoted in the report. A variant that the gate refuses is kept as `*.rejected`; the others are
    written, and GateError is raised at the end. Any other ConvertError is raised before a model or
    a report is changed.
    """
    paths = variants.paths(chosen, target)
    for path in paths:
        outputs.check_writable(path)
    export = _read(folder)
    keras_model = network.load(export)
    print(f"Converting {keras_model.count_params()} parameters …", flush=True)
    candidates = [_candidate(export, keras_model, variant) for variant in chosen]
    print(f"Comparing with Keras on {len(export.test_images)} test images …", flush=True)
    prepared = _prepare(export, keras_model)
    refused = Refused([])
    compared = []
    for made, path in zip(candidates, paths, strict=True):
        try:
            compared.append((made, path, _compare(made, prepared, export.labels, limits)))
        except GateError as refusal:
            refused.add(made, path, refusal)
    if compared:
        _finish(
            export, keras_model, compared, prepared[0], target,
            limits=limits, runtimes=runtimes, refused=refused, command=command,
        )  # fmt: skip
    if refused.sentences:
        raise GateError("\n".join(refused.sentences))


def _finish(
    export: ExportFolder,
    keras_model: keras.Model,
    compared: Sequence[tuple[Candidate, Path, tuple[Comparison, ...]]],
    trial: Trial,
    target: Path,
    *,
    limits: Limits,
    runtimes: Sequence[Runtime],
    refused: Refused,
    command: str,
) -> None:
    """Run the candidates on every runtime, measure them, and write models and reports."""
    with Bench(runtimes) as bench:
        for runtime, reason in bench.unreachable.items():
            print(f"Without {runtime}: {reason}.")
        print(f"Running on {', '.join(bench.versions)} …", flush=True)
        models = []
        for made, path, comparisons in compared:
            try:
                agreements = _agree(made, trial, bench, limits)
            except GateError as refusal:
                refused.add(made, path, refusal)
            else:
                models.append(report.Model(made, path, comparisons, agreements))
        if not models:
            return
        measured = _measure(export, keras_model, models, trial, bench)
    record = report.build(
        export.spec, models, measured, limits, refusals=refused.sentences, command=command
    )
    _write(target, models, record)
    for model in models:
        print(summary(model))


def _read(folder: Path) -> ExportFolder:
    export = export_folder.read(folder)
    quantize.check_samples(folder / export_folder.CALIBRATION_FILE, export.calibration)
    print(f"Read {folder}: {len(export.calibration)} calibration images.", flush=True)
    return export


def _candidate(export: ExportFolder, model: keras.Model, variant: Variant) -> Candidate:
    samples = quantize.choose_samples(export.calibration)
    spec = contract.spec(export, variant, len(samples), report.versions())
    converted = quantize.to_tflite(model, samples, variant)
    golden_answers = contract.goldens(converted, *export.calibration.shape[1:3])
    files = contract.files(spec, golden_answers)
    return Candidate(variant, tflite.seal(converted, contract.notes(spec), files), spec)


def _prepare(export: ExportFolder, model: keras.Model) -> tuple[Trial, ...]:
    """Return the trials, after checking the Keras network itself."""
    prepared = trials.prepare(model, export)
    gate.refuse_dead("Keras network", prepared[0].keras, export.labels)
    gate.check_labels(export.spec, prepared[0].keras, export.test_classes)
    return prepared


def _compare(
    made: Candidate, prepared: Sequence[Trial], class_names: Sequence[str], limits: Limits
) -> tuple[Comparison, ...]:
    name = f"{made.variant.name} model"
    comparisons = []
    for trial in prepared:
        answers = candidate.probabilities(made.content, trial.images)
        gate.refuse_dead(name, answers, class_names)
        gate.refuse_saturated(name, trial.keras, answers)
        comparisons.append(gate.compare(trial.name, trial.keras, answers, trial.truth))
    gate.refuse_broken(name, comparisons, class_names, limits)
    return tuple(comparisons)


def _agree(made: Candidate, trial: Trial, bench: Bench, limits: Limits) -> dict[str, Agreement]:
    """Return how each runtime agrees with LiteRT. Raises GateError if that is not enough."""
    found = bench.agreements(made, trial.images)
    for runtime, agreement in found.items():
        gate.refuse_runtime(
            f"{made.variant.name} model",
            f"{runtime} {bench.versions[runtime]}",
            agreement=agreement.agreement,
            images=agreement.images,
            difference=agreement.max_difference,
            limits=limits,
        )
    return found


def _measure(
    export: ExportFolder,
    keras_model: keras.Model,
    models: Sequence[report.Model],
    trial: Trial,
    bench: Bench,
) -> report.Measurements:
    print("Measuring times, memory and layers …", flush=True)
    candidates = [each.candidate for each in models]
    samples = export.calibration[:LAYER_SAMPLES]
    contents = {each.variant: each.content for each in candidates}
    layers: Sequence[studies.LayerError] = ()
    if variants.INT8 in contents:
        exact = quantize.to_tflite(keras_model, samples, variants.FLOAT32)
        layers = studies.layer_errors(exact, contents[variants.INT8], samples)
    calibration: Sequence[studies.CalibrationPoint] = ()
    if len(models) > 1 and variants.INT8 in contents:
        print("Calibrating with fewer and more samples …", flush=True)
        calibration = studies.calibration_study(keras_model, export.calibration, trial)
    return report.Measurements(
        runtimes=bench.versions,
        unreachable=bench.unreachable,
        latency_ms=bench.latency_ms(candidates, samples[:1]),
        memory={each.variant.name: bench.memory(each) for each in candidates},
        layers=layers,
        calibration=calibration,
    )


def _write(target: Path, models: Sequence[report.Model], record: Mapping[str, Any]) -> None:
    """Write models and reports together, and keep an earlier model that has other weights."""
    blocks = list(page.blocks(record))
    files = {
        target.with_suffix(".report.json"): report.to_json(record),
        target.with_suffix(".report.md"): page.markdown(blocks).encode(),
        target.with_suffix(".report.html"): page.html_page(record["name"], blocks).encode(),
        **{model.path: model.candidate.content for model in models},
    }
    kept = {}
    for model in models:
        if (old := _other_weights(model)) is not None:
            kept[outputs.previous_path(model.path)] = old
    outputs.write_all(kept | files)
    for path in kept:
        print(f"The model that was there before has other weights; it is kept as {path}.")
    for model in models:
        outputs.rejected_path(model.path).unlink(missing_ok=True)


def _other_weights(model: report.Model) -> bytes | None:
    """Return the present content of the model's path, if it was made from other weights."""
    try:
        old = model.path.read_bytes()
        spec = json.loads(tflite.read_files(old)[contract.SPEC_FILE])
        same = spec["weights_sha256"] == model.candidate.spec["weights_sha256"]
    except OSError:
        return None
    except (ConvertError, KeyError, TypeError, ValueError):
        return old  # not one of ours
    return None if same else old


def summary(model: report.Model) -> str:
    """One line on a conversion that succeeded."""
    clean = model.comparisons[0]
    return (
        f"Wrote {model.path}: {len(model.candidate.content)} bytes, "
        f"accuracy {100 * clean.keras.accuracy:.2f} % (Keras) "
        f"→ {100 * clean.model.accuracy:.2f} % ({model.candidate.variant.name}), "
        f"agreement {100 * clean.agreement:.2f} %, mean KL {clean.mean_kl:.4f}."
    )
