"""Pins the container images of this repository by digest: `python3 -m deploy.pin`, or `make pin`.

The digest is that of the image with the tag today, for all architectures. The command needs skopeo
(a Debian package) and a network that reaches the registries of the images.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

from deploy.layout import DeployError

SOURCE = Path(__file__).resolve().parent.parent
FILES = ("Dockerfile", "deploy/fleet/compose.yaml")
# `FROM IMAGE:TAG AS name` and `image: IMAGE:TAG`, with or without a digest; not `FROM ${BASE}`.
IMAGE = re.compile(
    r"(?<=^FROM )([^\s@$]+:[^\s@$]+)(@sha256:[0-9a-f]{64})?(?=$| AS )"
    r"|(?<= image: )([^\s@$]+)(@sha256:[0-9a-f]{64})?$",
    re.MULTILINE,
)


def images(text: str) -> dict[str, bool]:
    """Return the images that a Dockerfile or compose file names, and whether each has a digest."""
    return {each[1] or each[3]: bool(each[2] or each[4]) for each in IMAGE.finditer(text)}


def unpinned(source: Path) -> list[str]:
    """Return the images of a checkout that are named by tag only."""
    texts = ((source / name).read_text(encoding="utf-8") for name in FILES)
    return [image for text in texts for image, has_digest in images(text).items() if not has_digest]


def pinned(text: str, *, options: tuple[str, ...] = ()) -> str:
    """Return a file's text with the digest of today for each image. Raises DeployError."""
    if not images(text):
        raise DeployError("there is no line `FROM IMAGE:TAG` or `image: IMAGE:TAG`.")
    return IMAGE.sub(lambda each: _with_digest(each[1] or each[3], options), text)


def _with_digest(image: str, options: tuple[str, ...]) -> str:
    """Return the image named by tag and digest, the SHA-256 of its manifest (OCI specification)."""
    name = image if "/" in image else f"library/{image}"
    host = name.partition("/")[0]
    name = name if re.search(r"[.:]|^localhost$", host) else f"docker.io/{name}"
    try:
        asked = subprocess.run(  # noqa: S603
            ["skopeo", "inspect", "--raw", *options, f"docker://{name}"],  # noqa: S607
            capture_output=True,
            check=True,
        )
    except FileNotFoundError as error:
        raise DeployError("skopeo is not installed; fix: sudo apt install skopeo") from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip()
        raise DeployError(f"the digest of {image} cannot be looked up: {reason}") from error
    return f"{image}@sha256:{hashlib.sha256(asked.stdout).hexdigest()}"


def main() -> int:
    """Rewrite the files; return 0, or 1 after printing why it failed."""
    try:
        texts = {name: pinned((SOURCE / name).read_text(encoding="utf-8")) for name in FILES}
        for name, text in texts.items():
            (SOURCE / name).write_text(text, encoding="utf-8")
    except (DeployError, OSError) as error:
        print(f"pin: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
