"""The subcommands of `mien`: parses the command line and runs one of them."""

from __future__ import annotations

import argparse
import errno
import getpass
import logging
import os
import platform
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from edge_daemon import __version__
from edge_daemon.config.file import ConfigSource, load_config
from edge_daemon.config.schema import Config
from edge_daemon.core.errors import UserError, reason_of
from edge_daemon.core.output import complain, log_formatter
from edge_daemon.options import (
    DEFAULT_CONFIG,
    add_configuration,
    add_files,
    add_report,
    positive,
)

# Libraries read these when they are imported. OpenCV and FFmpeg log only errors. OpenBLAS starts no
# threads: they would serve only larger matrices than the daemon has.
LIBRARY_ENVIRONMENT: Final = {
    "OPENBLAS_NUM_THREADS": "1",
    "OPENCV_LOG_LEVEL": "FATAL",
    "OPENCV_FFMPEG_LOGLEVEL": "8",
}
FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EIO}  # errors of writing to a full or broken disk
MAX_PIXELS: Final = "40000000"  # the largest picture that OpenCV decodes
PHOTO_PIXELS: Final = "256000000"  # the same for `classify`: the largest photos of telephones
SHARE: Final = Path(__file__).parent / "share"
COMPLETIONS: Final = {"bash": "bash/mien", "zsh": "zsh/_mien", "fish": "fish/mien.fish"}  # in SHARE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv`; return 0, 1 after a failure, 2 if the user must fix something."""
    options = command_parser().parse_args(argv)
    for name, value in LIBRARY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", options.max_pixels)
    command: Callable[[argparse.Namespace], int] = options.function
    try:
        code = command(options)
        sys.stdout.flush()
    except UserError as error:
        complain(str(error))
        code = 2
    except BrokenPipeError:  # the reader of the output has read enough
        code = 1
    except OSError as error:
        if error.filename is not None or error.errno not in FULL:
            raise
        complain(f"standard output cannot be written: {reason_of(error)}")
        code = 2
    except KeyboardInterrupt:
        code = 130
    if code:
        _discard_unwritten_output()
    return code


def _discard_unwritten_output() -> None:
    """Write what is left of standard output, if it can be written; Python does not at its exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(options: argparse.Namespace) -> int:
    from edge_daemon.memory import prepare_heap  # noqa: PLC0415

    prepare_heap()
    source = _source(options)
    _log(logging.INFO, source.load())
    from edge_daemon import app  # noqa: PLC0415

    return app.run(source, open_page=options.open)


def _check_config(options: argparse.Namespace) -> int:
    config = _config(options)
    _log(logging.ERROR, config)
    from edge_daemon import app  # noqa: PLC0415

    app.check(config)
    print(f"{options.config or 'the defaults'}: valid")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    config = _config(options)
    _log(logging.ERROR, config)  # warnings are among the findings
    from edge_daemon.doctor import command as doctor  # noqa: PLC0415

    _interrupt_by_exception()
    return doctor.run(config, config_file=options.config or DEFAULT_CONFIG, as_json=options.json)


def _classify(options: argparse.Namespace) -> int:
    config = _config(options)
    _log(logging.WARNING, config)
    from edge_daemon.batch import command as classify  # noqa: PLC0415

    _interrupt_by_exception()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    request = classify.Request(
        tuple(options.paths), options.out, options.format, options.workers, options.ray
    )
    return classify.run(request, config)


def _calibrate(options: argparse.Namespace) -> int:
    config = _config(options)
    _log(logging.WARNING, config)
    from edge_daemon import calibrate  # noqa: PLC0415

    _interrupt_by_exception()
    if options.remove:
        print(calibrate.remove(config))
        return 0
    print(f"Look at the camera with a neutral face for {options.seconds} s.", flush=True)
    print(calibrate.record(config, options.seconds))
    if not config.smoothing.calibration:
        print("Set smoothing.calibration: true to use it.")
    return 0


def _history(options: argparse.Namespace) -> int:
    config = _config(options)
    import sqlite3  # noqa: PLC0415

    from edge_daemon.history.build import database_path, rebuild  # noqa: PLC0415

    try:
        count = rebuild(config)
    except (OSError, sqlite3.Error) as error:
        raise UserError(
            f"{database_path(config)}: the history cannot be rebuilt: {reason_of(error)}."
        ) from error
    print(f"{database_path(config)}: {count:,} events counted")
    return 0


def _report(options: argparse.Namespace) -> int:
    from edge_daemon.report.command import ReportRequest, run  # noqa: PLC0415

    _interrupt_by_exception()
    return run(
        ReportRequest(
            tuple(options.logs),
            tuple(options.out),
            options.by,
            options.time_zone,
            options.least_faces,
        )
    )


def _hash_password(_: argparse.Namespace) -> int:
    """Print the hash of a password that is typed twice, or of the line on standard input."""
    from edge_daemon.web.credentials import hash_password  # noqa: PLC0415

    _interrupt_by_exception()
    typed = sys.stdin.isatty()
    try:
        password = getpass.getpass("Password: ") if typed else sys.stdin.readline().rstrip("\n")
        if typed and getpass.getpass("Again: ") != password:
            raise UserError("the two passwords are not the same.")
        print(hash_password(password))
    except (ValueError, EOFError) as error:
        raise UserError(str(error) or "no password was typed.") from error
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
    except ImportError as error:
        raise UserError("signing needs the package cryptography; fix: pip install it.") from error
    except (OSError, ValueError) as error:
        raise UserError(str(error)) from error
    print(f"{manifest}: {options.model.name} as version {options.version}")
    print(f"models.key, for the configuration: {public}")
    return 0


def _completion(options: argparse.Namespace) -> int:
    print((SHARE / COMPLETIONS[options.shell]).read_text(encoding="utf-8"), end="")
    return 0


def _source(options: argparse.Namespace) -> ConfigSource:
    return ConfigSource(options.config, options.set, os.environ)


def _config(options: argparse.Namespace) -> Config:
    return _source(options).load()


def _log(level: int, config: Config) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(log_formatter(sys.stderr, config.log_format))
    logging.basicConfig(level=level, handlers=[handler])


def _interrupt_by_exception() -> None:
    """Raise KeyboardInterrupt at Ctrl-C, unless SIGINT is ignored as in a background job."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class _Version(argparse.Action):
    """Prints the versions of Mien, the model and the runtime."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from edge_daemon.vision.interpreter import runtime_name  # noqa: PLC0415
        from edge_daemon.vision.model_file import read_model_file  # noqa: PLC0415

        print(f"mien {__version__}")
        try:
            model = read_model_file(Path(load_config(None).model))
            print(f"model: {model.path} ({model.name}), sha256 {model.sha256[:12]}")
            print(f"runtime: {runtime_name('auto')}")
        except UserError as error:
            print(error)
        print(f"Python {platform.python_version()}, {platform.machine()}")
        parser.exit()


def command_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; the man page and the completions are made from it."""
    parser = argparse.ArgumentParser(prog="mien", description="Facial expressions from a camera.")
    parser.set_defaults(max_pixels=MAX_PIXELS)
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="print the versions of Mien, model and runtime"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(
        name: str, function: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.set_defaults(function=function)
        return command

    run = add("run", _run, "run the daemon until it is stopped")
    check = add("check-config", _check_config, "check a configuration and the files it names")
    doctor = add(
        "doctor",
        _doctor,
        "examine this device and print how to fix what is wrong; exit code 0 if all is well, "
        "1 for a warning, 2 for an error",
    )
    classify = add("classify", _classify, "print the faces of pictures and videos")
    classify.set_defaults(max_pixels=PHOTO_PIXELS)
    history = add("history", _history, "rebuild the totals of events from the event log")
    history.add_argument("action", choices=("rebuild",), help="count the whole log again")
    calibrate = add("calibrate", _calibrate, "record a face at rest, by which scores are corrected")
    calibrate.add_argument(
        "--seconds",
        type=positive,
        default=60,
        metavar="S",
        help="how long to record; 60 by default",
    )
    calibrate.add_argument("--remove", action="store_true", help="forget the face at rest")
    report = add("report", _report, "write a page or a table about event logs of any cameras")
    add_report(report)
    for command in (run, check, doctor, classify, history, calibrate):
        add_configuration(command)
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    run.add_argument("--open", action="store_true", help="open the page in the browser")
    add_files(classify)
    add("hash-password", _hash_password, "print the hash of a password, for web.password")
    add("new-token", _new_token, "print a new token, and its hash for web.token")
    sign = add("sign", _sign, "write the signed manifest of a model for devices to download")
    sign.add_argument("model", type=Path, metavar="MODEL", help="the .tflite file")
    sign.add_argument(
        "--version", type=positive, required=True, help="larger than all earlier ones"
    )
    sign.add_argument(
        "--key",
        type=Path,
        default=Path("models.key"),
        help="file of the private key, created if it is missing (default: %(default)s)",
    )
    completion = add("completion", _completion, "print the completion of a shell")
    completion.add_argument(
        "shell", choices=list(COMPLETIONS), help='bash: eval "$(mien completion bash)"'
    )
    return parser
