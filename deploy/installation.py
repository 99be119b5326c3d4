"""The whole installation: made, gone over to another release, given a camera more, removed."""

from __future__ import annotations

import re
import shutil
import socket
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from deploy import release, service
from deploy.layout import MAIN, DeployError, Layout, run
from deploy.settings import new_settings, settings, with_values

SOURCE = Path(__file__).resolve().parent.parent
PACKAGED = Path("/usr/lib/mien")
LOG = "journalctl -u 'edge-daemon*' -n 30"
DOCTOR = (
    "cd /opt/mien/current && "
    "sudo -u mien venv/bin/python -m edge_daemon doctor --config /etc/mien/config.yaml"
)
NOT_INSTALLED = "nothing is installed here yet: sudo make install."


def install(layout: Layout, *, also_main: bool = True) -> None:
    """Install this release, or upgrade to it; what ran runs again, on failure as it was before.

    `also_main` starts edge-daemon.service and has it started at boot whether it ran or not.
    """
    if layout.packaged and SOURCE != PACKAGED:
        raise DeployError("it was installed as a package: upgrade it with apt, or apt purge mien.")
    before = layout.running_release()
    new = release.build(SOURCE, layout)
    token = "" if layout.config.exists() else _write_config(new, layout)
    try:
        _check_configs(new, layout)
        _go_over(new, before, layout, also_main=also_main)
        _report(new, before, layout)
    finally:
        if token:
            print("Watch here; the address has the access token in it and is shown only now:")
            print(f"    {_url(layout, token)}")


def build(layout: Layout) -> None:
    """Make this release and no service, for a container."""
    release.link(release.build(SOURCE, layout), layout)


def upgrade(layout: Layout) -> None:
    """Go over to this release; what did not run stays as it is."""
    if layout.running_release() is None:
        raise DeployError(NOT_INSTALLED)
    install(layout, also_main=False)


def add_camera(layout: Layout, name: str, source: str, port: int) -> None:
    """Write /etc/mien/NAME.yaml, with what config.yaml has for all; start edge-daemon@NAME."""
    new = layout.running_release()
    path = layout.settings / f"{name}.yaml"
    if new is None or not layout.config.exists():
        raise DeployError(NOT_INSTALLED)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name) or name == "config":
        raise DeployError(f"{name!r} is no name for a camera: letters a to z, digits and '-' are.")
    if path.exists():
        raise DeployError(
            f"{path} is there already; edit it, then: systemctl restart edge-daemon@{name}"
        )
    text = with_values(
        (new / "config.yaml").read_text(encoding="utf-8"),
        _paths(f"/{name}")
        | {"camera.name": name, "camera.source": source, "web.port": str(port)}
        | _shared(layout.config.read_text(encoding="utf-8")),
    )
    _write_private(path, text)
    service.prepare(layout)
    unit = f"edge-daemon@{name}.service"
    service.enable(unit, layout)
    if not layout.staged:
        service.start([unit])
    print(f"{unit} runs by {path}, on port {port}, with the token or password of {layout.config}.")


def uninstall(layout: Layout) -> None:
    """Remove all of it: service, code, configuration, events, snapshots and the account."""
    if layout.packaged:
        raise DeployError("it was installed as a package: sudo apt purge mien.")
    service.stop(layout)
    gone = [*layout.system_files.values(), layout.home, layout.settings, *layout.data]
    gone += (layout.root / "run").glob("mien-*")
    for path in gone:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for folder in {place.parent for place in layout.system_files.values()}:
        with suppress(OSError):  # it holds something of others
            folder.rmdir()
    service.forget_user(layout)
    service.reload_after_removal(layout)
    print("mien is removed, its configuration, events and account too.")


def _go_over(new: Path, before: Path | None, layout: Layout, *, also_main: bool) -> None:
    release.switch(new, layout)
    service.prepare(layout)
    if also_main:
        service.enable(MAIN, layout)
    if not layout.staged:
        _start(new, before, layout, also_main=also_main)
    release.prune(layout, new, before)


def _start(new: Path, before: Path | None, layout: Layout, *, also_main: bool) -> None:
    """Start on the new release; go back to the one before where it does not run."""
    units = service.running()
    if also_main and MAIN not in units:
        units.append(MAIN)
    try:
        if new == before:
            service.start(units)
        else:
            service.restart(units)
    except DeployError as error:
        if before is None or before == new:
            raise DeployError(f"{error}; see: {LOG}; what may mend it: {DOCTOR}") from error
        _go_back(before, layout, units, f"{new.name} does not run: {error}")
    print("\n".join(f"{unit} runs" for unit in units) or "no unit ran, so that none was started")


def _go_back(before: Path, layout: Layout, units: list[str], why: str) -> NoReturn:
    release.switch(before, layout)
    service.prepare(layout)
    try:
        service.restart(units)
    except DeployError as error:
        raise DeployError(f"{why}; nor does {before.name} any more: {error}; see: {LOG}") from error
    raise DeployError(f"{why}; went back to {before.name}, which runs; see: {LOG}")


def _check_configs(new: Path, layout: Layout) -> None:
    """Nothing is touched where the new release does not take a configuration that is used."""
    for path in sorted(layout.settings.glob("*.yaml")):
        run(
            [new / "venv/bin/python", "-m", "edge_daemon", "check-config", "--config", path],
            cwd=new,
        )


def _write_config(new: Path, layout: Layout) -> str:
    """Write the first configuration: for the network, with a token of its own. The token."""
    printed = run([new / "venv/bin/python", "-m", "edge_daemon", "new-token"], cwd=new)
    token, stored = (line.split()[-1] for line in printed.splitlines())
    sample = (new / "config.yaml").read_text(encoding="utf-8")
    values = _paths("") | {"web.host": "0.0.0.0", "web.token": stored}  # noqa: S104 - has a token
    _write_private(layout.config, with_values(sample, values))
    return token


def _paths(instance: str) -> dict[str, str]:
    return {
        "events.path": f"/var/log/mien{instance}/events.jsonl",
        "snapshots.path": f"/var/lib/mien{instance}/snapshots",
        "models.folder": f"/var/lib/mien{instance}/models",
    }


def _shared(text: str) -> dict[str, str]:
    """The settings a further camera takes over: who may watch, the broker, whose updates."""
    return {
        setting.key: setting.value
        for setting in settings(text)
        if setting.key.startswith(("web.", "mqtt.", "models."))
        and setting.key not in {"web.port", "models.folder"}
    }


def _write_private(path: Path, text: str) -> None:
    """Write a file for root alone; the group that reads it comes by mien.tmpfiles."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o640)
    path.write_text(text, encoding="utf-8")


def _report(new: Path, before: Path | None, layout: Layout) -> None:
    print(f"{new.name} is installed in {layout.home}, its configuration is {layout.config}")
    if before is None or before == new:
        return
    samples = [(folder / "config.yaml").read_text(encoding="utf-8") for folder in (before, new)]
    for setting in new_settings(*samples):
        print(f"new setting {setting.key}, at its default until you set it:  {setting.line}")


def _url(layout: Layout, token: str) -> str:
    values = {s.key: s.value for s in settings(layout.config.read_text(encoding="utf-8"))}
    return f"http://{_address()}:{values['web.port']}/?token={token}"


def _address() -> str:
    """This machine's address on its network, else its name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; asks which way it would go
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
