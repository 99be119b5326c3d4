"""Tests that decoding a picture takes bounded memory, and what happens without memory."""

from __future__ import annotations

import io
import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from support.paths import ROOT
from support.pictures import Encoder, by_opencv, by_pillow


def of_floats(bgr: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(bgr[:, :, 0].astype(np.float32)).save(content, "TIFF")
    return content.getvalue()


def of_float_colors(bgr: np.ndarray) -> bytes:
    return cv2.imencode(".tif", bgr.astype(np.float64) / 255)[1].tobytes()


def test_no_memory_means_that_picture_only() -> None:
    """With 600 MB of address space 200 megapixels are refused, and the next picture is decoded."""
    program = """
        import resource
        import cv2, numpy as np
        from edge_daemon.core.picture import PictureRefused, RefusalKind, decode_picture
        cv2.setNumThreads(1)
        small = cv2.imencode(".png", np.zeros((20, 20, 3), np.uint8))[1].tobytes()
        large = cv2.imencode(".png", np.zeros((14_000, 14_000), np.uint8))[1].tobytes()
        decode_picture(small)
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000,) * 2)
        try: decode_picture(large, max_pixels=256_000_000)
        except PictureRefused as error: print(error.kind is RefusalKind.TOO_LARGE, error)
        print(decode_picture(small).size)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "True the picture needs more memory than is free",
        "(20, 20)",
    ], done.stderr


@pytest.mark.parametrize(
    ("side", "encode"),
    [(6320, by_opencv(".png")), (6320, by_pillow("JPEG", progressive=True)),
     (5700, by_pillow("JPEG", progressive=True, subsampling=0)), (3650, by_pillow("GIF")),
     (3650, by_pillow("AVIF", speed=10)), (3650, by_pillow("JPEG2000", irreversible=True)),
     (3650, of_floats), (2100, of_float_colors)],
    ids=["png", "4:2:0", "4:4:4", "gif", "avif", "jpeg 2000", "tiff of floats", "of float colors"],
)  # fmt: skip
def test_the_largest_picture_takes_bounded_memory(
    side: int, encode: Encoder, tmp_path: Path
) -> None:
    """With a daemon of some 150 MB it stays below the service's MemoryMax of 512 MB."""
    (tmp_path / "large").write_bytes(encode(np.full((side, side, 3), 90, np.uint8)))
    program = """
        import re, sys
        from pathlib import Path
        import cv2, numpy as np
        from edge_daemon.core.picture import decode_picture
        def peak_mb():
            status = Path("/proc/self/status").read_text()
            return int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) / 1024
        decode_picture(cv2.imencode(".png", np.zeros((20, 20, 3), np.uint8))[1].tobytes())
        content = Path(sys.argv[1]).read_bytes()
        before_mb = peak_mb()
        decode_picture(content, reduced_pixels=2048 * 2048)
        print(peak_mb() - before_mb)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), tmp_path / "large"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert float(done.stdout) < 280
