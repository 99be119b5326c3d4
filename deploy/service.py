"""The running units: started, watched while they settle, stopped, through systemctl."""

from __future__ import annotations

import time
from contextlib import suppress

from deploy.layout import MAIN, USER, DeployError, Layout, run

INSTANCES = "edge-daemon@*.service"
SETTLE_S = 5.0  # a unit that runs for this long after its start is taken to be well


def prepare(layout: Layout) -> None:
    """Make the account and its folder's rights, and have systemd and udev read what is new."""
    if layout.staged:
        return  # the other machine does so when it boots
    run(["systemd-sysusers", layout.system_files["mien.sysusers"]])
    run(["systemd-tmpfiles", "--create", layout.system_files["mien.tmpfiles"]])
    run(["systemctl", "daemon-reload"])
    _reload_udev()


def enable(unit: str, layout: Layout) -> None:
    """Have `unit` start at boot and when a camera is plugged in."""
    run(["systemctl", f"--root={layout.root}", "--quiet", "enable", unit])
    if not layout.staged:
        run(["systemctl", "daemon-reload"])


def running() -> list[str]:
    """The daemon's units that run, or try to."""
    listing = ["systemctl", "list-units", "--plain", "--no-legend"]
    states = "--state=active,activating,reloading,deactivating"
    return [line.split()[0] for line in run([*listing, states, MAIN, INSTANCES]).splitlines()]


def start(units: list[str]) -> None:
    """Start what does not run yet; DeployError for what does not come up and stay."""
    _bring_up("start", units)


def restart(units: list[str]) -> None:
    """Start anew; DeployError for what does not come up and stay."""
    _bring_up("restart", units)


def stop(layout: Layout) -> None:
    """Stop all units, and have none started at boot; what they made stays."""
    if layout.staged:
        return
    listing = ["systemctl", "list-units", "--all", "--plain", "--no-legend"]
    units = [line.split()[0] for line in run([*listing, MAIN, INSTANCES]).splitlines()]
    enabled = run(["systemctl", "list-unit-files", "--no-legend", MAIN, INSTANCES]).splitlines()
    units += [line.split()[0] for line in enabled if "@.service" not in line]
    for unit in dict.fromkeys(units):
        run(["systemctl", "disable", "--quiet", "--now", unit])


def forget_user(layout: Layout) -> None:
    """Delete the account; its group goes with it."""
    if layout.staged:
        return
    try:
        run(["id", USER])
    except DeployError:
        return
    run(["userdel", USER])


def reload_after_removal(layout: Layout) -> None:
    """Have systemd and udev notice that the files are gone."""
    if layout.staged:
        return
    run(["systemctl", "daemon-reload"])
    run(["systemctl", "reset-failed"])
    _reload_udev()


def _bring_up(verb: str, units: list[str]) -> None:
    for unit in units:
        with suppress(DeployError):  # it may not have been loaded yet,
            run(["systemctl", "reset-failed", unit])  # or have failed too often to be started
        try:
            run(["systemctl", verb, unit])
        except DeployError as error:
            raise DeployError(f"{unit} does not start") from error
    _settle(units)


def _settle(units: list[str]) -> None:
    """Watch them for a while: a daemon may say that it is ready and end."""
    restarts = {unit: _property(unit, "NRestarts") for unit in units}
    until_s = time.monotonic() + SETTLE_S
    while time.monotonic() < until_s:
        for unit in units:
            state = _property(unit, "ActiveState")
            if (
                state not in {"active", "reloading"}
                or _property(unit, "NRestarts") != restarts[unit]
            ):
                raise DeployError(f"{unit} starts and does not stay")
        time.sleep(0.5)


def _property(unit: str, name: str) -> str:
    return run(["systemctl", "show", "--value", "--property", name, unit]).strip()


def _reload_udev() -> None:
    """Containers have no udev."""
    with suppress(DeployError):
        run(["udevadm", "control", "--reload"])
