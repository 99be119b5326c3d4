"""Starts, watches and stops the units through systemctl."""

from __future__ import annotations

import time
from contextlib import suppress

from deploy.layout import MAIN, USER, DeployError, Layout, run

INSTANCES = "edge-daemon@*.service"
SETTLE_S = 5.0  # a unit that runs this long has started well


def prepare(layout: Layout) -> None:
    """Make the account and the folders, and reload systemd and udev."""
    if layout.staged:
        return  # the other machine does this at boot
    run(["systemd-sysusers", layout.system_files["systemd/mien.sysusers"]])
    run(["systemd-tmpfiles", "--create", layout.system_files["systemd/mien.tmpfiles"]])
    run(["systemctl", "daemon-reload"])
    _reload_udev()


def enable(unit: str, layout: Layout) -> None:
    """Start `unit` at boot and when a camera is plugged in."""
    run(["systemctl", f"--root={layout.root}", "--quiet", "enable", unit])
    if not layout.staged:
        run(["systemctl", "daemon-reload"])


def running() -> list[str]:
    """List the daemon's units that run or are starting."""
    listing = ["systemctl", "list-units", "--plain", "--no-legend"]
    states = "--state=active,activating,reloading,deactivating"
    return [line.split()[0] for line in run([*listing, states, MAIN, INSTANCES]).splitlines()]


def start(units: list[str]) -> None:
    """Start units. Raises DeployError for one that does not start and keep running."""
    _bring_up("start", units)


def restart(units: list[str]) -> None:
    """Restart units. Raises DeployError for one that does not start and keep running."""
    _bring_up("restart", units)


def stop(layout: Layout) -> None:
    """Stop and disable all units; their files stay."""
    if layout.staged:
        return
    listing = ["systemctl", "list-units", "--all", "--plain", "--no-legend"]
    units = [line.split()[0] for line in run([*listing, MAIN, INSTANCES]).splitlines()]
    enabled = run(["systemctl", "list-unit-files", "--no-legend", MAIN, INSTANCES]).splitlines()
    units += [line.split()[0] for line in enabled if "@.service" not in line]
    for unit in dict.fromkeys(units):
        run(["systemctl", "disable", "--quiet", "--now", unit])


def forget_user(layout: Layout) -> None:
    """Delete the account and its group."""
    if layout.staged:
        return
    try:
        run(["id", USER])
    except DeployError:
        return
    run(["userdel", USER])


def reload_after_removal(layout: Layout) -> None:
    """Reload systemd and udev after the files were removed."""
    if layout.staged:
        return
    run(["systemctl", "daemon-reload"])
    run(["systemctl", "reset-failed"])
    _reload_udev()


def _bring_up(verb: str, units: list[str]) -> None:
    for unit in units:
        # A unit that failed too often cannot be started; one that was never loaded has no state.
        with suppress(DeployError):
            run(["systemctl", "reset-failed", unit])
        try:
            run(["systemctl", verb, unit])
        except DeployError as error:
            raise DeployError(f"{unit} does not start") from error
    _settle(units)


def _settle(units: list[str]) -> None:
    """Watch the units for SETTLE_S, since a daemon may report that it is ready and then exit."""
    restarts = {unit: _property(unit, "NRestarts") for unit in units}
    until_s = time.monotonic() + SETTLE_S
    while time.monotonic() < until_s:
        for unit in units:
            state = _property(unit, "ActiveState")
            if (
                state not in {"active", "reloading"}
                or _property(unit, "NRestarts") != restarts[unit]
            ):
                raise DeployError(f"{unit} starts and then stops")
        time.sleep(0.5)


def _property(unit: str, name: str) -> str:
    return run(["systemctl", "show", "--value", "--property", name, unit]).strip()


def _reload_udev() -> None:
    with suppress(DeployError):  # containers have no udev
        run(["udevadm", "control", "--reload"])
