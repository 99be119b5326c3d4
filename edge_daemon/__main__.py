"""The command `mien`, which is also `python -m edge_daemon`."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

OLDEST = (3, 11)


def main() -> int:
    """Run a command; return its exit code: 0, 1 after a failure, 2 if the user must fix something.

    It imports everything else itself. So Ctrl-C never prints a traceback, not even during the
    imports, and a missing package is reported in one sentence.
    """
    _open_missing_streams()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.version_info < OLDEST:
        return _refuse(f"Python {sys.version.split()[0]} is too old; use 3.11, 3.12 or 3.13")
    try:
        from edge_daemon import commands  # noqa: PLC0415

        return commands.main()
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package in {"", "edge_daemon"}:
            raise
        trouble = "is not installed for"
        if not isinstance(error, ModuleNotFoundError):
            trouble = f"is damaged ({str(error).strip().splitlines()[-1]}) in"
        return _refuse(
            f"the package {package!r} {trouble} {sys.executable}; fix: {_installation()}"
        )


def _open_missing_streams() -> None:
    """Let standard streams that the caller closed lead nowhere.

    Otherwise the next file that is opened would receive what libraries write to descriptor 1 or 2.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


def _refuse(sentence: str) -> int:
    print(f"mien: {sentence}", file=sys.stderr)
    return 2


def _installation() -> str:
    """Return the command that installs the packages."""
    from pathlib import Path  # noqa: PLC0415

    checkout = Path(__file__).resolve().parents[1]
    mien = f"{checkout}[edge]" if (checkout / "pyproject.toml").exists() else "mien-….whl[edge]"
    return f"{sys.executable} -m pip install --force-reinstall '{mien}'"


def leave(code: int) -> NoReturn:
    """Exit with `code`; skip the interpreter's shutdown while other threads run.

    A thread may hang in a driver. If its call returned during the shutdown, the process would
    abort.
    """
    import logging  # noqa: PLC0415
    import threading  # noqa: PLC0415

    logging.shutdown()
    if threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run() -> NoReturn:
    """Run a command and exit: the entry point of the installed `mien`."""
    leave(main())


if __name__ == "__main__":
    run()
