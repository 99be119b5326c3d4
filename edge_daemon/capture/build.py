"""Builds the function that opens the configured source."""

from __future__ import annotations

from edge_daemon.capture.opener import source_opener
from edge_daemon.capture.sources import OpenSource
from edge_daemon.config.schema import Config


def configured_source(config: Config) -> OpenSource:
    """Return a function that opens the source that the configuration names. Raises SourceError."""
    return source_opener(
        config.camera.source,
        width=config.camera.width,
        height=config.camera.height,
        fps=config.camera.fps,
        loop=config.camera.loop,
        timeout_s=config.camera.timeout_s,
        pixel_format=config.camera.pixel_format,
        controls=config.camera.controls,
        tls_verify=config.camera.tls_verify,
    )
