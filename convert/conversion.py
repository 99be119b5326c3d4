"""The whole conversion, in order: read, rebuild, quantize, seal, verify, report, write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from convert import (
    calibration,
    calibration_study,
    candidate,
    container,
    contract,
    export_folder,
    goldens,
    labels,
    layers,
    markdown,
    network,
    outputs,
    page,
    quantize,
    report,
    trials,
    variants,
    verify,
    web_page,
)
from convert.calibration_study import Point
from convert.candidate import Candidate
from convert.errors import GateError
from convert.export_folder import ExportFolder
from convert.runtime_process import Runtime
from convert.runtime_study import Agreement, Bench
from convert.trials import Trial
from convert.variants import Variant

LAYER_SAMPLES = 20  # images that the layers' errors are summed over


def convert(
    folder: Path,
    target: Path,
    *,
    chosen: Sequence[Variant],
    limits: verify.Limits,
    runtimes: Sequence[Runtime],
    command: str,
) -> None:
    """Turn an export folder into `target`, its other variants and its reports beside it.

    `runtimes` are tried beside LiteRT where they can be reached. Tells the steps on stdout;
    `command` is quoted in the report. On a `ConvertError` no model and no report has changed; a
    candidate that the gate refused is kept as `*.rejected`.
    """
    paths = [variant.path(target) for variant in chosen]
    for path in paths:
        outputs.check_writable(path)
    export = _read(folder)
    keras_model = network.load(export)
    print(f"Converting {keras_model.count_params()} parameters …", flush=True)
    candidates = [_candidate(export, keras_model, variant) for variant in chosen]
    print(f"Comparing with Keras on {len(export.test_images)} test images …", flush=True)
    prepared = _prepare(export, keras_model)
    compared = []
    for made, path in zip(candidates, paths, strict=True):
        with _kept_if_refused(made, path):
            compared.append(_compare(made, prepared, export.labels, limits))
    with Bench(runtimes) as bench:
        _tell(bench)
        models = [
            report.Model(made, path, comparisons, _agree(made, path, prepared[0], bench, limits))
            for made, path, comparisons in zip(candidates, paths, compared, strict=True)
        ]
        measured = _measure(export, keras_model, models, prepared[0], bench)
    _write(target, models, report.build(export.spec, models, measured, limits, command))
    for model in models:
        print(summary(model))


def _read(folder: Path) -> ExportFolder:
    export = export_folder.read(folder)
    calibration.check(folder / export_folder.CALIBRATION_FILE, export.calibration)
    print(f"Read {folder}: {len(export.calibration)} calibration images.", flush=True)
    return export


def _candidate(export: ExportFolder, model: keras.Model, variant: Variant) -> Candidate:
    samples = calibration.choose(export.calibration)
    spec = contract.spec(export, variant, len(samples))
    quantized = quantize.to_tflite(model, samples, variant)
    golden_answers = goldens.make(quantized, *export.calibration.shape[1:3])
    files = contract.files(spec, golden_answers)
    content = container.seal(quantized, contract.notes(spec), files)
    return Candidate(variant, content, spec)


def _prepare(export: ExportFolder, model: keras.Model) -> tuple[Trial, ...]:
    """The trials, once the Keras network itself has stood them."""
    prepared = trials.prepare(model, export)
    verify.refuse_dead("Keras network", prepared[0].keras, export.labels)
    labels.check(export.spec, prepared[0].keras, export.test_classes)
    return prepared


@contextmanager
def _kept_if_refused(made: Candidate, path: Path) -> Iterator[None]:
    """A candidate that the gate refuses goes beside `path`, and the refusal says so."""
    try:
        yield
    except GateError as refusal:
        rejected = outputs.rejected_path(path)
        outputs.write_all({rejected: made.content})
        raise GateError(f"{refusal}; it is kept as {rejected}") from refusal


def _compare(
    made: Candidate, prepared: Sequence[Trial], class_names: Sequence[str], limits: verify.Limits
) -> tuple[verify.Comparison, ...]:
    name = f"{made.variant.name} model"
    comparisons = []
    for trial in prepared:
        answers = candidate.probabilities(made.content, trial.images)
        verify.refuse_dead(name, answers, class_names)
        verify.refuse_saturated(name, trial.keras, answers)
        comparisons.append(verify.compare(trial.name, trial.keras, answers, trial.truth))
    verify.refuse_broken(name, comparisons, class_names, limits)
    return tuple(comparisons)


def _tell(bench: Bench) -> None:
    for runtime, reason in bench.unreachable.items():
        print(f"Without {runtime}: {reason}.")
    print(f"Running on {', '.join(bench.versions)} …", flush=True)


def _agree(
    made: Candidate, path: Path, trial: Trial, bench: Bench, limits: verify.Limits
) -> dict[str, Agreement]:
    """By runtime how it agrees with LiteRT, once that is enough."""
    with _kept_if_refused(made, path):
        found = bench.agreements(made, trial.images)
        for runtime, agreement in found.items():
            verify.refuse_runtime(
                f"{made.variant.name} model",
                f"{runtime} {bench.versions[runtime]}",
                agreement.agreement,
                agreement.max_difference,
                limits,
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
    exact = quantize.to_tflite(keras_model, samples, variants.FLOAT32)
    contents = {each.variant: each.content for each in candidates}
    return report.Measurements(
        runtimes=bench.versions,
        unreachable=bench.unreachable,
        latency_ms=bench.latency_ms(candidates, samples[:1]),
        memory={each.variant.name: bench.memory(each) for each in candidates},
        layers=layers.errors(exact, contents[variants.INT8], samples),
        calibration=_study(export, keras_model, trial) if len(models) > 1 else (),
    )


def _study(export: ExportFolder, model: keras.Model, trial: Trial) -> tuple[Point, ...]:
    print("Calibrating with fewer and more samples …", flush=True)
    return calibration_study.study(model, export.calibration, trial)


def _write(target: Path, models: Sequence[report.Model], record: Mapping[str, Any]) -> None:
    """Models and reports at once; then what an earlier gate refused is out of date."""
    picture = _picture(target, record)
    blocks = list(page.blocks(record, picture))
    files = {
        target.with_suffix(".report.json"): report.to_json(record),
        target.with_suffix(".report.md"): markdown.render(blocks).encode(),
        target.with_suffix(".report.html"): web_page.render(record["name"], blocks).encode(),
        **{model.path: model.candidate.content for model in models},
    }
    if picture:
        files[target.with_name(picture.file_name)] = picture.svg.encode()
    outputs.write_all(files)
    for model in models:
        outputs.rejected_path(model.path).unlink(missing_ok=True)


def _picture(target: Path, record: Mapping[str, Any]) -> page.Picture | None:
    """Size against accuracy, where there is more than one variant to compare."""
    if len(record["variants"]) == 1:
        return None
    from convert import plot  # noqa: PLC0415  # one variant does without Matplotlib

    name = target.with_suffix(".report.svg").name
    return page.Picture("Size, accuracy and time of the variants", name, plot.draw(record))


def summary(model: report.Model) -> str:
    """One line on a conversion that went well."""
    clean = model.comparisons[0]
    return (
        f"Wrote {model.path}: {len(model.candidate.content)} bytes, "
        f"accuracy {100 * clean.keras.accuracy:.2f} % (Keras) "
        f"→ {100 * clean.model.accuracy:.2f} % ({model.candidate.variant.name}), "
        f"agreement {100 * clean.agreement:.2f} %, mean KL {clean.mean_kl:.4f}."
    )
