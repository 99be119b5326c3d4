"""`python3 -m deploy`: install, upgrade or uninstall the service, or add a camera to it.

It is run in a checkout, in an unpacked bundle or in an installed release; `make install` and the
like, and the bundle's `./install`, call it.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from deploy.installation import add_camera, build, install, uninstall, upgrade
from deploy.layout import DeployError, Layout, check_machine, check_systemd
from deploy.service import stop

COMMANDS = {
    "build": (build, "make the release without a service, for a container"),
    "install": (install, "install and start the service, or upgrade it"),
    "upgrade": (upgrade, "go over to this release, and back if it does not run"),
    "stop": (stop, "stop the service and forget that it is started at boot"),
    "uninstall": (uninstall, "remove everything, configuration and events too"),
}


def main() -> int:
    """The exit code: 0 done, 1 not done, with a sentence that says why."""
    os.umask(0o022)
    options = _parser().parse_args()
    try:
        check_machine(layout := Layout(options.destdir))
        if options.command != "build":
            check_systemd(layout)
        if options.command == "camera":
            add_camera(layout, options.name, options.source, options.port)
        else:
            COMMANDS[options.command][0](layout)
    except (DeployError, OSError) as error:
        print(f"{options.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m deploy", description=__doc__)
    parser.add_argument(
        "--destdir", type=Path, default=Path("/"), help="the root of another machine's files"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (_, what) in COMMANDS.items():
        commands.add_parser(name, help=what, description=what)
    what = "have one more camera watched, by a service of its own"
    camera = commands.add_parser("camera", help=what, description=what)
    camera.add_argument("name")
    camera.add_argument("--source", default="auto", help="as camera.source in the configuration")
    camera.add_argument("--port", type=int, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
