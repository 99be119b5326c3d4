"""`python -m train` on a small drawn dataset: files and messages, interrupted and resumed."""

from __future__ import annotations

import base64
import contextlib
import csv
import gc
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.drawn_faces import TEST, TRAINING, faces, write_table
from support.labels import LABELS
from support.paths import ROOT
from support.training import run

from train.__main__ import main

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
keras = pytest.importorskip("keras", reason="the train extra is not installed")

# ruff: noqa: E402  # these import Keras
from train.checkpoints import LATEST, load_weights, locked, read_log, save_weights, trim_log
from train.errors import CheckpointError, TrainError
from train.fit import StopAtNaN

pytestmark = [
    # Keras on NumPy 2 reads TensorFlow's variables in a way that NumPy means to end.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.timeout(600),  # the story starts TensorFlow twice
]

EPOCHS = 5
ITERATIONS = "optimizer/vars/0"  # the batches so far, in a checkpoint


# So that two runs add up in the same order, and round alike.
ONE_THREAD = dict.fromkeys(
    ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"), "1"
)

# `python -m train` that gets a signal at the moment when it prints a line.
SIGNALLED = """
import io, os, signal, sys
from train.__main__ import main

# A shell starts background jobs with SIGINT ignored, and the tests may be one.
signal.signal(signal.SIGINT, signal.default_int_handler)

line, number, *words = sys.argv[1:]

class Output(io.TextIOWrapper):
    def write(self, text):
        written = super().write(text)
        if line in text:
            self.flush()
            os.kill(os.getpid(), int(number))
        return written

sys.stdout = Output(sys.stdout.detach(), encoding="utf-8")
sys.exit(main(words))
"""


def python(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=ROOT,
        env=os.environ | ONE_THREAD,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def backed_up(work: Path) -> int:
    """Return the epochs that the backup contains; an epoch of this dataset is one batch."""
    backup = work / LATEST
    if not backup.exists():
        return 0
    with h5py.File(backup) as weights:
        return int(weights[ITERATIONS][()])


def logged(work: Path) -> list[int]:
    with (work / "log.csv").open(newline="") as text:
        return [int(row["epoch"]) for row in csv.DictReader(text)]


@dataclass(frozen=True)
class Story:
    """A training stopped by Ctrl-C, ended by a kill, and finished by a third start."""

    command: tuple[object, ...]
    folder: Path
    interrupted: tuple[int, str, str]
    after_interrupt: int
    killed: int
    after_kill: int
    said: str

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = json.loads((self.folder / "spec.json").read_text())
        return spec


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    root = tmp_path_factory.mktemp("train")
    table = write_table(root / "fer2013.csv")
    command = ("fit", table, "--name", "stripes", "--epochs", EPOCHS, "--output", root / "exports")
    folder = root / "exports" / "stripes"
    work = folder / "work"

    ended = python("-c", SIGNALLED, f"Epoch 2/{EPOCHS}", int(signal.SIGINT), *command)
    interrupted, after_interrupt = (ended.returncode, ended.stdout, ended.stderr), backed_up(work)

    killed = python("-c", SIGNALLED, f"Epoch 4/{EPOCHS}", int(signal.SIGKILL), *command).returncode
    after_kill = backed_up(work)
    # As if the kill had come after the log's row and before the backup.
    with (work / "log.csv").open("a") as log:
        log.write(f"{after_kill},0.9,0.1,0.1,0.9,0.1\r\n")

    finished = python("-m", "train", *command)
    assert finished.returncode == 0, finished.stderr
    return Story(command, folder, interrupted, after_interrupt, killed, after_kill, finished.stdout)


# --- stopping and going on ---


def test_ctrl_c_ends_with_a_sentence(story: Story) -> None:
    status, _, err = story.interrupted
    assert status == 130
    assert err.strip().splitlines()[-1].startswith("train: stopped; the same command continues")
    assert "Traceback" not in err


def test_piped_output_has_plain_lines(story: Story) -> None:
    _, out, _ = story.interrupted
    assert f"Epoch 1/{EPOCHS}\n" in out
    assert not set(out) & set("\b\r\x1b")
    assert "[=" not in out
    assert "━" not in out
    assert max(map(len, out.splitlines())) < 200


def test_the_start_reports_dataset_and_network(story: Story) -> None:
    _, out, _ = story.interrupted
    assert f"Training: {TRAINING} faces (angry 10, disgust 10, " in out
    assert f"PublicTest: {TEST} faces (angry 3, " in out
    assert f"training on {TRAINING} faces, {TEST} of PublicTest choose the epoch" in out
    assert "no fer2013new.csv beside the dataset" in out
    assert f"parameters, {EPOCHS} epochs" in out
    assert re.search(r"^  validation accuracy |^  accuracy .*validation loss ", out, re.M)


def test_a_killed_run_continues_after_its_last_whole_epoch(story: Story) -> None:
    assert story.killed == -signal.SIGKILL
    assert (story.after_interrupt, story.after_kill) == (1, 3)
    assert f"{story.after_kill} of {EPOCHS} epochs are done" in story.said
    for epoch in range(1, EPOCHS + 1):
        assert (f"Epoch {epoch}/{EPOCHS}\n" in story.said) == (epoch > story.after_kill)
    assert logged(story.work) == list(range(EPOCHS))


def test_a_resumed_run_ends_like_an_uninterrupted_one(story: Story, tmp_path: Path) -> None:
    # A process of its own, as the resumed run had: what tests did before in this one (threads,
    # other backends) changes how TensorFlow rounds.
    whole = python("-m", "train", *story.command[:-1], tmp_path)
    assert whole.returncode == 0, whole.stderr
    assert "are done" not in whole.stdout
    unbroken = network_of(tmp_path / "stripes").get_weights()
    resumed = network_of(story.folder).get_weights()
    for a, b in zip(unbroken, resumed, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    log, resumed_log = (
        np.loadtxt(folder / "work" / "log.csv", delimiter=",", skiprows=1)
        for folder in (tmp_path / "stripes", story.folder)
    )
    # Threads add up in another order each time: a face on the edge of two classes may change sides.
    accuracies = (1, 4)
    np.testing.assert_allclose(log[:, accuracies], resumed_log[:, accuracies], atol=2 / TEST)
    losses = (0, 2, 3, 5)
    np.testing.assert_allclose(log[:, losses], resumed_log[:, losses], rtol=5e-3)


def test_the_remaining_time_is_printed(story: Story) -> None:
    assert re.search(r"^  \d+ s an epoch, \d+ min to go$", story.said, re.M)


def test_the_best_epochs_weights_are_exported(story: Story) -> None:
    best = json.loads((story.work / "best.weights.json").read_text())
    with (story.work / "log.csv").open(newline="") as text:
        accuracies = [float(row["val_accuracy"]) for row in csv.DictReader(text)]
    assert best["val_accuracy"] == pytest.approx(max(accuracies), abs=1e-6)
    assert best["epoch"] == int(np.argmax(accuracies))


def test_the_same_command_again_trains_nothing_and_exports_again(story: Story) -> None:
    network = network_of(story.folder)
    weights = network.get_weights()
    log = (story.work / "log.csv").read_text()
    for name in ("spec.json", "model.json", "model.weights.h5", "test.npz"):
        (story.folder / name).unlink()
    status, said = run(*story.command)
    assert status == 0
    assert f"{EPOCHS} of {EPOCHS} epochs are done" in said
    assert "Epoch" not in said
    assert (story.work / "log.csv").read_text() == log
    again = network_of(story.folder).get_weights()
    # TensorFlow rounds otherwise in another process.
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(weights, again, strict=True))


# --- what is exported ---


def network_of(folder: Path) -> Any:
    network = keras.models.model_from_json((folder / "model.json").read_text())
    network.load_weights(folder / "model.weights.h5")
    return network


def test_the_export_has_all_files_and_no_partial_one(story: Story) -> None:
    names = {str(p.relative_to(story.folder)) for p in story.folder.rglob("*") if p.is_file()}
    work = {name for name in names if name.startswith("work/")}
    assert names - work == {
        "model.json", "model.weights.h5", "spec.json", "calibration.npz", "test.npz",
        "report/metrics.json", "report/index.html",
        "report/confusion.png", "report/reliability.png", "report/robustness.png",
        "report/coverage.png",
    }  # fmt: skip
    assert work >= {
        "work/recipe.json", "work/lock", "work/log.csv", "work/index.html",
        "work/curve-loss.png", "work/curve-accuracy.png", "work/curve-learning-rate.png",
        "work/best.weights.h5",
        "work/best.weights.json", "work/latest.weights.h5",
    }  # fmt: skip


def test_the_spec_describes_the_model(story: Story) -> None:
    spec = story.spec
    assert spec["schema"] == 1
    assert spec["name"] == "stripes"
    assert spec["labels"] == list(LABELS)
    assert spec["architecture"] == "compact"
    assert spec["license"] == "Apache-2.0"
    assert spec["input"] == {
        "height": 48, "width": 48, "channels": 1, "color": "gray", "range": [0, 255]
    }  # fmt: skip
    assert {"side", "eyes", "box"} == set(spec["crop"])
    assert spec["dataset"] == {
        "name": "FER2013", "annotations": "FER2013", "training_faces": TRAINING,
        "validation": "PublicTest",
    }  # fmt: skip
    training = spec["training"]
    assert training["epochs"] == EPOCHS
    assert training["seed"] == 1
    assert training["architecture"] == "compact"
    assert {"optimizer", "learning_rate", "batch_size", "commit", "date"} <= set(training)


def test_the_specs_figures_are_the_exported_networks(story: Story) -> None:
    with np.load(story.folder / "test.npz") as test:
        x, y = test["x"], test["y"]
    predicted = network_of(story.folder).predict(x, verbose=0).argmax(axis=1)
    metrics = story.spec["metrics"]
    assert metrics["accuracy"] == pytest.approx((predicted == y).mean())
    assert metrics["split"] == "PublicTest"
    assert metrics["faces"] == TEST
    assert 0 <= metrics["macro_f1"] <= 1


def test_samples_are_raw_faces_of_their_splits(story: Story) -> None:
    for name, n, (x, y) in (
        ("test.npz", TEST, faces(TEST, 2)),
        ("calibration.npz", TRAINING, faces(TRAINING, 1)),
    ):
        with np.load(story.folder / name) as sample:
            assert set(sample) == {"x", "y"}
            assert sample["x"].shape == (n, 48, 48, 1)
            assert sample["x"].dtype == np.uint8
            assert sample["y"].shape == (n,)
            assert sample["y"].dtype == np.int64
            known = {image.tobytes(): label for image, label in zip(x, y, strict=True)}
            found = [known[image.tobytes()] for image in sample["x"]]
            assert found == sample["y"].tolist()


def test_the_report_adds_up(story: Story) -> None:
    metrics = json.loads((story.folder / "report" / "metrics.json").read_text())
    found = metrics["sets"]["FER2013"]
    matrix = np.array(found["confusion"])
    assert matrix.sum(axis=1).tolist() == [3] * 7
    assert found["accuracy"] == pytest.approx(np.trace(matrix) / TEST)
    assert story.spec["metrics"]["temperature"] == metrics["temperature"] > 0
    assert found["accuracy_95"][0] < found["accuracy"] < found["accuracy_95"][1]
    recall = [found["classes"][label]["recall"] for label in LABELS]
    assert recall == pytest.approx((np.diag(matrix) / 3).tolist())
    page = (story.folder / "report" / "index.html").read_text()
    assert all(f"<td>{label}</td>" in page for label in LABELS)
    assert f"<td>{100 * found['accuracy']:.2f} %</td>" in page
    metrics = json.loads((story.folder / "report" / "metrics.json").read_text())
    pictures = 4 + 3 + len(metrics["mistakes"])  # charts, curves and faces
    assert page.count("<img") == page.count('src="data:image/png;base64,') == pictures
    for each in metrics["mistakes"]:
        answer = f"{LABELS[each['label']]} → {LABELS[each['answer']]}"
        assert f"<figcaption>{answer}, {each['score']:.2f}, row {each['row']}</figcaption>" in page


@pytest.mark.parametrize("name", ["report/confusion.png", "work/curve-loss.png"])
def test_pictures_are_whole(story: Story, name: str) -> None:
    from PIL import Image

    with Image.open(story.folder / name) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300
        low, high = picture.convert("L").getextrema()
        assert (low, high) != (255, 255)


def test_the_live_page_needs_no_other_file(story: Story) -> None:
    page = (story.work / "index.html").read_text()
    assert f"{EPOCHS} of {EPOCHS} epochs" in page
    assert "Training is done." in page
    best = json.loads((story.work / "best.weights.json").read_text())
    assert f"Epoch {best['epoch'] + 1}, validation accuracy {best['val_accuracy']:.2%}" in page
    assert "<td>learning_rate</td><td>0.1</td>" in page
    for name in ("loss", "accuracy", "learning-rate"):
        curve = base64.b64encode((story.work / f"curve-{name}.png").read_bytes()).decode()
        assert f'src="data:image/png;base64,{curve}"' in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "refresh" not in page


def test_the_live_page_reloads_itself_until_all_is_done(story: Story) -> None:
    from train.progress import progress_page

    recipe = {"epochs": EPOCHS}
    page = progress_page(story.work, recipe, done=2, left_s=7201)
    assert '<meta http-equiv="refresh" content="10">' in page
    assert f"2 of {EPOCHS} epochs" in page
    assert "2 h 1 min to go, until about " in page
    beginning = progress_page(story.folder / "nothing yet", recipe, done=0, left_s=0)
    assert "will be known after the next epoch" in beginning
    assert "<img" not in beginning


def test_tensorboard_has_every_epochs_figures(story: Story) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="NOT TESTED: tensorboard is missing (train extra)",
    )
    for name in ("train", "validation"):
        steps: set[int] = set()
        for path in (story.work / "tensorboard" / name).iterdir():
            events = accumulator.EventAccumulator(str(path)).Reload()
            if "epoch_accuracy" in events.Tags()["tensors"]:  # the killed run began a file
                steps |= {event.step for event in events.Tensors("epoch_accuracy")}
        assert steps == set(range(EPOCHS)), name


# --- other beginnings ---


def test_without_a_test_split_the_held_out_faces_give_the_figures(
    story: Story, tmp_path: Path
) -> None:
    """The same training faces as class folders, so that the trained weights still serve."""
    from PIL import Image

    for i, (image, label) in enumerate(zip(*faces(TRAINING, 1), strict=True)):
        folder = tmp_path / "data" / "train" / LABELS[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i}.png")
    exported = tmp_path / "exports" / "stripes"
    shutil.copytree(story.work, exported / "work")
    (exported / "work" / "recipe.json").unlink()  # it names the other dataset
    status, said = run("fit", tmp_path / "data", *story.command[2:-1], tmp_path / "exports")
    assert status == 0
    assert "HeldOut: data accuracy " in said
    spec = json.loads((exported / "spec.json").read_text())
    assert spec["metrics"]["split"] == "HeldOut"
    assert spec["metrics"]["faces"] == 14
    with np.load(exported / "test.npz") as test:
        assert sorted(test["y"]) == sorted([*range(7)] * 2)
    status, _ = run("evaluate", exported, tmp_path / "data", "--output", tmp_path / "evaluated")
    assert status == 0
    report = tmp_path / "evaluated" / "stripes" / "HeldOut" / "metrics.json"
    metrics = json.loads(report.read_text())
    assert (metrics["faces"], metrics["also_in_training"]) == (14, 0)
    assert metrics["sets"]["data"]["accuracy"] == spec["metrics"]["accuracy"]


def test_a_missing_dataset_is_one_line_and_status_2(tmp_path: Path) -> None:
    ended = python("-m", "train", "fit", tmp_path / "nowhere")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith(f"train: {tmp_path / 'nowhere'}: no dataset there. ")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--epochs=0", "argument --epochs: '0' is not 1 or more"),
        ("--epochs=many", "argument --epochs: 'many' is not a whole number"),
        ("--learning-rate=fast", "argument --learning-rate: 'fast' is not a number"),
        ("--hardening=-1", "argument --hardening: '-1' is not between 0 and 3"),
        ("--hardening=9", "argument --hardening: '9' is not between 0 and 3"),
        ("--mixup=nan", "argument --mixup: 'nan' is not between 0 and 1"),
        ("--contempt=maybe", "argument --contempt: 'maybe' is neither yes nor no"),
    ],
)
def test_a_wrong_value_is_refused_in_plain_words(
    tmp_path: Path, option: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["fit", str(tmp_path), option])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_a_broken_checkpoint_is_named(story: Story, tmp_path: Path) -> None:
    broken = tmp_path / "best.weights.h5"
    whole = (story.work / "best.weights.h5").read_bytes()
    network = network_of(story.folder)
    for content in (None, b"", whole[: len(whole) // 2]):
        if content is not None:
            broken.write_bytes(content)
        with pytest.raises(CheckpointError, match="train from the start") as caught:
            load_weights(network, broken)
        assert str(broken) in str(caught.value)


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """As on a full disk: no file of this process can grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 10_000, 1_000_000])
def test_a_checkpoint_is_written_whole_or_not_at_all(
    story: Story, tmp_path: Path, size: int
) -> None:
    """HDF5 itself crashes the process where it cannot write."""
    network, path = network_of(story.folder), tmp_path / "best.weights.h5"
    save_weights(network, path)
    was = path.read_bytes()
    network.set_weights([np.zeros_like(w) for w in network.get_weights()])
    with files_up_to(size), pytest.raises(CheckpointError) as caught:
        save_weights(network, path)
    assert str(caught.value) == (
        f"{path}: cannot be written (File too large); fix that and run the same command again."
    )
    assert path.read_bytes() == was
    assert list(tmp_path.iterdir()) == [path]


# Keras' CSVLogger leaves its file to the garbage collector where training ends by an error.
@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_a_full_disk_is_reported_and_nothing_is_lost(
    story: Story, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Starts one epoch before the end; only the latest state has to be written."""
    work = tmp_path / "stripes" / "work"
    shutil.copytree(story.work, work)
    with h5py.File(work / LATEST, "a") as weights:
        weights[ITERATIONS][()] = EPOCHS - 1
    # No epoch can be better, so that only the latest state has to be written.
    (work / "best.weights.json").write_text('{"epoch": 0, "val_accuracy": 1.1}')
    was = (work / LATEST).read_bytes()
    with files_up_to(len(was) - 1):
        status, _ = run(*story.command[:-1], tmp_path)
    gc.collect()
    assert status == 2
    (line,) = [n for n in capsys.readouterr().err.splitlines() if n.startswith("train: ")]
    assert line.endswith(
        "latest.weights.h5: cannot be written (File too large); fix that and run the same "
        "command again."
    )
    assert (work / LATEST).read_bytes() == was
    assert backed_up(work) == EPOCHS - 1
    assert not list(work.rglob("*partial*"))


def test_an_unwritable_folder_is_reported_before_the_training(
    story: Story, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    status, said = run(*story.command[:-1], tmp_path / "file")
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"train: {tmp_path / 'file'}")
    assert line.endswith("Not a directory; fix that and run the same command again.")
    assert "parameters" not in said


def test_votes_of_other_rows_are_refused_before_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(tmp_path / "fer2013.csv")
    columns = "anger,disgust,fear,happiness,sadness,surprise,neutral,contempt,unknown,NF"
    rows = [f"Training,{'1,' * 9}0"] * (TRAINING - 1)
    (tmp_path / "fer2013new.csv").write_text("\n".join([f"Usage,{columns}", *rows]) + "\n")
    status, said = run("fit", tmp_path, "--output", tmp_path / "exports")
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"train: fer2013new.csv: has {TRAINING - 1} rows of Training, the dataset {TRAINING}; "
        "put the file that belongs to this dataset there, or remove it."
    )
    assert "parameters" not in said


def test_two_trainings_in_one_folder_are_refused(
    story: Story, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (story.work / "log.csv").read_bytes()
    with locked(story.work):
        status, _ = run(*story.command)
    assert status == 2
    (line,) = [n for n in capsys.readouterr().err.splitlines() if n.startswith("train: ")]
    assert f"{story.work}: process {os.getpid()} is training there; wait for it" in line
    assert (story.work / "log.csv").read_bytes() == before


@pytest.mark.parametrize(
    "torn", ["2,0.7", "2,0.7,0.5,0.6,0.\0\0\0", "\0" * 30, "2,0.7,0.5,0.6,0.4"]
)
def test_a_log_torn_by_a_power_cut_is_repaired(tmp_path: Path, torn: str) -> None:
    log = tmp_path / "log.csv"
    whole = "epoch,accuracy,loss,val_accuracy,val_loss\r\n0,0.5,1,0.4,1\r\n1,0.6,1,0.5,1\r\n"
    log.write_text(whole + torn, newline="")
    trim_log(log, 2)
    assert log.read_text() == whole.replace("\r\n", "\n")
    assert read_log(log)["val_accuracy"] == [0.4, 0.5]


def test_a_loss_of_nan_never_reaches_a_checkpoint() -> None:
    guard = StopAtNaN()
    guard.on_train_batch_end(0, {"loss": 1.5})
    for loss in (float("nan"), float("inf")):
        with pytest.raises(TrainError, match="--seed"):
            guard.on_train_batch_end(1, {"loss": loss})


def test_another_recipe_under_the_same_name_loses_nothing(
    story: Story, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted((p, p.read_bytes()) for p in story.work.rglob("*") if p.is_file())
    command = [EPOCHS + 1 if word == EPOCHS else word for word in story.command]
    status, _ = run(*command)
    assert status == 2
    assert "contains a run of another recipe or dataset" in capsys.readouterr().err
    assert sorted((p, p.read_bytes()) for p in story.work.rglob("*") if p.is_file()) == before
