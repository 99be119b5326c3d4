"""`python -m edge_daemon`: run the daemon, classify files, check a configuration or the device."""

from __future__ import annotations

import argparse
import getpass
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from edge_daemon import __version__
from edge_daemon.config.file import load_config
from edge_daemon.config.schema import Config
from edge_daemon.core.errors import UserError
from edge_daemon.memory import share_heap

# Read by libraries when imported: OpenCV quiet, and no ten seconds for a silent V4L2 device; no
# threads for large matrices, of which there are none.
LIBRARY_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OPENCV_IO_MAX_IMAGE_PIXELS": "40000000",
    "OPENCV_LOG_LEVEL": "ERROR",
    "OPENCV_FFMPEG_LOGLEVEL": "8",
    "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT": "3",
}


def main(argv: list[str] | None = None) -> int:
    """The exit code: 0 after a clean stop, 1 after a failure, 2 for what the user must mend."""
    options = _parser().parse_args(argv)
    makers: dict[str, Callable[[argparse.Namespace], int]] = {
        "hash-password": _hash_password,
        "new-token": _new_token,
        "sign": _sign,
    }
    if make := makers.get(options.command):
        return make(options)

    def load() -> Config:
        return load_config(options.config, options.set, os.environ)

    try:
        config = load()
    except UserError as error:
        return _refuse(error)
    if options.command == "check-config":
        print(f"{options.config}: valid")
        return 0
    if options.command == "classify":  # the largest photos that telephones take
        os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "256000000")
    for name, value in LIBRARY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if options.command == "classify":
        return _printing(lambda: _classify(options, config))
    if options.command == "doctor":
        return _printing(lambda: _doctor(options, config))
    return _run(config, load)


def _run(config: Config, load: Callable[[], Config]) -> int:
    _log(logging.INFO)
    share_heap()
    from edge_daemon import app  # noqa: PLC0415

    try:
        return app.run(config, load)
    except UserError as error:
        return _refuse(error)


def _doctor(options: argparse.Namespace, config: Config) -> int:
    _log(logging.ERROR)  # what is less than that is among the findings
    from edge_daemon.doctor import command as doctor  # noqa: PLC0415

    return doctor.run(config, config_file=options.config, as_json=options.json)


def _classify(options: argparse.Namespace, config: Config) -> int:
    _log(logging.WARNING)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from edge_daemon.batch import command as classify  # noqa: PLC0415

    request = classify.Request(
        tuple(options.paths), options.out, options.format, options.workers, options.ray
    )
    try:
        return classify.run(request, config)
    except UserError as error:
        return _refuse(error)


def _printing(work: Callable[[], int]) -> int:
    """The exit code of `work`, which whoever reads its output may end."""
    try:
        return work()
    except BrokenPipeError:  # enough has been seen
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def _log(level: int) -> None:
    logging.basicConfig(level=level, format="%(levelname)s %(message)s", stream=sys.stderr)


def leave(code: int) -> NoReturn:
    """Exit; at once where a thread still hangs in a driver.

    If its call came back during the interpreter's own end, the process would abort.
    """
    logging.shutdown()
    if threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _hash_password(_: argparse.Namespace) -> int:
    """Print the hash of a password typed twice, or of the one line that stands in a pipe."""
    from edge_daemon.web.credentials import hash_password  # noqa: PLC0415 (it loads werkzeug)

    typed = sys.stdin.isatty()
    password = getpass.getpass("Password: ") if typed else sys.stdin.readline().rstrip("\n")
    if typed and getpass.getpass("Again: ") != password:
        return _refuse(ValueError("the two are not the same."))
    try:
        print(hash_password(password))
    except ValueError as error:
        return _refuse(error)
    return 0


def _new_token(_: argparse.Namespace) -> int:
    from edge_daemon.web.credentials import hash_token, new_token  # noqa: PLC0415

    token = new_token()
    print(f"token, for the program, shown only now: {token}")
    print(f"web.token, for the configuration:       {hash_token(token)}")
    return 0


def _sign(options: argparse.Namespace) -> int:
    try:
        from edge_daemon.updates.publish import publish  # noqa: PLC0415

        manifest, public = publish(options.model, options.version, options.key)
    except ImportError:
        return _refuse(ValueError("signing needs the package cryptography: pip install it."))
    except (UserError, OSError, ValueError) as error:
        return _refuse(error)
    print(f"{manifest}: {options.model.name} as version {options.version}")
    print(f"models.key, for the configuration: {public}")
    return 0


def _refuse(error: Exception) -> int:
    for line in str(error).splitlines():
        print(f"edge_daemon: {line}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edge_daemon", description=__doc__)
    parser.add_argument("--version", action="version", version=f"mien {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("hash-password", help="print the hash of a password, for web.password")
    commands.add_parser("new-token", help="print a new token, and its hash for web.token")
    for name, what in (
        ("run", "watch the camera until told to stop"),
        ("check-config", "say whether a configuration is valid"),
        (
            "doctor",
            "examine this device and say what mends it; 0 all well, 1 a warning, 2 an error",
        ),
        ("classify", "print the faces of pictures and videos, a line for each picture"),
    ):
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("--config", type=Path, default=Path("config.yaml"))
        command.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="override a setting, e.g. --set camera.source=demo",
        )
        if name == "classify":
            _add_files(command)
        if name == "doctor":
            command.add_argument("--json", action="store_true", help="print the findings as JSON")
    what = "write the signed manifest of a model that devices are to fetch, for its publisher"
    command = commands.add_parser("sign", help=what, description=what)
    command.add_argument("model", type=Path)
    command.add_argument("--version", type=_positive, required=True, help="larger than any before")
    command.add_argument("--key", type=Path, default=Path("models.key"), help="made if missing")
    return parser


def _add_files(command: argparse.ArgumentParser) -> None:
    command.add_argument("paths", nargs="+", metavar="PATH", help="a picture, a video, or a folder")
    command.add_argument("--out", type=Path, metavar="DIR", help="write annotated copies there")
    command.add_argument("--format", choices=("jsonl", "csv"), default="jsonl")
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--workers", type=_positive, metavar="N", help="processes, by default one for each core"
    )
    where.add_argument(
        "--ray", default="", metavar="ADDRESS", help="a Ray cluster: auto, local, ray://HOST:10001"
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


if __name__ == "__main__":
    leave(main())
