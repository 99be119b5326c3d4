"""Decodes uploaded pictures and maps refusals to HTTP statuses."""

from __future__ import annotations

from typing import Any, Final

from edge_daemon.core.picture import DecodedPicture, PictureRefused, RefusalKind, decode_picture

MAX_BYTES: Final = 10_000_000
FORMATS: Final = frozenset({"JPEG", "PNG", "WebP"})
REDUCED_PIXELS: Final = 2048 * 2048  # larger pictures are reduced before they are searched
STATUS: Final = {
    RefusalKind.UNKNOWN_FORMAT: 415,
    RefusalKind.TOO_LARGE: 413,
    RefusalKind.TOO_MANY_SCANS: 422,
    RefusalKind.DAMAGED: 422,
}


class PhotoRefused(ValueError):
    """An upload cannot be used; `status` is the HTTP status, the message one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def read_photo(content: bytes) -> DecodedPicture:
    """Decode an uploaded JPEG, PNG or WebP of at most MAX_BYTES. Raises PhotoRefused."""
    if len(content) > MAX_BYTES:
        raise PhotoRefused(413, f"The picture is larger than {MAX_BYTES // 1_000_000} MB.")
    try:
        return decode_picture(content, formats=FORMATS, reduced_pixels=REDUCED_PIXELS)
    except PictureRefused as error:
        text = str(error)
        raise PhotoRefused(STATUS[error.kind], f"{text[0].upper()}{text[1:]}.") from error


def in_own_pixels(answer: dict[str, Any], photo: DecodedPicture) -> dict[str, Any]:
    """Convert the `size` and boxes of `answer` from decoded pixels to pixels of the upload."""
    faces = [
        {**face, "box": [round(value * photo.scale, 1) for value in face["box"]]}
        for face in answer["faces"]
    ]
    return {**answer, "size": list(photo.size), "faces": faces}
