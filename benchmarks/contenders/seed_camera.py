"""The seed project's way as a program that reads a camera: Haar, Keras, drawing, a JPEG a frame.

    python -m benchmarks.contenders.seed_camera URL

OpenCV reads the camera, as in the seed. Prints a line for each frame; serves nobody.
"""

from __future__ import annotations

import sys

import cv2
import numpy as np

from benchmarks.contenders.seed_way import SeedWay


def main() -> None:
    """Process frames until the camera ends."""
    way, video = SeedWay(), cv2.VideoCapture(sys.argv[1])
    while (read := video.read())[0]:
        way(np.asarray(read[1], np.uint8))
        print(flush=True)


if __name__ == "__main__":
    main()
