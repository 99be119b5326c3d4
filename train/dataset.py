"""Reads FER2013 in any of its published forms; gives uint8 faces, labels and split names.

Forms: Kaggle's `fer2013.csv` (emotion, pixels, Usage), its re-release `icml_face_data.csv`
(the same with spaces in the column names), either plain or packed as .gz, .xz, .tar.gz or .zip,
and the class folders (`train/angry/*.png`, `test/…`) of later uploads. Those mix PublicTest and
PrivateTest in `test/`; the file names (`PublicTest_123.jpg`) tell them apart, where kept.
"""

from __future__ import annotations

import csv
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from train.errors import DatasetError

if TYPE_CHECKING:
    from PIL import Image

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SIZE_PX = 48
PIXELS = SIZE_PX * SIZE_PX

# Class counts of the official splits, in the order of LABELS (Goodfellow et al., 2013,
# "Challenges in Representation Learning", https://arxiv.org/abs/1307.0414).
OFFICIAL_COUNTS: dict[str, tuple[int, ...]] = {
    "Training": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "PublicTest": (467, 56, 496, 895, 653, 415, 607),
    "PrivateTest": (491, 55, 528, 879, 594, 416, 626),
}
BOTH_TESTS = "PublicTest+PrivateTest"
OFFICIAL_COUNTS[BOTH_TESTS] = tuple(
    a + b
    for a, b in zip(OFFICIAL_COUNTS["PublicTest"], OFFICIAL_COUNTS["PrivateTest"], strict=True)
)
# A folder's split, for the files whose names don't tell.
FOLDER_SPLITS = {
    "train": "Training",
    "test": BOTH_TESTS,
    "validation": "PublicTest",
    "val": "PublicTest",
}
TESTS = ("PublicTest", "PrivateTest")
FOLDER_LABELS = {name: i for i, name in enumerate(LABELS)} | {"surprised": 5, "fearful": 2}

WHERE = (
    "FER2013 is a free download at kaggle.com/datasets/msambare/fer2013 (class folders) or "
    "kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge "
    "(fer2013.csv). Put fer2013.csv (or .csv.gz, .csv.xz, .tar.gz, .zip), icml_face_data.csv, or "
    "the folders train/angry … train/neutral and test/… there"
)
PICTURES = {".png", ".jpg", ".jpeg"}
GRAY_MODES = {"1", "L", "LA", "I", "I;16"}  # Pillow's
COLOUR_LEVELS = 16
CSV_NAMES = ("fer2013.csv", "icml_face_data.csv")


@dataclass(frozen=True, slots=True)
class Split:
    """Faces `x` (n, 48, 48, 1) uint8, labels `y` (n,) int64 and the split's official name."""

    name: str
    x: NDArray[np.uint8]
    y: NDArray[np.int64]

    @property
    def counts(self) -> tuple[int, ...]:
        """Images per class, in the order of LABELS."""
        return tuple(np.bincount(self.y, minlength=len(LABELS)).tolist())

    def take(self, index: NDArray[np.int64]) -> Split:
        return Split(self.name, self.x[index], self.y[index])


def read_dataset(path: Path) -> dict[str, Split]:
    """Read every split under `path`, a file or a folder; raises DatasetError with what is wrong."""
    if not path.exists():
        raise DatasetError(f"{path}: no dataset there. {WHERE}.")
    source = path if path.is_file() else _find_csv(path)
    splits = _read_csv(source) if source else _read_folders(path)
    if "Training" not in splits:
        found = ", ".join(splits) or "no image at all"
        raise DatasetError(f"{path}: has no Training split (found: {found}). {WHERE}.")
    return splits


def describe(split: Split) -> str:
    """One line: the split's name, size and class counts, and how they differ from the official."""
    name, official = min(OFFICIAL_COUNTS.items(), key=lambda item: _distance(split, item[1]))
    total = sum(official)
    wrong = [
        f"{label} {have} instead of {want}"
        for label, have, want in zip(LABELS, split.counts, official, strict=True)
        if have != want
    ]
    classes = ", ".join(f"{n} {c}" for n, c in zip(LABELS, split.counts, strict=True))
    verdict = f"the official FER2013 {name}"
    if _distance(split, official) > total // 10:
        verdict = "none of the official FER2013 splits"
    elif wrong:
        verdict = f"differs from the official FER2013 {name} ({total}): {', '.join(wrong)}"
    return f"{split.name}: {len(split.y)} faces ({classes}): {verdict}"


def _distance(split: Split, counts: tuple[int, ...]) -> int:
    return sum(abs(a - b) for a, b in zip(split.counts, counts, strict=True))


def duplicates_of(x: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Mask of the images in `x` (n, …) that stand pixel for pixel in `others` (m, …) too."""
    known = {image.tobytes() for image in others}
    return np.array([image.tobytes() in known for image in x], dtype=bool)


def stratified_split(
    y: NDArray[np.int64], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the (rest, held-out) parts of `y`, `fraction` of every class held out."""
    rng = np.random.default_rng(seed)
    held = []
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        held.append(members[: max(1, round(fraction * len(members)))])
    held_out = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(y)), held_out), held_out


def _find_csv(folder: Path) -> Path | None:
    names = [name + packing for name in CSV_NAMES for packing in ("", ".xz", ".gz", ".zip")]
    names += ["fer2013.zip", "fer2013.tar.gz"]
    return next((folder / name for name in names if (folder / name).is_file()), None)


# What the unpackers raise for a file cut short or damaged.
_UNREADABLE = (
    OSError,
    EOFError,
    lzma.LZMAError,
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
)


@contextmanager
def _open_text(path: Path) -> Iterator[IO[str]]:
    """`path` as text, unpacked by its ending; of an archive its FER2013 member."""
    raw: IO[bytes] | gzip.GzipFile | None
    with ExitStack() as stack:
        if path.suffix == ".zip":
            packed = stack.enter_context(zipfile.ZipFile(path))
            raw = packed.open(_member(path, packed.namelist()))
        elif path.name.endswith((".tar.gz", ".tgz")):
            tape = stack.enter_context(tarfile.open(path))
            raw = tape.extractfile(_member(path, tape.getnames()))
        elif path.suffix == ".gz":
            raw = stack.enter_context(gzip.open(path))
        elif path.suffix == ".xz":
            raw = stack.enter_context(lzma.open(path))
        else:
            raw = stack.enter_context(path.open("rb"))
        if raw is None:
            raise DatasetError(f"{path}: holds a folder named like a .csv file. {WHERE}.")
        # A spreadsheet that saved the file again puts a byte order mark first.
        yield stack.enter_context(io.TextIOWrapper(raw, "utf-8-sig", newline=""))


def _member(path: Path, names: Sequence[str]) -> str:
    """The name in the archive `path` that is FER2013's, else its first .csv file."""
    tables = [name for name in names if name.endswith(".csv")]
    if not tables:
        raise DatasetError(
            f"{path}: holds no .csv file; if it holds class folders, unpack it and name the folder "
            f"they are in. {WHERE}."
        )
    known = (name for name in tables if name.rpartition("/")[2] in CSV_NAMES)
    return next(known, tables[0])


def _read_csv(path: Path) -> dict[str, Split]:
    try:
        with _open_text(path) as text:
            rows = csv.reader(text)
            header = [name.strip().lower() for name in next(rows, [])]
            columns = [_column(path, header, name) for name in ("emotion", "pixels", "usage")]
            return _collect(path, rows, columns)
    except (*_UNREADABLE, csv.Error, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); download it again.") from error


def _column(path: Path, header: list[str], name: str) -> int:
    if name not in header:
        found = ", ".join(header)[:80] or "an empty line"
        raise DatasetError(f"{path}: has no column {name!r} in line 1 (found: {found}). {WHERE}.")
    return header.index(name)


def _collect(path: Path, rows: Iterator[list[str]], columns: list[int]) -> dict[str, Split]:
    images: dict[str, list[NDArray[np.uint8]]] = {}
    labels: dict[str, list[int]] = {}
    for line, row in enumerate(rows, start=2):
        if not row:
            continue
        try:
            emotion, pixels, usage = (row[c] for c in columns)
            label = int(emotion)
            image = np.array(pixels.split(), dtype=np.uint8)
        except IndexError:
            raise _bad_row(path, line, f"only {len(row)} columns") from None
        except (ValueError, OverflowError) as error:
            raise _bad_row(path, line, str(error)) from error
        if image.size != PIXELS or not 0 <= label < len(LABELS):
            raise _bad_row(path, line, f"{image.size} pixels and emotion {label}")
        images.setdefault(usage.strip(), []).append(image)
        labels.setdefault(usage.strip(), []).append(label)
    return {name: _split(name, images[name], labels[name]) for name in images}


def _bad_row(path: Path, line: int, what: str) -> DatasetError:
    return DatasetError(
        f"{path}, line {line}: {what}; expected an emotion from 0 to 6, {PIXELS} pixels (48×48) "
        "from 0 to 255 and a usage. Mend the line or download the file again."
    )


def _split(name: str, images: list[NDArray[np.uint8]], labels: list[int]) -> Split:
    x = np.stack(images).reshape(-1, SIZE_PX, SIZE_PX, 1)
    return Split(name, x, np.array(labels, dtype=np.int64))


def _read_folders(root: Path) -> dict[str, Split]:
    images: dict[str, list[NDArray[np.uint8]]] = {}
    labels: dict[str, list[int]] = {}
    for folder, usual in FOLDER_SPLITS.items():
        if (root / folder).is_dir():
            for path, label in _labeled_files(root / folder):
                name = _split_of(path, usual)
                images.setdefault(name, []).append(_read_picture(path))
                labels.setdefault(name, []).append(label)
    if not images:
        raise DatasetError(f"{root}: holds neither fer2013.csv nor class folders. {WHERE}.")
    return {name: _split(name, images[name], labels[name]) for name in images}


def _split_of(path: Path, usual: str) -> str:
    """The split of a picture: in a test folder its file name's, else the folder's `usual` one."""
    told = path.name.partition("_")[0]
    return told if usual != "Training" and told in TESTS else usual


def _labeled_files(folder: Path) -> list[tuple[Path, int]]:
    """The pictures under `folder` with their labels; raises where a class has none."""
    files: list[tuple[Path, int]] = []
    for class_folder in sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != "."):
        label = FOLDER_LABELS.get(class_folder.name.lower())
        if label is None:
            raise DatasetError(
                f"{class_folder}: not one of the seven classes ({', '.join(LABELS)}); "
                "rename or remove it."
            )
        pictures = (p for p in class_folder.iterdir() if p.suffix.lower() in PICTURES)
        files += [(path, label) for path in sorted(pictures)]
    missing = sorted(set(range(len(LABELS))) - {label for _, label in files})
    if missing:
        names = ", ".join(LABELS[i] for i in missing)
        raise DatasetError(f"{folder}: no picture for {names}; each class needs its folder.")
    return files


def _read_picture(path: Path) -> NDArray[np.uint8]:
    from PIL import Image  # noqa: PLC0415 - only class folders need it; Matplotlib brings it

    try:
        with Image.open(path) as picture:
            colored = picture.mode not in GRAY_MODES and _colored(picture.convert("RGB"))
            gray = np.asarray(picture.convert("L"), dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's three, by kind of damage
        raise DatasetError(
            f"{path}: not a readable picture ({error}); delete it or download it again."
        ) from error
    if gray.shape != (SIZE_PX, SIZE_PX):
        h, w = gray.shape
        raise DatasetError(
            f"{path}: {w}×{h} pixels; FER2013 pictures are 48×48. Scale or delete it."
        )
    if colored:
        raise DatasetError(
            f"{path}: a color picture; FER2013 pictures are gray. Convert or delete it."
        )
    return gray


def _colored(rgb: Image.Image) -> bool:
    """Whether the channels differ by more than a JPEG of a gray picture makes them."""
    levels = np.asarray(rgb, dtype=np.int64)
    return bool((levels.max(axis=2) - levels.min(axis=2)).max() > COLOUR_LEVELS)
