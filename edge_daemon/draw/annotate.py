"""Draws boxes, labels and score bars on a copy of a view's frame.

The colors are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), which color-blind readers
can tell apart, and for "contempt" the violet that they can best tell from these. `static/style.css`
uses the same. Sizes follow the frame's height.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Final

import cv2
import numpy as np

from edge_daemon.core.frame import black_picture
from edge_daemon.core.picture import PictureRefused
from edge_daemon.core.types import Box, Face, ImageBgr, Point, View
from edge_daemon.draw.mosaic import blur
from edge_daemon.draw.text import put_text, text_size

Bgr = tuple[int, int, int]

COLORS: Final[dict[str, Bgr]] = {
    "angry": (0, 94, 213),
    "contempt": (248, 32, 144),
    "disgust": (115, 158, 0),
    "fear": (167, 121, 204),
    "happy": (66, 228, 240),
    "sad": (178, 114, 0),
    "surprise": (0, 159, 230),
    "neutral": (233, 180, 86),
}
UNSURE: Final[Bgr] = (196, 196, 196)  # "uncertain", not classified yet, or a label without a color
WHITE: Final[Bgr] = (255, 255, 255)
BLACK: Final[Bgr] = (0, 0, 0)
TAGS: Final = 64  # that are kept: most stay the same from frame to frame
PANELS: Final = 16  # of other sizes or scores
NOT_SHOWN: Final = "The picture is not shown (privacy.stream is off)"


def public_picture(view: View, *, overlay: bool = True) -> ImageBgr:
    """Draw what viewers may see of `view`: a plain card if its picture is private."""
    if view.drawing.show:
        return annotate(view, overlay=overlay)
    blank = replace(view.frame, picture=black_picture(view.frame.size))
    return annotate(View(blank, notice=view.notice or NOT_SHOWN))


def annotate(view: View, *, overlay: bool = True) -> ImageBgr:
    """Draw `view` on a copy of its frame, with faces blurred if its drawing says so.

    A view with a notice is darkened and shows the notice instead of its faces. If faces have to be
    blurred, its picture is black, because no later frames show where its faces are. Without
    `overlay` nothing is drawn, but faces are still blurred.
    """
    try:
        bgr = view.frame.bgr.copy()
    except PictureRefused as error:
        bgr = black_picture(view.frame.size).bgr
        view = replace(view, notice=f"The camera's picture cannot be shown: {error}")
    if view.notice:
        return _notice_picture(np.zeros_like(bgr) if view.drawing.blur else bgr, view)
    if view.drawing.blur:
        blur(bgr, view.blur_areas)
    if not overlay:
        return bgr
    scale = _scale(bgr)
    frame = _frame_box(bgr)
    shown = [face for face in view.faces if face.box.shared_area(frame) > 0]
    for face in shown:
        _draw_outline(bgr, face.box, color_of(face.label), scale)
    named = [face for face in shown if face.label]
    taken = [face.box for face in shown]
    taken += [_draw_tag(bgr, face, scale) for face in named]
    for face in named:
        taken.append(_draw_scores(bgr, face, view.drawing.labels, taken, scale))
    return bgr


def untouched_jpeg(view: View) -> bytes | None:
    """Return the JPEG that the camera sent, if viewers may see it as it is; else None."""
    drawing = view.drawing
    is_open = drawing.show and not drawing.blur and not view.notice
    return view.frame.picture.jpeg if is_open else None


def color_of(label: str) -> Bgr:
    """Return the color of an expression as BGR; gray for an unknown label."""
    return COLORS.get(label, UNSURE)


def _scale(bgr: ImageBgr) -> float:
    """Return the scale of the drawing, 1 at 480 rows; text below 0.8 is illegible."""
    return max(int(bgr.shape[0]) / 480, 0.8)


def _frame_box(bgr: ImageBgr) -> Box:
    return Box(0, 0, bgr.shape[1], bgr.shape[0])


def _moved_inside(box: Box, frame: Box) -> Box:
    """Return `box` moved into `frame` by the smallest shift; its top-left corner has priority."""
    x = max(min(box.x, frame.w - box.w), 0.0)
    y = max(min(box.y, frame.h - box.h), 0.0)
    return Box(x, y, box.w, box.h)


def _fill(bgr: ImageBgr, box: Box, color: Bgr) -> None:
    corner = (round(box.x), round(box.y))
    far = (round(box.x + box.w) - 1, round(box.y + box.h) - 1)
    cv2.rectangle(bgr, corner, far, color, cv2.FILLED)


def _darken(bgr: ImageBgr, box: Box, keep: float) -> None:
    """Multiply the pixels in `box` by `keep`, 0 to 1."""
    x, y = max(round(box.x), 0), max(round(box.y), 0)
    part = bgr[y : round(box.y + box.h), x : round(box.x + box.w)]
    part[:] = (part * keep).astype(np.uint8)


def _draw_outline(bgr: ImageBgr, box: Box, color: Bgr, scale: float) -> None:
    """Draw a rectangle with a dark rim, visible on any background."""
    corner, far = (round(box.x), round(box.y)), (round(box.x + box.w), round(box.y + box.h))
    line = max(2, round(2 * scale))
    cv2.rectangle(bgr, corner, far, BLACK, line + 2)
    cv2.rectangle(bgr, corner, far, color, line)


def _draw_tag(bgr: ImageBgr, face: Face, scale: float) -> Box:
    """Write "#id label score" above the face, or below it at the top edge; return the tag's box."""
    image = _tag(f"#{face.id} {face.label} {face.score:.2f}", color_of(face.label), scale)
    h, w = image.shape[:2]
    above = face.box.y - h - scale
    y = above if above >= 0 else face.box.y + face.box.h + scale
    tag = _moved_inside(Box(face.box.x - scale, y, w, h), _frame_box(bgr))
    left, top = round(tag.x), round(tag.y)
    part = bgr[top : top + h, left : left + w]
    part[:] = image[: part.shape[0], : part.shape[1]]
    return tag


@lru_cache(maxsize=TAGS)
def _tag(text: str, color: Bgr, scale: float) -> ImageBgr:
    """Return `text` on `color`."""
    size, pad = 0.5 * scale, 5 * scale
    w, h = text_size(text, size)
    tag = np.full((round(h + 2 * pad), round(w + 2 * pad), 3), color, np.uint8)
    put_text(tag, text, Point(pad, pad + h), size, _ink_on(color))
    return tag


@cache
def _ink_on(color: Bgr) -> Bgr:
    """Return black or white, whichever is more legible on `color` (WCAG 2.2 relative luminance)."""
    linear = [(c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4) for c in color]
    luminance = 0.0722 * linear[0] + 0.7152 * linear[1] + 0.2126 * linear[2]
    return BLACK if luminance > 0.179 else WHITE


def _draw_scores(
    bgr: ImageBgr, face: Face, labels: Sequence[str], taken: Sequence[Box], scale: float
) -> Box:
    """Draw a panel of score bars where it covers least of `taken`; return the panel's box."""
    names = tuple(labels)
    panel = _panel(names, scale)
    bars_px = tuple([max(round(panel.bar_px * score), 1) for score in face.scores])
    best = face.scores.index(max(face.scores)) if bars_px else None
    keep, ink = _scored(names, scale, bars_px, best)
    h, w = keep.shape[:2]
    place = _beside(face.box, (w, h), _frame_box(bgr), taken, gap=4 * scale)
    x, y = round(place.x), round(place.y)
    part = bgr[y : y + h, x : x + w]
    shown = slice(part.shape[0]), slice(part.shape[1])
    cv2.multiply(part, keep[shown], dst=part, scale=1 / 255)
    cv2.max(part, ink[shown], dst=part)
    return place


@lru_cache(maxsize=PANELS)
def _scored(
    labels: tuple[str, ...], scale: float, bars_px: tuple[int, ...], best: int | None
) -> tuple[ImageBgr, ImageBgr]:
    """Return what a panel with bars of these lengths keeps of the picture, and what it adds."""
    panel = _panel(labels, scale)
    keep, ink = panel.keep.copy(), panel.names.copy()
    if best is not None:
        put_text(ink, labels[best], panel.lines[best], 0.38 * scale, WHITE)
    for label, bar_px, track in zip(labels, bars_px, panel.tracks, strict=False):
        bar = track._replace(w=float(bar_px))
        _fill(keep, bar, BLACK)
        _fill(ink, bar, color_of(label))
    return keep, ink


@dataclass(frozen=True, slots=True)
class _Panel:
    """The parts of the score panel that do not depend on the scores, drawn once.

    `keep` is how much of the picture stays visible, of 255; `names` are the labels on black. Both
    have the panel's size. `lines` are the labels' positions, `tracks` the boxes of full bars, which
    are `bar_px` long.
    """

    keep: ImageBgr
    names: ImageBgr
    lines: Sequence[Point]
    tracks: Sequence[Box]
    bar_px: float


@lru_cache(maxsize=PANELS)  # frames of one camera have one size, and so has the stream's width
def _panel(labels: tuple[str, ...], scale: float) -> _Panel:
    size, pad, row = 0.38 * scale, 5 * scale, 13 * scale
    names_w = max((text_size(label, size)[0] for label in labels), default=0)
    bar_w = 52 * scale
    shape = (round(row * len(labels) + pad), round(names_w + bar_w + 3 * pad), 3)
    keep, names = np.full(shape, 0.35 * 255, np.uint8), np.zeros(shape, np.uint8)
    tops = [pad / 2 + index * row for index in range(len(labels))]
    lines = [Point(pad, top + row * 0.75) for top in tops]
    tracks = [Box(names_w + 2 * pad, top + row * 0.2, bar_w, row * 0.6) for top in tops]
    for label, line, track in zip(labels, lines, tracks, strict=True):
        put_text(names, label, line, size, (200, 200, 200))
        _darken(keep, track, 0.5)
    return _Panel(keep, names, lines, tracks, bar_w)


def _beside(
    face: Box, size: tuple[float, float], frame: Box, taken: Sequence[Box], gap: float
) -> Box:
    """Return a box of `size` right of, left of, below or above `face`, the first free one."""
    w, h = size
    places = (
        Box(face.x + face.w + gap, face.y, w, h),
        Box(face.x - gap - w, face.y, w, h),
        Box(face.x, face.y + face.h + 6 * gap, w, h),
        Box(face.x, face.y - 6 * gap - h, w, h),
    )
    best, least = places[0], math.inf
    for place in places:
        inside = _moved_inside(place, frame)
        covered = sum([inside.shared_area(other) for other in taken])
        if covered < least:
            best, least = inside, covered
        if not covered:
            break
    return best


def _notice_picture(bgr: ImageBgr, view: View) -> ImageBgr:
    """Draw the notice and the time on the darkened frame; a frame of id 0 has no time."""
    _darken(bgr, _frame_box(bgr), 0.3)
    scale = _scale(bgr)
    size, small = 0.8 * scale, 0.5 * scale
    width = bgr.shape[1] * 0.85
    lines = [(line, size, WHITE) for line in _wrapped(view.notice, size, width)]
    time = "no picture yet"
    if view.frame.id:
        time = f"last picture {view.frame.captured_at:%Y-%m-%d %H:%M:%S} UTC"
    lines += [(line, small, UNSURE) for line in _wrapped(time, small, width)]
    step = 34 * scale
    y = (bgr.shape[0] - step * (len(lines) - 1)) / 2
    for text, line_size, color in lines:
        w, h = text_size(text, line_size)
        put_text(bgr, text, Point((bgr.shape[1] - w) / 2, y + h / 2), line_size, color)
        y += step
    return bgr


def _wrapped(text: str, size: float, width: float) -> list[str]:
    """Break `text` into lines of at most `width` pixels, between words where possible."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if text_size(longer, size)[0] <= width:
            lines[-1] = longer
            continue
        lines += _broken(word, size, width)
    return [line for line in lines if line]


def _broken(word: str, size: float, width: float) -> list[str]:
    """Break `word`, for instance an address, into pieces of at most `width` pixels."""
    pieces = [""]
    for letter in word:
        if pieces[-1] and text_size(pieces[-1] + letter, size)[0] > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces
