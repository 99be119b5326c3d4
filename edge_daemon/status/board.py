"""Reads the board's temperatures and the limits of its processor from the kernel's files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from edge_daemon.core.parts import Metric, Part, gauges
from edge_daemon.core.threads import JOIN_S, Worker

# The bits of a Raspberry Pi's get_throttled for limits that hold now. The same bits shifted by 16
# stand for limits that have held at any time since the start.
# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
LIMITS: Final = ("under_voltage", "frequency_capped", "throttled", "soft_temperature_limit")
SINCE_START: Final = 16
READ_S: Final = 1.0  # between two readings of a board that reports limits
SLOW_READ_S: Final = 5.0  # of others

# Raspberry Pi's own kernel has all bits, as a hexadecimal number. The path leads through the
# driver, because the device's own path differs between models.
THROTTLED: Final = "bus/platform/drivers/raspberrypi-firmware/*/get_throttled"
# Other kernels only have the voltage alarm (drivers/hwmon/raspberrypi-hwmon.c).
VOLTAGE_NAME: Final = "rpi_volt"
VOLTAGE_ALARM: Final = "in0_lcrit_alarm"


@dataclass(frozen=True, slots=True)
class BoardStatus:
    """The board's temperatures and limits.

    `temperatures_c` are in °C by thermal zone, such as "thermal_zone0 cpu-thermal". `limits` are
    those of LIMITS that hold now, `limits_before` those that have held at any time since the
    board's start. Both are None if the kernel does not report them.
    """

    temperatures_c: Mapping[str, float]
    limits: tuple[str, ...] | None
    limits_before: tuple[str, ...] | None


class Board:
    """Reads the kernel's files under `sys`; missing or broken files are ignored."""

    def __init__(self, sys: Path = Path("/sys")) -> None:
        self._sys = sys
        self.status = self.read()

    def read(self) -> BoardStatus:
        """Read everything again, and store it in `status`; this takes about a millisecond."""
        bits = self._bits()
        self.status = BoardStatus(
            temperatures_c=dict(self._temperatures()),
            limits=None if bits is None else _named(bits),
            limits_before=None if bits is None else _named(bits >> SINCE_START),
        )
        return self.status

    def _temperatures(self) -> Iterator[tuple[str, float]]:
        for zone in sorted(self._sys.glob("class/thermal/thermal_zone*")):
            with suppress(OSError, ValueError):
                kind = (zone / "type").read_text().strip()
                yield f"{zone.name} {kind}", int((zone / "temp").read_text()) / 1000

    def _bits(self) -> int | None:
        for path in self._sys.glob(THROTTLED):
            with suppress(OSError, ValueError):
                return int(path.read_text(), 16)
        for path in self._sys.glob("class/hwmon/hwmon*/name"):
            with suppress(OSError, ValueError):
                if path.read_text().strip() == VOLTAGE_NAME:
                    return int((path.parent / VOLTAGE_ALARM).read_text()) & 1
        return None


class BoardPart(Part[Any]):
    """Reads the board again and again, and passes its limits to `on_limits`, in its own thread."""

    name = "board"

    def __init__(
        self,
        on_limits: Callable[[Sequence[str] | None], None],
        *,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._board = Board()
        self._on_limits = on_limits
        self._stop = threading.Event()
        self._worker = Worker("board", self._run, on_failure)

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        self._stop.set()
        self._worker.join(JOIN_S)

    def report(self) -> dict[str, Any]:
        return {"board": asdict(self._board.status)}

    def metrics(self) -> Iterable[Metric]:
        status = self._board.status
        temperatures = status.temperatures_c.items()
        yield gauges(
            "mien_temperature_celsius", "Temperatures of thermal zones.", "zone", temperatures
        )
        for name, text, limits in (
            ("mien_board_limit", "1 for a limit that throttles the board now.", status.limits),
            (
                "mien_board_limit_since_start",
                "1 for a limit that has throttled the board since its start.",
                status.limits_before,
            ),
        ):
            if limits is not None:
                yield gauges(
                    name, text, "limit", [(each, float(each in limits)) for each in LIMITS]
                )

    def _run(self) -> None:
        while not self._stop.is_set():
            limits = self._board.read().limits
            self._on_limits(limits)
            self._stop.wait(SLOW_READ_S if limits is None else READ_S)


def _named(bits: int) -> tuple[str, ...]:
    return tuple(name for place, name in enumerate(LIMITS) if bits >> place & 1)
