"""Tests HTTPS cameras: certificates and fingerprints."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import pytest
from support.certificate import make_certificate
from support.http_camera import OK, Serve, first, open_http, stream

from edge_daemon.capture.address import parse_address
from edge_daemon.capture.sources import SourceAwayError
from edge_daemon.capture.video import NetworkVideo
from edge_daemon.web.server.listener import Tls


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """Return a camera's self-made certificate."""
    return make_certificate(tmp_path_factory.mktemp("tls"), "camera")


def context(tls: Tls) -> ssl.SSLContext:
    """Return what the camera encrypts with."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(tls.certificate, tls.key)
    return made


def test_a_self_made_certificate_needs_its_fingerprint(
    serve: Serve, jpegs: list[bytes], tls: Tls
) -> None:
    server = serve(stream(*jpegs), tls=context(tls))
    der = ssl.PEM_cert_to_DER_cert(tls.certificate.read_text())
    fingerprint = hashlib.sha256(der).hexdigest()
    with pytest.raises(SourceAwayError, match=f"set camera.tls_verify to its.* {fingerprint}$"):
        open_http(server.url())
    with_colons = ":".join(fingerprint[n : n + 2].upper() for n in range(0, 64, 2))
    for verify in (fingerprint, with_colons, False):
        assert first(open_http(server.url(), tls_verify=verify)) is not None
    with pytest.raises(SourceAwayError, match=f"camera.tls_verify: {fingerprint}$"):
        open_http(server.url(), tls_verify="0" * 64)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.skipif(not ssl.HAS_TLSv1_1, reason="NOT TESTED: this OpenSSL has no TLS 1.1")
def test_the_encryption_of_an_old_camera_is_accepted_where_it_is_not_verified(
    serve: Serve, jpegs: list[bytes], tls: Tls
) -> None:
    old = context(tls)
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    server = serve(stream(*jpegs), tls=old)
    with pytest.raises(SourceAwayError, match=r"by TLS: .*; camera.tls_verify: false accepts it$"):
        open_http(server.url())
    assert first(open_http(server.url(), tls_verify=False)) is not None


def test_a_certificate_out_of_date_may_be_due_to_the_clock(
    serve: Serve, jpegs: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    future = make_certificate(tmp_path, "camera", valid_days=(1, 3))
    monkeypatch.setenv("SSL_CERT_FILE", str(future.certificate))
    reason = "not yet valid by the clock of this computer, which shows 20"
    with pytest.raises(SourceAwayError, match=reason):
        open_http(serve(stream(*jpegs), tls=context(future)).url())


def test_the_certificate_of_other_video_is_checked(
    serve: Serve, media_dir: Path, tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = (media_dir / "signing-bird.mkv").read_bytes()
    head = OK + b"Content-Type: video/x-matroska\r\n\r\n"
    address = parse_address(serve(lambda request: [head + clip], tls=context(tls)).url())
    with pytest.raises(SourceAwayError, match="does not answer with a video stream"):
        NetworkVideo(address, timeout_s=10, tls_verify=True)
    NetworkVideo(address, timeout_s=10, tls_verify=False).close()
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.certificate))
    NetworkVideo(address, timeout_s=10, tls_verify=True).close()
