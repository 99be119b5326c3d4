"""Pins the Dockerfile's base image by digest: `python3 -m deploy.pin`, or `make pin`.

The digest is that of what the tag names now, for all architectures. It takes skopeo (Debian's
package) and a network that reaches the image's registry.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

from deploy.layout import DeployError

DOCKERFILE = Path(__file__).resolve().parent.parent / "Dockerfile"
FROM = re.compile(r"(?<=^FROM )([^\s@$]+)(@sha256:[0-9a-f]{64})?(?= AS python$)", re.MULTILINE)


def pinned(text: str, *, options: tuple[str, ...] = ()) -> str:
    """Return a Dockerfile's text with the base image's digest of today; raises DeployError."""
    image = FROM.search(text)
    if image is None:
        raise DeployError("the Dockerfile has no line `FROM IMAGE:TAG AS python`.")
    return FROM.sub(f"{image[1]}@sha256:{_digest(image[1], options)}", text)


def is_pinned(text: str) -> bool:
    """Whether the base image is named by digest."""
    image = FROM.search(text)
    return image is not None and image[2] is not None


def _digest(image: str, options: tuple[str, ...]) -> str:
    """The SHA-256 of the image's manifest, which is its digest (OCI image specification)."""
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
    return hashlib.sha256(asked.stdout).hexdigest()


def main() -> int:
    """Rewrite the Dockerfile; the exit code is 0, or 1 after a sentence that says why it failed."""
    try:
        text = pinned(DOCKERFILE.read_text(encoding="utf-8"))
        DOCKERFILE.write_text(text, encoding="utf-8")
    except (DeployError, OSError) as error:
        print(f"pin: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
