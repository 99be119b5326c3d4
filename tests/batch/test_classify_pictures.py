"""Tests that pictures of rare kinds of color and coding give the faces of the plain picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.classify import classify, messages, records
from support.color_kinds import cmyk, gray_of_16_bits, wide_gamut, ycck
from support.paths import ROOT
from support.pictures import ENCODERS, demo_scene

pytestmark = pytest.mark.usefixtures("blazeface_dir")

ENCODED = {
    "cmyk.jpg": cmyk("JPEG", quality=92),
    "cmyk.tif": cmyk("TIFF"),
    "gray-of-16-bits.png": gray_of_16_bits,
    "wide-gamut.jpg": wide_gamut,
    "ycck.jpg": ycck,
}
# The demo's scene at 480×360 pixels, by `cjpeg -arithmetic -quality 85` of libjpeg-turbo.
ARITHMETIC = ("arithmetic.jpg", "arithmetic-progressive.jpg")

Faces = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Faces:
    """Return the faces of each picture, from left to right."""
    folder = tmp_path_factory.mktemp("kinds")
    for name, encode in {"plain.png": ENCODERS["PNG"], **ENCODED}.items():
        (folder / name).write_bytes(encode(demo_scene()))
    done = classify(folder, *(ROOT / "tests" / "data" / name for name in ARITHMETIC))
    assert messages(done) == []
    assert done.returncode == 0
    return {
        Path(each["file"]).name: sorted(each["faces"], key=lambda face: int(face["box"][0]))
        for each in records(done.stdout)
    }


@pytest.mark.parametrize("name", [*ENCODED, *ARITHMETIC])
def test_a_rare_kind_of_picture_has_the_plain_ones_faces(faces: Faces, name: str) -> None:
    plain, found = faces["plain.png"], faces[name]
    labels = [face["label"] for face in plain]
    assert len(set(labels)) == 2
    assert [face["label"] for face in found] == labels
    scale = 480 / 640 if name in ARITHMETIC else 1
    for face, expected in zip(found, plain, strict=True):
        assert face["box"] == pytest.approx([side * scale for side in expected["box"]], abs=16)
        assert face["score"] == pytest.approx(expected["score"], abs=0.1)
