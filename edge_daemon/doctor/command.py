"""The command `doctor`: runs every check and prints the findings.

It writes nothing, and does not open a camera that a running daemon uses.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from edge_daemon import __version__
from edge_daemon.config.schema import Config
from edge_daemon.doctor import machine as doctor_machine
from edge_daemon.doctor import service as doctor_service
from edge_daemon.doctor import software as doctor_software
from edge_daemon.doctor.finding import EXIT_CODES, Finding, ok, worst
from edge_daemon.doctor.service import Address
from edge_daemon.status.board import Board


def run(config: Config, *, config_file: Path, as_json: bool) -> int:
    """Print the findings; return the exit code of the worst: 0 ok, 1 warning, 2 error."""
    findings = []
    for finding in examine(config, config_file):
        findings.append(finding)
        if not as_json:
            print(_text(finding), flush=True)
    verdict = worst(findings)
    if as_json:
        found = [asdict(finding) for finding in findings]
        report = {"version": __version__, "verdict": verdict, "findings": found}
        print(json.dumps(report, ensure_ascii=False, indent=2))
    return EXIT_CODES[verdict]


def examine(config: Config, config_file: Path) -> Iterator[Finding]:
    """Run every check; those that need packages only if the packages are in order."""
    software = list(_software(config))
    yield from software
    yield doctor_machine.examine_user(config_file)
    web = config.web
    address = Address(web.host, web.port, tls=bool(web.tls_certificate))
    running = doctor_service.serves(address)
    if worst(software) != "error":
        yield from _model_and_camera(config, config_file, address.url if running else "")
        yield from _updates(config, config_file)
    yield from doctor_service.examine_service(address, running=running, config_file=config_file)
    yield from _machine(config, config_file)


def _software(config: Config) -> Iterator[Finding]:
    versions = doctor_software.installed()
    extras = [doctor_software.MQTT] if config.mqtt.host else []
    extras += [doctor_software.UPDATES] if config.models.url else []
    found = list(doctor_software.examine(versions, runtime=config.runtime, extras=extras))
    yield from found
    if worst(found) != "error":
        needed = doctor_software.requirements(versions, runtime=config.runtime, extras=extras)
        yield from doctor_software.load(versions, needed)


def _model_and_camera(config: Config, config_file: Path, daemon_url: str) -> Iterator[Finding]:
    """Check model, detector and camera; do not open the camera of a daemon at `daemon_url`."""
    from edge_daemon.capture.build import configured_source  # noqa: PLC0415
    from edge_daemon.capture.picamera import pi_cameras  # noqa: PLC0415
    from edge_daemon.capture.v4l2 import capture_devices, video_nodes  # noqa: PLC0415
    from edge_daemon.doctor import camera as doctor_camera  # noqa: PLC0415 - imports OpenCV
    from edge_daemon.doctor import model as doctor_model  # noqa: PLC0415
    from edge_daemon.pipeline.build import configured_detector, detector_folder  # noqa: PLC0415
    from edge_daemon.updates.build import with_fetched_model  # noqa: PLC0415
    from edge_daemon.updates.guard import ModelGuard  # noqa: PLC0415

    config = with_fetched_model(config, ModelGuard(None))
    model, source = Path(config.model), str(config.camera.source)
    yield from doctor_model.examine_model(model, runtime=config.runtime, config_file=config_file)
    yield doctor_model.examine_detector(
        lambda: configured_detector(config, config.detector.min_score),
        backend=config.detector.backend,
        face_range=config.detector.range,
        models_dir=detector_folder(config),
        config_file=config_file,
    )
    source = f"/dev/video{source}" if source.isdecimal() else source
    yield from doctor_camera.examine_cameras(
        video_nodes(),
        pi_cameras(),
        source=source,
        width=config.camera.width,
        height=config.camera.height,
    )
    if daemon_url:
        yield ok("picture", f"the daemon at {daemon_url} uses the camera; it was not opened")
        return
    yield doctor_camera.examine_picture(
        lambda: configured_source(config),
        source=source,
        timeout_s=config.camera.timeout_s,
        others=capture_devices(),
        config_file=config_file,
    )


def _updates(config: Config, config_file: Path) -> Iterator[Finding]:
    if not config.models.url:
        return
    from edge_daemon.doctor.updates import examine_updates  # noqa: PLC0415 (it needs an extra)

    public, folder = base64.b64decode(config.models.key), Path(config.models.folder)
    yield from examine_updates(config.models.url, public, folder, config_file)


def _machine(config: Config, config_file: Path) -> Iterator[Finding]:
    yield doctor_machine.examine_log(
        Path(config.events.path), keep_bytes=config.events.keep_mb * 1e6, config_file=config_file
    )
    if config.snapshots.enabled:
        yield doctor_machine.examine_snapshots(
            Path(config.snapshots.path),
            keep_bytes=config.snapshots.keep_mb * 1e6,
            config_file=config_file,
        )
    yield doctor_machine.examine_clock(doctor_machine.clock_state())
    yield from doctor_machine.examine_board(Board().status)


def _text(finding: Finding) -> str:
    line = f"{finding.verdict:<7}  {finding.check + ':':<12} {finding.sentence}"
    return f"{line}\n         fix: {finding.remedy}" if finding.remedy else line
