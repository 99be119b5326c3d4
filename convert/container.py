"""A TFLite model joined with its metadata and files, and taken apart again.

The metadata goes into the flatbuffer as the buffer "TFLITE_METADATA"; the associated files follow
the flatbuffer as a zip, which any zip reader finds from the end of the file, while the runtime
reads the flatbuffer from its start
(https://ai.google.dev/edge/litert/conversion/tensorflow/metadata).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from convert import graph, metadata
from convert.errors import ConvertError

METADATA_NAME = b"TFLITE_METADATA"


def seal(model: bytes, notes: metadata.Metadata, files: Mapping[str, bytes]) -> bytes:
    """The model with its metadata inside and `files` behind it; equal inputs give equal bytes."""
    unpacked = graph.unpack(model)
    unpacked.buffers.append(_buffer(metadata.pack(notes)))
    unpacked.metadata = [entry for entry in unpacked.metadata or [] if entry.name != METADATA_NAME]
    unpacked.metadata.append(_entry(len(unpacked.buffers) - 1))
    return _with_zip(graph.pack(unpacked), files)


def read_metadata(content: bytes) -> metadata.Metadata | None:
    """The metadata inside a model, None where it has none."""
    unpacked = graph.unpack(content)
    for entry in unpacked.metadata or []:
        if entry.name == METADATA_NAME:
            return metadata.unpack(_content(unpacked.buffers, entry.buffer))
    return None


def read_files(content: bytes) -> dict[str, bytes]:
    """The associated files behind a model by name; empty where it has none."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile as error:
        raise ConvertError(f"the files inside the model are damaged: {error}") from error


def _content(buffers: Sequence[schema.BufferT], index: int) -> bytes:
    if index >= len(buffers) or buffers[index].data is None:
        raise ConvertError("the model's metadata is damaged")
    return bytes(buffers[index].data)


def _buffer(content: bytes) -> schema.BufferT:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    return buffer


def _entry(buffer: int) -> schema.MetadataT:
    entry = schema.MetadataT()
    entry.name = METADATA_NAME
    entry.buffer = buffer
    return entry


def _with_zip(content: bytes, files: Mapping[str, bytes]) -> bytes:
    """Append `files` uncompressed, so that C++ readers can map them, and with a fixed date."""
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)  # dated 1980-01-01
            info.create_system = 3  # Unix, whatever wrote it
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
    return stream.getvalue()
