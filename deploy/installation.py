"""Installs, upgrades and removes the service, and adds cameras to it."""

from __future__ import annotations

import re
import shutil
import socket
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from deploy import release, service
from deploy.layout import MAIN, DeployError, Layout, run
from deploy.settings import new_settings, quoted, settings, with_values

SOURCE = Path(__file__).resolve().parent.parent
PACKAGED = Path("/usr/lib/mien")
LOG = "journalctl -u 'edge-daemon*' -n 30"
DOCTOR = "sudo mien doctor"
NOT_INSTALLED = "Mien is not installed here; fix: sudo make install."


def install(layout: Layout, *, also_main: bool = True) -> None:
    """Install this release or upgrade to it, and restart the units that ran.

    If a unit does not start, the earlier release is started again. `also_main` also enables and
    starts edge-daemon.service if it did not run.
    """
    if layout.packaged and SOURCE != PACKAGED:
        raise DeployError("Mien is installed as a package; upgrade it with apt, or apt purge mien.")
    before = layout.running_release()
    new = release.build(SOURCE, layout)
    token = "" if layout.config.exists() else _write_config(new, layout)
    try:
        _check_configs(new, layout)
        _switch(new, before, layout, also_main=also_main)
        _report(new, before, layout)
    finally:
        if token:
            print("Watch here; this address contains the access token and is shown only now:")
            print(f"    {_url(layout, token)}")


def build(layout: Layout) -> None:
    """Build this release without a service, for a container."""
    release.link(release.build(SOURCE, layout), layout)


def upgrade(layout: Layout) -> None:
    """Switch to this release; units that did not run stay stopped."""
    if layout.running_release() is None:
        raise DeployError(NOT_INSTALLED)
    install(layout, also_main=False)


def add_camera(layout: Layout, name: str, source: str, port: int) -> None:
    """Write /etc/mien/NAME.yaml with the settings of all cameras, and start edge-daemon@NAME."""
    new = layout.running_release()
    path = layout.settings / f"{name}.yaml"
    if new is None or not layout.config.exists():
        raise DeployError(NOT_INSTALLED)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name) or name == "config":
        raise DeployError(f"{name!r} cannot name a camera; use the letters a to z, digits and '-'.")
    if path.exists():
        raise DeployError(
            f"{path} exists already; edit it, then: sudo systemctl restart edge-daemon@{name}"
        )
    text = with_values(
        (new / "config.yaml").read_text(encoding="utf-8"),
        _paths(f"/{name}")
        | {"camera.name": quoted(name), "camera.source": quoted(source), "web.port": str(port)}
        | _shared(layout.config.read_text(encoding="utf-8")),
    )
    _write_private(path, text)
    service.prepare(layout)
    unit = f"edge-daemon@{name}.service"
    service.enable(unit, layout)
    if not layout.staged:
        service.start([unit])
    print(
        f"{unit} serves port {port}; its configuration is {path}, its token or password that of "
        f"{layout.config}."
    )


def uninstall(layout: Layout) -> None:
    """Remove the service, its code, configuration, events, snapshots and account."""
    if layout.packaged:
        raise DeployError("Mien is installed as a package; remove it with: sudo apt purge mien.")
    service.stop(layout)
    gone = [*layout.system_files.values(), layout.home, layout.settings, *layout.data]
    gone += (layout.root / "run").glob("mien-*")
    for path in gone:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for place in layout.system_files.values():
        _remove_empty(place.parent)
    service.forget_user(layout)
    service.reload_after_removal(layout)
    print("removed Mien, its configuration, events and account.")


def _remove_empty(folder: Path) -> None:
    """Remove a folder if it is empty; below share, also remove its empty parent."""
    if folder.name == "bin":
        return
    with suppress(OSError):  # it still holds files of others
        folder.rmdir()
        if folder.parent.parent.name == "share" and folder.parent.name != "man":
            folder.parent.rmdir()


def _switch(new: Path, before: Path | None, layout: Layout, *, also_main: bool) -> None:
    release.switch(new, layout)
    service.prepare(layout)
    if also_main:
        service.enable(MAIN, layout)
    if not layout.staged:
        _start(new, before, layout, also_main=also_main)
    release.prune(layout, new, before)


def _start(new: Path, before: Path | None, layout: Layout, *, also_main: bool) -> None:
    """Start the units on the new release; go back to the earlier release if a unit does not run."""
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
            raise DeployError(f"{error}; see: {LOG}; examine with: {DOCTOR}") from error
        _go_back(before, layout, units, f"{new.name} does not run: {error}")
    print("\n".join(f"{unit} runs" for unit in units) or "no unit ran, so none was started")


def _go_back(before: Path, layout: Layout, units: list[str], why: str) -> NoReturn:
    release.switch(before, layout)
    service.prepare(layout)
    try:
        service.restart(units)
    except DeployError as error:
        raise DeployError(
            f"{why}; {before.name} does not run any more either: {error}; see: {LOG}"
        ) from error
    raise DeployError(f"{why}; went back to {before.name}, which runs; see: {LOG}")


def _check_configs(new: Path, layout: Layout) -> None:
    """Raise DeployError if the new release refuses a configuration in use."""
    for path in sorted(layout.settings.glob("*.yaml")):
        run(
            [new / "venv/bin/python", "-m", "edge_daemon", "check-config", "--config", path],
            cwd=new,
        )


def _write_config(new: Path, layout: Layout) -> str:
    """Write the first configuration, which lets the network reach the page; return its token."""
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
    """Return the settings that all cameras share: access, broker and updates."""
    return {
        setting.key: setting.value
        for setting in settings(text)
        if setting.key.startswith(("web.", "mqtt.", "models."))
        and setting.key not in {"web.port", "models.folder"}
    }


def _write_private(path: Path, text: str) -> None:
    """Write a file that only root can read; mien.tmpfiles gives it the service's group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o640)
    path.write_text(text, encoding="utf-8")


def _report(new: Path, before: Path | None, layout: Layout) -> None:
    print(f"installed {new.name} in {layout.home}; its configuration is {layout.config}")
    if before is None or before == new:
        return
    samples = [(folder / "config.yaml").read_text(encoding="utf-8") for folder in (before, new)]
    for setting in new_settings(*samples):
        print(f"new setting {setting.key}; it has its default until you set it:  {setting.line}")


def _url(layout: Layout, token: str) -> str:
    values = {s.key: s.value for s in settings(layout.config.read_text(encoding="utf-8"))}
    return f"http://{_address()}:{values['web.port']}/?token={token}"


def _address() -> str:
    """Return this machine's address on its network, or its name without a network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; only chooses a route
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
