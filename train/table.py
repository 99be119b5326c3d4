"""Reads FER2013's table, plain or packed."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from train.dataset import FER2013, LABELS, SIZE_PX, WHERE, WITH_CONTEMPT, Split
from train.errors import DatasetError
from train.names import SPLITS, class_numbers
from train.packed import UNREADABLE, open_table

PIXELS = SIZE_PX * SIZE_PX
MOST_LEVEL = 255
LONGEST_LINE = 1_000_000  # characters; a row has some 9,000
DELIMITERS = ",;\t"  # spreadsheets of some countries write semicolons


def read_table(path: Path, labels: Sequence[str]) -> dict[str, Split]:
    """Return every split of a table. Raises DatasetError with the line that is wrong."""
    try:
        with open_table(path) as text:
            lines = _lines(text)
            first = next(lines, "")
            delimiter = next((each for each in DELIMITERS if each in first), ",")
            rows = csv.reader(chain([first], lines), delimiter=delimiter)
            header = [name.strip().lower() for name in next(rows, [])]
            columns = [_column(path, header, name) for name in ("emotion", "pixels")]
            if "usage" in header:
                columns.append(header.index("usage"))
            else:
                print(f"{path}: has no column Usage; all rows are trained on")
            return _collect(path, rows, columns, tuple(labels))
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path}: is not text in UTF-8; save it as such or download it again."
        ) from error
    except (*UNREADABLE, csv.Error) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); download it again.") from error


def _lines(text: IO[str]) -> Iterator[str]:
    """Yield the lines of a table. Raises csv.Error for a line that would fill the memory."""
    while line := text.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise csv.Error("a line is too long")
        yield line


def _column(path: Path, header: list[str], name: str) -> int:
    if name not in header:
        found = ", ".join(header)[:80] or "an empty line"
        raise DatasetError(
            f"{path}: has no column {name!r} in line 1 (found: {found}), which must name "
            f"emotion, pixels and Usage. {WHERE}."
        )
    return header.index(name)


def _collect(
    path: Path, rows: Iterator[list[str]], columns: list[int], labels: tuple[str, ...]
) -> dict[str, Split]:
    images: dict[str, list[NDArray[np.uint8]]] = {}
    classes: dict[str, list[int]] = {}
    names = class_numbers(labels)
    for line, row in enumerate(rows, start=2):
        if not row:
            continue
        try:
            emotion, pixels, *usage = (row[c] for c in columns)
            label = _class_number(emotion, names)
            split = _split(usage[0]) if usage else "Training"
            image = _pixels(pixels)
        except IndexError:
            raise _bad_row(path, line, f"only {len(row)} columns", labels) from None
        except (ValueError, OverflowError) as error:
            raise _bad_row(path, line, str(error), labels) from error
        if image.size != PIXELS or not 0 <= label < len(labels):
            raise _bad_row(path, line, f"{image.size} pixels and emotion {label}", labels)
        images.setdefault(split, []).append(image)
        classes.setdefault(split, []).append(label)
    dataset = FER2013 if labels in (LABELS, WITH_CONTEMPT) else path.stem
    return {
        name: Split(
            name,
            np.stack(images[name]).reshape(-1, SIZE_PX, SIZE_PX, 1),
            np.array(classes[name], dtype=np.int64),
            labels,
            dataset,
        )
        for name in images
    }


def _class_number(text: str, names: dict[str, int]) -> int:
    """Return the class, given by number or name. Raises ValueError."""
    name = text.strip().lower()
    if name in names:
        return names[name]
    try:
        return int(name)
    except ValueError:
        raise ValueError(f"the emotion is {text!r}") from None


def _split(usage: str) -> str:
    """Return the split that a usage names. Raises ValueError."""
    try:
        return SPLITS[usage.strip().lower()]
    except KeyError:
        known = ", ".join(sorted(set(SPLITS.values())))
        raise ValueError(f"the usage is {usage!r}, not one of {known}") from None


def _pixels(text: str) -> NDArray[np.uint8]:
    """Parse the pixels of a row. Raises ValueError or OverflowError with the reason."""
    try:
        levels = np.fromstring(text, dtype=np.int64, sep=" ")
    except (ValueError, DeprecationWarning):  # which of them depends on NumPy's version
        levels = np.empty(0, np.int64)
    if levels.size == PIXELS and levels.min() >= 0 and levels.max() <= MOST_LEVEL:
        return levels.astype(np.uint8)
    for level in text.split():  # four times as slow; names the bad number
        if not level.isdecimal() or int(level) > MOST_LEVEL:
            raise ValueError(f"a pixel is {level!r}")
    return levels.astype(np.uint8)


def _bad_row(path: Path, line: int, what: str, labels: tuple[str, ...]) -> DatasetError:
    return DatasetError(
        f"{path}, line {line}: {what}; expected an emotion from 0 to {len(labels) - 1}, {PIXELS} "
        "pixels (48×48) from 0 to 255 and a usage. Correct the line or download the file again."
    )
