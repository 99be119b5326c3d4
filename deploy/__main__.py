"""`python3 -m deploy`: install, upgrade or uninstall the service, or add a camera.

It runs in a checkout, an unpacked bundle or an installed release. `make install` and the bundle's
`./install` call it.
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
    "build": (build, "build the release without a service, for a container"),
    "install": (install, "install and start the service, or upgrade it"),
    "upgrade": (upgrade, "switch to this release, and back if it does not run"),
    "stop": (stop, "stop the service and disable it"),
    "uninstall": (uninstall, "remove everything, including configuration and events"),
}


def main() -> int:
    """Run the command; return 0, or 1 after printing why it failed."""
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
        "--destdir", type=Path, default=Path("/"), help="root folder of another machine's files"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (_, what) in COMMANDS.items():
        commands.add_parser(name, help=what, description=what)
    what = "add a camera with its own service"
    camera = commands.add_parser("camera", help=what, description=what)
    camera.add_argument("name")
    camera.add_argument("--source", default="auto", help="as in camera.source (default: auto)")
    camera.add_argument("--port", type=int, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
