"""Writes small drawn data sets in every form in which FER2013 is published."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.dataset import (
    LABELS,
)

USAGES = ("Training", "PublicTest", "PrivateTest")


def pictures(n: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, 48, 48, 1), dtype=np.uint8)


def pixels(image: NDArray[np.uint8]) -> str:
    return " ".join(map(str, image.ravel()))


def official_table(per_usage: int = 7) -> str:
    """Return `fer2013.csv` as on Kaggle: `per_usage` faces of each usage, classes in turn."""
    faces = iter(pictures(per_usage * len(USAGES)))
    rows = [f"{i % 7},{pixels(next(faces))},{usage}" for usage in USAGES for i in range(per_usage)]
    return "\n".join(["emotion,pixels,Usage", *rows]) + "\n"


def rerelease_table() -> str:
    """Return the same as `icml_face_data.csv`, with its column order and spaces."""
    rows = [line.split(",") for line in official_table().splitlines()[1:]]
    return "\n".join(["emotion, Usage, pixels", *(f"{e},{u},{p}" for e, p, u in rows)]) + "\n"


def pack_zip(path: Path, **members: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "/").replace("_csv", ".csv"), text)


def pack_tar(path: Path, name: str, text: str) -> None:
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(text.encode())
        archive.addfile(member, io.BytesIO(text.encode()))


def png(path: Path, image: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def class_folders(root: Path, *splits: str, names: tuple[str, ...] = LABELS) -> Path:
    """Write `root`/train/angry/0.png and so on: a picture of each class, gray level 30 × class."""
    for split in splits:
        for label, name in enumerate(names):
            png(root / split / name / "0.png", np.full((48, 48), 30 * label, np.uint8))
    return root


FORMS: dict[str, Callable[[Path], object]] = {
    "fer2013.csv": lambda p: p.write_text(official_table()),
    "fer2013.csv.gz": lambda p: p.write_bytes(gzip.compress(official_table().encode())),
    "fer2013.csv.xz": lambda p: p.write_bytes(lzma.compress(official_table().encode(), preset=0)),
    "fer2013.csv.zip": lambda p: pack_zip(p, fer2013_csv=official_table()),
    "fer2013.zip": lambda p: pack_zip(p, __MACOSX___csv="", fer2013__fer2013_csv=official_table()),
    "fer2013.tar.gz": lambda p: pack_tar(p, "fer2013/fer2013.csv", official_table()),
    "icml_face_data.csv": lambda p: p.write_text(rerelease_table()),
    "icml_face_data.csv.zip": lambda p: pack_zip(p, icml_face_data_csv=rerelease_table()),
}
