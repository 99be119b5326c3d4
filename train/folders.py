"""Reads a dataset of pictures in class folders, unpacked or as a .zip archive.

Paths may be `train/angry/1.png` or just `angry/1.png`, with other folders around and below. In
FER2013's uploads `test/` mixes PublicTest and PrivateTest; where the file names are the original
ones (`PublicTest_123.jpg`), they distinguish the two.
"""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from train.dataset import BOTH_TESTS, FER2013, SIZE_PX, WHERE, Split, is_official
from train.errors import DatasetError
from train.names import ALIASES, NUMBERS, SPLITS, class_numbers, plain_name
from train.packed import UNREADABLE, open_zip

warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # twice as large is an error

OFFICIAL_TESTS = ("PublicTest", "PrivateTest")
SUFFIXES = {
    ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png",
    ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp",
}  # fmt: skip
# Pillow's names of the formats that are recognized by their content, whatever the file's name.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
HEAD_BYTES = 65_536  # enough to recognize a picture
LARGEST_BYTES = 100_000_000  # of a picture; more is a mistake, or meant to fill the memory
LARGEST_PIXELS = 100_000_000
GRAY_MODES = {"1", "L", "LA", "I", "I;16", "I;16B", "F"}  # Pillow's
SIXTEEN_BIT = 65535
COLOR_LEVELS = 16  # between the channels of a gray picture saved as a color JPEG


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture in a folder or an archive: its path there, and the function that reads it."""

    path: PurePosixPath
    shown: str  # the path for messages
    read: Callable[[int], bytes]  # so many bytes at most


@dataclass(slots=True)
class Conversions:
    """Counts of pictures that had to be converted, for a message at the end."""

    strict: bool
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    colored: int = 0

    def add_size(self, file: PictureFile, size: tuple[int, int]) -> None:
        if self.strict:
            raise DatasetError(
                f"{file.shown}: {size[0]}×{size[1]} pixels instead of 48×48; scale or delete it, "
                "or train without --strict."
            )
        self.sizes[size] += 1

    def add_color(self, file: PictureFile) -> None:
        if self.strict:
            raise DatasetError(
                f"{file.shown}: a color picture; convert it to gray or delete it, or train "
                "without --strict."
            )
        self.colored += 1

    def sentences(self) -> Iterator[str]:
        if self.sizes:
            smallest, largest = min(self.sizes), max(self.sizes)
            sizes = "×".join(map(str, smallest))
            if largest != smallest:
                sizes += " to " + "×".join(map(str, largest))
            yield f"{self.sizes.total()} pictures of {sizes} pixels were scaled to 48×48"
        if self.colored:
            yield f"{self.colored} color pictures were converted to gray"


def read_folders(path: Path, labels: Sequence[str], *, strict: bool) -> dict[str, Split]:
    """Read every split under a folder or in a .zip archive. Raises DatasetError.

    Prints how many pictures were converted or ignored. Pictures are cropped to a square before they
    are scaled.
    """
    labels = tuple(labels)
    classes = class_numbers(labels)
    conversions = Conversions(strict)
    images: dict[str, list[NDArray[np.uint8]]] = {}
    numbers: dict[str, list[int]] = {}
    ignored: list[str] = []
    stray: Counter[str] = Counter()  # folders with classes that are not named like a split
    numbered = False
    for file in _files(path):
        if not _is_picture(file):
            ignored.append(file.shown)
            continue
        split, label, parent, name = _place(file, classes, labels)
        numbered |= name.isdecimal()
        if split == "Training" and parent:
            stray[parent] += 1
        images.setdefault(split, []).append(_read_picture(file, conversions))
        numbers.setdefault(split, []).append(label)
    if not images:
        raise DatasetError(f"{path}: has neither fer2013.csv nor class folders. {WHERE}.")
    splits = {
        name: Split(name, np.stack(images[name]), np.array(numbers[name], np.int64), labels)
        for name in sorted(images, key=lambda name: name != "Training")
    }
    for each in splits.values():
        _check_classes(path, each)
    for sentence in conversions.sentences():
        print(f"{path}: {sentence}")
    if len(splits) > 1:
        for parent, n in stray.items():
            print(
                f"{path}: {n} pictures in {parent}, which is not named like a split, are trained on"
            )
    if numbered:
        print(f"{path}: folders named by a number are taken for FER2013's classes: {NUMBERS}")
    if ignored:
        print(f"{path}: {len(ignored)} files that are not pictures were ignored, as {ignored[0]}")
    return _named(path, splits)


def _named(path: Path, splits: dict[str, Split]) -> dict[str, Split]:
    """Return the splits with the dataset's name, renamed to FER2013's if they are FER2013's."""
    official = set(splits) & set(OFFICIAL_TESTS) or any(map(is_official, splits.values()))
    dataset = FER2013 if official else path.resolve().name.removesuffix(".zip")
    names = {"Validation": "PublicTest", "Test": BOTH_TESTS} if official else {}
    return {
        names.get(name, name): Split(names.get(name, name), each.x, each.y, each.labels, dataset)
        for name, each in splits.items()
    }


def _files(path: Path) -> Iterator[PictureFile]:
    """Yield all files but hidden ones, in the order of their paths."""
    if path.is_dir():
        for each in sorted(_walk(path)):
            inside = PurePosixPath(each.relative_to(path).as_posix())
            if not _hidden(inside):
                yield PictureFile(inside, str(each), partial(_read, each))
        return
    try:
        with open_zip(path) as archive:
            for name in sorted(archive.namelist()):
                inside = PurePosixPath(name)
                if not name.endswith("/") and not _hidden(inside):
                    yield PictureFile(inside, f"{path}: {name}", partial(_unpack, archive, name))
    except UNREADABLE as error:
        raise DatasetError(f"{path}: cannot be read ({error}); download it again.") from error


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files in `folder` and below, also behind links, but each folder once."""
    seen = set()
    for top, folders, files in os.walk(folder, followlinks=True):
        status = Path(top).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        yield from (path for path in (Path(top) / name for name in files) if path.is_file())


def _read(path: Path, most_bytes: int) -> bytes:
    with path.open("rb") as file:
        return file.read(most_bytes)


def _unpack(archive: zipfile.ZipFile, name: str, most_bytes: int) -> bytes:
    with archive.open(name) as file:
        return file.read(most_bytes)


def _is_picture(file: PictureFile) -> bool:
    """Return whether a file is a picture by its name or, with another name, by its content."""
    if file.path.suffix.lower() in SUFFIXES:
        return True
    try:
        Image.open(io.BytesIO(file.read(HEAD_BYTES)), formats=FORMATS).close()
    except Exception:  # plugins raise almost anything
        return False
    return True


def _hidden(path: PurePosixPath) -> bool:
    return any(part[0] == "." or part == "__MACOSX" for part in path.parts)


def _place(
    file: PictureFile, classes: dict[str, int], labels: tuple[str, ...]
) -> tuple[str, int, str, str]:
    """Return the split and the class of a picture, by the folders it is in.

    The third value is the parent of the class folder, if no folder is named like a split, else "";
    the fourth is the name of the class folder. A folder named by a number is a class only if no
    other folder has a class's name, because numbers may also count people or recordings.
    """
    folders = [plain_name(part, classes) for part in file.path.parts[:-1]]
    found = [place for place, name in enumerate(folders) if name in classes]
    found = [place for place in found if not folders[place].isdecimal()] or found[:1]
    splits = [place for place, name in enumerate(folders) if name in SPLITS]
    if len({classes[folders[place]] for place in found}) > 1:
        raise DatasetError(
            f"{file.shown}: is in folders of several classes "
            f"({', '.join(file.path.parts[place] for place in found)}); move it into one."
        )
    if not found:
        where = splits[0] + 1 if splits else 0
        if where >= len(folders):
            raise DatasetError(f"{file.shown}: is not in a folder of its class; move it into one.")
        folder = file.shown.removesuffix("/".join(file.path.parts[where + 1 :])).rstrip("/")
        raise DatasetError(
            f"{folder}: not one of the {len(labels)} classes ({', '.join(labels)}); rename or "
            f"remove the folder, or name your own classes with --labels.{_hint(folders[where])}"
        )
    split = SPLITS[folders[splits[0]]] if splits else "Training"
    prefix = file.path.name.partition("_")[0]
    if split != "Training" and prefix in OFFICIAL_TESTS:
        split = prefix
    parent = "" if splits or not found[0] else file.path.parts[found[0] - 1]
    name = folders[found[-1]]
    return split, classes[name], parent, name


def _hint(folder: str) -> str:
    """Return a sentence on what the name of a folder that is not a class may mean."""
    if folder.isdecimal():
        return (
            f" Numbers are taken for FER2013's classes ({NUMBERS}); other datasets count otherwise."
        )
    if folder in {"contempt", *ALIASES["contempt"]}:
        return " The command train fit takes contempt as the eighth class with --contempt yes."
    return ""


def _check_classes(path: Path, split: Split) -> None:
    missing = [label for label, n in zip(split.labels, split.counts, strict=True) if not n]
    if missing:
        raise DatasetError(
            f"{path}: {split.name} has no picture for {', '.join(missing)}; each class needs its "
            "folder, or name the classes that there are with --labels."
        )


def _read_picture(file: PictureFile, conversions: Conversions) -> NDArray[np.uint8]:
    """Return a gray picture (48, 48, 1)."""
    Image.MAX_IMAGE_PIXELS = None  # LARGEST_PIXELS is checked instead
    try:
        with Image.open(io.BytesIO(_content(file))) as opened:
            _check_size(opened)
            picture = ImageOps.exif_transpose(opened)
            gray = _gray(picture)
            colored = picture.mode not in GRAY_MODES and _colored(picture.convert("RGB"))
    except Exception as error:  # plugins raise almost anything
        reason = "in no known format" if isinstance(error, UnidentifiedImageError) else error
        raise DatasetError(
            f"{file.shown}: not a readable picture ({reason}); delete it or download it again."
        ) from error
    if colored:
        conversions.add_color(file)
    if gray.size != (SIZE_PX, SIZE_PX):
        conversions.add_size(file, gray.size)
        shrinks = min(gray.size) > SIZE_PX
        method = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
        gray = ImageOps.fit(gray, (SIZE_PX, SIZE_PX), method)
    return np.asarray(gray, dtype=np.uint8)[..., None]


def _check_size(picture: Image.Image) -> None:
    """Raise ValueError for a picture with too many pixels, before they are decoded."""
    if picture.width * picture.height > LARGEST_PIXELS:
        raise ValueError(f"{picture.width}×{picture.height} pixels are too many")


def _content(file: PictureFile) -> bytes:
    """Read a picture. Raises ValueError for one that is empty or too large."""
    content = file.read(LARGEST_BYTES + 1)
    if not content:
        raise ValueError("empty")
    if len(content) > LARGEST_BYTES:
        raise ValueError(f"larger than {LARGEST_BYTES // 1_000_000} MB")
    return content


def _gray(picture: Image.Image) -> Image.Image:
    """Convert to 8-bit gray; Pillow alone would clip 16-bit pictures to white."""
    if picture.mode.startswith(("I", "F")):
        levels = np.asarray(picture).astype(np.float64)
        is_8_bit = not picture.mode.startswith("I;16") and levels.max() <= 255
        scale = 1.0 if is_8_bit else 255 / SIXTEEN_BIT
        return Image.fromarray((levels * scale).round().clip(0, 255).astype(np.uint8))
    if picture.mode in {"RGBA", "LA", "PA"} or "transparency" in picture.info:
        picture = picture.convert("RGBA").convert("RGB")
    return picture.convert("L")


def _colored(rgb: Image.Image) -> bool:
    """Return whether the channels differ by more than those of a gray picture saved as a JPEG."""
    levels = np.asarray(rgb, dtype=np.int64)
    return bool((levels.max(axis=2) - levels.min(axis=2)).max() > COLOR_LEVELS)
