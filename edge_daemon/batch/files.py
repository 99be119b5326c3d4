"""Finds the pictures and videos that the user named, and distinguishes them by content.

The file name matters in two cases only: a raw MJPEG video begins like a JPEG, and a damaged file is
reported if it has the suffix of a picture or a video.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from edge_daemon.core.errors import UserError
from edge_daemon.core.picture_header import JPEG, picture_format

Kind = Literal["picture", "video"]

HEAD_BYTES: Final = 4096
ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
TRANSPORT_STREAM: Final = re.compile(rb"(?s)(?:G.{187}){4}G|(?:G.{191}){4}G")

PICTURE_SUFFIXES: Final = frozenset(
    {
        ".avif", ".bmp", ".gif", ".heic", ".heif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg",
        ".jpg_large", ".jxl", ".mpo", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
    }
)  # fmt: skip
VIDEO_SUFFIXES: Final = frozenset(
    {
        ".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".flv", ".h264", ".h265", ".hevc", ".m2ts",
        ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogm",
        ".ogv", ".vob", ".webm", ".wmv",
    }
)  # fmt: skip
MJPEG_SUFFIXES: Final = frozenset({".mjpeg", ".mjpg"})
AUDIO_SUFFIXES: Final = frozenset({".m4a", ".m4b", ".mka", ".oga", ".opus", ".spx", ".wma"})
AUDIO_BRANDS: Final = frozenset({b"M4A ", b"M4B ", b"M4P ", b"F4A "})
OGG_VIDEO_CODECS: Final = (b"\x80theora", b"OVP80", b"BBCD")
QUICKTIME_ATOMS: Final = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
NAL_UNITS: Final = frozenset({0x09, 0x27, 0x40, 0x46, 0x47, 0x67})  # that begin H.264 and H.265
VIDEO_SIGNATURES: Final = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"FLV\x01",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF, WMV
    b"\x00\x00\x01\xba",  # MPEG program stream, VOB
    b"\x00\x00\x01\xb3",  # MPEG-1 and MPEG-2 video
    b"\x06\x0e\x2b\x34",  # MXF
    b"\x1f\x07\x00",  # DV
    b"DKIF",  # IVF
    b".RMF",
    b"YUV4MPEG2 ",
    b"nut/multimedia container",
)

# Names that operating systems create in folders.
SYSTEM_NAMES: Final = frozenset({".ds_store", "__macosx", "thumbs.db", "desktop.ini"})

# The suffixes of copies by the picture's format. A picture keeps a suffix that is listed here,
# otherwise its copy has the first one. Formats that are not listed are copied as JPEG.
COPY_SUFFIXES: Final = {
    JPEG: (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WebP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".png",),
    "PNM": (".png",),
}


class ClassifyError(UserError):
    """The request cannot be carried out; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Job:
    """A file to read.

    `name` is the path as the user wrote it, `path` the absolute one, and `copy` the path of the
    annotated copy, None for no copy.
    """

    name: str
    path: Path
    kind: Kind
    copy: Path | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that was skipped; `reason` names it and says why.

    If `is_partly_read`, only the rest of the file was skipped.
    """

    reason: str
    is_partly_read: bool = False


@dataclass(slots=True)
class Search:
    """The files to read, those that cannot be read, and counts of all other files by kind."""

    jobs: list[Job] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


class _Copies:
    """Assigns a unique path in the folder `out` to every annotated copy."""

    def __init__(self, out: Path | None) -> None:
        self.out = None if out is None else out.resolve()
        self._taken: set[Path] = set()

    def place(self, relative: Path, kind: Kind, head: bytes) -> Path | None:
        """Return the path of a copy, numbered if the name is taken; None without `out`."""
        if self.out is None:
            return None
        name = _copy_name(relative, kind, picture_format(head))
        copy, number = self.out / name, 1
        while copy in self._taken:
            number += 1
            copy = self.out / name.with_name(f"{name.stem}-{number}{name.suffix}")
        self._taken.add(copy)
        return copy


def find_files(paths: Sequence[str], out: Path | None = None) -> Search:
    """Find the files named in `paths`, and all pictures and videos in the folders named there.

    Files of a folder are sorted by path. Hidden files and folders and the folder `out` are not
    read. Raises ClassifyError if a copy would overwrite one of the files.
    """
    search = Search()
    copies = _Copies(out)
    for text in paths:
        path = Path(text)
        try:
            if not text:
                raise FileNotFoundError(errno.ENOENT, "an empty name is not a file")
            if not path.exists() and (reason := _why_no_file(text)):
                raise FileNotFoundError(errno.ENOENT, reason)
            if stat.S_ISDIR(path.stat().st_mode):
                _add_folder(search, path, copies)
            else:
                _add_named_file(search, path, copies)
        except OSError as error:
            search.unreadable.append(Unreadable(f"{text or repr(text)}: {_reason(error)}"))
    _refuse_overwriting(search.jobs)
    return search


def kind_of(head: bytes, suffix: str) -> Kind | None:
    """Return the kind of a file, given its first HEAD_BYTES and its suffix; None if unknown."""
    suffix = suffix.lower()
    found = picture_format(head)
    if found == JPEG and suffix in MJPEG_SUFFIXES:
        return "video"
    if found is not None:
        return "picture"
    if _is_video(head, suffix):
        return "video"
    if suffix in PICTURE_SUFFIXES:
        return "picture"
    return "video" if suffix in VIDEO_SUFFIXES else None


def _is_video(head: bytes, suffix: str) -> bool:
    if suffix in AUDIO_SUFFIXES:
        return False
    if head[4:8] == b"ftyp":
        return head[8:12] not in AUDIO_BRANDS
    if head.startswith(b"OggS"):
        return suffix in VIDEO_SUFFIXES or any(codec in head for codec in OGG_VIDEO_CODECS)
    if head.startswith((b"\x00\x00\x01", b"\x00\x00\x00\x01")):
        after = head.index(b"\x01") + 1
        if head[after : after + 1] and head[after] in NAL_UNITS:
            return True
    return (
        head.startswith(VIDEO_SIGNATURES)
        or head[4:8] in QUICKTIME_ATOMS
        or (head[:4] == b"RIFF" and head[8:12] in {b"AVI ", b"AVIX", b"AMV "})
        or _is_transport_stream(head)
    )


def _is_transport_stream(head: bytes) -> bool:
    """Search for the byte 0x47 in five packets in a row, of 188 bytes or, in M2TS files, 192.

    Recordings that were cut begin within a packet. 0x47 is the letter G, so text is excluded by
    requiring a zero byte.
    """
    return b"\0" in head and TRANSPORT_STREAM.search(head) is not None


def _add_named_file(search: Search, path: Path, copies: _Copies) -> None:
    head = _head(path)
    kind = kind_of(head, path.suffix)
    if kind is None:
        reason = "is neither a picture nor a video that can be read" if head else "is empty"
        search.unreadable.append(Unreadable(f"{path} {reason}"))
        return
    copy = copies.place(Path(path.name), kind, head)
    search.jobs.append(Job(str(path), path.resolve(), kind, copy))


def _add_folder(search: Search, folder: Path, copies: _Copies) -> None:
    before = len(search.jobs) + len(search.unreadable)
    for path in _walk(search, folder, copies.out):
        try:
            if not path.is_file():
                path.lstat()
                what = "broken links" if path.is_symlink() else "special files"
                search.ignored[what] += 1
                continue
            head = _head(path)
        except OSError as error:
            search.unreadable.append(Unreadable(f"{path}: {_reason(error)}"))
            continue
        kind = kind_of(head, path.suffix)
        if kind is None:
            search.ignored[f"{path.suffix.lower()} files" if path.suffix else "other files"] += 1
            continue
        copy = copies.place(path.relative_to(folder), kind, head)
        search.jobs.append(Job(str(path), path.resolve(), kind, copy))
    if len(search.jobs) + len(search.unreadable) == before:
        search.unreadable.append(
            Unreadable(f"the folder {folder} contains neither a picture nor a video")
        )


def _walk(search: Search, folder: Path, out: Path | None) -> Iterator[Path]:
    """Yield the files in `folder` and its subfolders sorted by path; count the ignored ones."""

    def skip_folder(error: OSError) -> None:
        search.unreadable.append(Unreadable(f"the folder {error.filename}: {_reason(error)}"))

    found: list[Path] = []
    for top, folders, files in os.walk(folder, onerror=skip_folder):
        visible = [name for name in folders if _is_visible(search, name, "hidden folders")]
        linked = [name for name in visible if (Path(top) / name).is_symlink()]
        search.ignored.update({"links to folders": len(linked)} if linked else {})
        folders[:] = [
            name for name in visible if name not in linked and (Path(top) / name).resolve() != out
        ]
        visible_files = [name for name in files if _is_visible(search, name, "hidden files")]
        found += [Path(top) / name for name in visible_files]
    yield from sorted(found)


def _is_visible(search: Search, name: str, hidden: str) -> bool:
    """Return whether `name` is not hidden; files that systems create are not counted either."""
    if name.lower() in SYSTEM_NAMES or name.startswith("._"):
        return False
    if name.startswith("."):
        search.ignored[hidden] += 1
        return False
    return True


def _head(path: Path) -> bytes:
    """Read the first HEAD_BYTES. Raises OSError, also for devices and pipes."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "this is a device or a pipe, not a file")
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _why_no_file(text: str) -> str:
    """Return why no file has this name, if the user meant something else than a file; else ""."""
    if text == "-":
        return "standard input is not read; save the picture or video in a file"
    if ADDRESS.match(text):
        return "addresses are not read; download the file first"
    return "no file has a name like this" if any(char in text for char in "*?[") else ""


def _reason(error: OSError) -> str:
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


def _copy_name(relative: Path, kind: Kind, picture: str | None) -> Path:
    """Return the name of the copy, with the suffix of the format in which it is encoded."""
    if kind == "video":
        return relative.with_name(f"{relative.stem}.mp4")
    usual = COPY_SUFFIXES.get(picture or "", COPY_SUFFIXES[JPEG])
    if relative.suffix.lower() in usual:
        return relative
    known = relative.suffix.lower() in PICTURE_SUFFIXES
    return relative.with_name(f"{relative.stem if known else relative.name}{usual[0]}")


def _refuse_overwriting(jobs: Sequence[Job]) -> None:
    read = {job.path for job in jobs}
    for job in jobs:
        if job.copy in read:
            raise ClassifyError(f"--out would overwrite {job.copy}: name another folder")
