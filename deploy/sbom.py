"""Lists the parts of a bundle with their licenses: as an SBOM in CycloneDX and as a table.

The parts are the wheels, the native libraries inside them, the models and the font. A wheel's
license comes from its metadata, a library's license from its project.
"""

from __future__ import annotations

import email
import email.message
import hashlib
import json
import re
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SBOM, TABLE = "sbom.cdx.json", "THIRD-PARTY.md"
APACHE = "Apache-2.0"
# Licenses as wheels' metadata name them, and their SPDX identifiers (https://spdx.org/licenses/).
SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": APACHE,
    "Apache Software License": APACHE,
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
GNU_CRYPTOGRAPHY = "LGPL-3.0-or-later OR GPL-2.0-or-later"
# Licenses of the native libraries in the wheels, by the start of their names; for FFmpeg, the
# license that its build states.
LIBRARIES = {
    "libSvtAv1Enc": "BSD-3-Clause-Clear",
    "libXau": "MIT",
    "libaom": "BSD-2-Clause",
    "libasound": "LGPL-2.1-or-later",
    "libav": "LGPL-3.0-or-later",
    "libavif": "BSD-2-Clause",
    "libbrotli": "MIT",
    "libcrypto": "OpenSSL",
    "libdav1d": "BSD-2-Clause",
    "libdrm": "MIT",
    "libfreetype": "FTL OR GPL-2.0-or-later",
    "libgfortran": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libgmp": GNU_CRYPTOGRAPHY,
    "libgnutls": "LGPL-2.1-or-later",
    "libharfbuzz": "MIT-Modern-Variant",
    "libhogweed": GNU_CRYPTOGRAPHY,
    "libjpeg": "IJG AND BSD-3-Clause AND Zlib",
    "liblcms2": "MIT",
    "liblzma": "0BSD",
    "libmp3lame": "LGPL-2.0-or-later",
    "libnettle": GNU_CRYPTOGRAPHY,
    "libopenblas": "BSD-3-Clause",
    "libopencore-amr": APACHE,
    "libopenjp2": "BSD-2-Clause",
    "libopus": "BSD-3-Clause",
    "libpng": "libpng-2.0",
    "libquadmath": "LGPL-2.1-or-later",
    "libscipy_openblas": "BSD-3-Clause",
    "libsharpyuv": "BSD-3-Clause",
    "libssl": "OpenSSL",
    "libsw": "LGPL-3.0-or-later",
    "libtiff": "libtiff",
    "libunistring": GNU_CRYPTOGRAPHY,
    "libvpl": "MIT",
    "libvpx": "BSD-3-Clause",
    "libwebp": "BSD-3-Clause",
    "libx264": "GPL-2.0-or-later",
    "libx265": "GPL-2.0-or-later",
    "libxcb": "MIT",
    "libzstd": "BSD-3-Clause OR GPL-2.0-only",
}
FILES = (  # in a bundle: their kind and license
    ("models/*.tflite", "machine-learning-model", APACHE),
    ("edge_daemon/draw/font/*.ttf", "file", APACHE),
    ("edge_daemon/web/static/uplot/*.js", "file", "MIT"),
)


@dataclass(frozen=True, slots=True)
class BundledPart:
    """A part; `license` is an SPDX expression or, if it is unknown, other words or "".

    `inside` is the wheel that contains a library; such a library has no `sha256`. For other parts
    `inside` is "".
    """

    kind: str
    name: str
    version: str
    license: str
    sha256: str = ""
    inside: str = ""


def parts(folder: Path) -> list[BundledPart]:
    """List the parts of the bundle in `folder`."""
    found = [each for path in sorted(folder.glob("wheels/*.whl")) for each in _of_wheel(path)]
    for pattern, kind, license_ in FILES:
        for path in sorted(folder.glob(pattern)):
            found.append(BundledPart(kind, path.name, "", license_, sha256(path)))
    return found


def write(folder: Path, version: str) -> None:
    """Write both lists into the bundle in `folder`, whose version is `version`."""
    found = parts(folder)
    text = json.dumps(_cyclonedx(found, version), indent=1, sort_keys=True)
    (folder / SBOM).write_text(text + "\n", encoding="utf-8")
    (folder / TABLE).write_text(_table(found), encoding="utf-8")


def _of_wheel(path: Path) -> Iterator[BundledPart]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        (metadata,) = (each for each in names if re.fullmatch(r"[^/]+\.dist-info/METADATA", each))
        described = email.message_from_bytes(archive.read(metadata))
    name = re.sub("[-_.]+", "-", described["Name"]).lower()
    version = described["Version"]
    yield BundledPart("library", name, version, _license(described), sha256(path))
    for library in sorted(each for each in names if re.search(r"\.libs/.+", each)):
        # libx264-d6533a8d.so.165: auditwheel adds a hash to the name
        stem, _, number = library.rpartition("/")[2].partition(".so")
        stem = re.sub(r"-[0-9a-f]{8}\b", "", stem)
        yield BundledPart("library", stem, number.strip("."), _of_library(stem, name), inside=name)


def _license(described: email.message.Message) -> str:
    """Return the license in a wheel's metadata, as an SPDX expression if that is known."""
    if stated := described["License-Expression"]:
        return str(stated)
    classes = [each for each in described.get_all("Classifier", []) if each.startswith("License")]
    words = str(described["License"] or "")
    stated = words if words and len(words) < 80 else classes[0].rpartition(" :: ")[2]
    return SPDX.get(stated, stated)


def _of_library(stem: str, wheel: str) -> str:
    """Return the license of a native library, found by the longest prefix of its name."""
    fits = [each for each in LIBRARIES if stem.startswith(each)]
    stated = LIBRARIES[max(fits, key=len)] if fits else ""
    # OpenCV builds FFmpeg without the parts that need version 3 of the license.
    return stated.replace("LGPL-3.0", "LGPL-2.1") if wheel.startswith("opencv") else stated


def _cyclonedx(found: list[BundledPart], version: str) -> dict[str, Any]:
    """Return the SBOM as JSON, without a time, so that two builds are equal.

    Source: https://cyclonedx.org/docs/1.6/json/
    """
    wheels = {each.name: _component(each) for each in found if not each.inside}
    for each in found:
        if each.inside:
            wheels[each.inside].setdefault("components", []).append(_component(each))
    content = json.dumps([version, *wheels.values()], sort_keys=True)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {
            "component": _component(BundledPart("application", "mien", version, APACHE)),
        },
        "components": list(wheels.values()),
    }


def _component(part: BundledPart) -> dict[str, Any]:
    component: dict[str, Any] = {"type": part.kind, "name": part.name}
    component["bom-ref"] = "/".join(filter(None, (part.inside, part.name, part.version)))
    if part.version:
        component["version"] = part.version
    if part.kind == "library" and not part.inside:
        component["purl"] = f"pkg:pypi/{part.name}@{part.version}"
    if part.sha256:
        component["hashes"] = [{"alg": "SHA-256", "content": part.sha256}]
    if part.license:
        component["licenses"] = [{"expression": part.license}]
    return component


def _table(found: list[BundledPart]) -> str:
    rows = [f"| {p.name} | {p.version} | {p.license} | {p.inside} |" for p in found]
    introduction = (
        "# Parts by others\n\n"
        "What this bundle contains besides Mien (Apache-2.0), with the license that each part's "
        "project states. Each wheel holds the texts in its .dist-info folder, as the installed "
        "environment does. PyAV's FFmpeg is linked with x264 and x265: whoever passes this bundle "
        "on has to meet the terms of the GPL for them.\n\n"
        "| part | version | license | inside |\n|---|---|---|---|\n"
    )
    return introduction + "\n".join(rows) + "\n"


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
