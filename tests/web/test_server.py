"""Tests the server's socket, certificate and limits, and its overrides of gevent."""

from __future__ import annotations

import inspect
import os
import resource
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from gevent.pywsgi import WSGIHandler, WSGIServer
from support.certificate import make_certificate
from support.paths import ROOT
from support.waiting import until
from support.website import Site, served, view

from edge_daemon.web.credentials import hash_token
from edge_daemon.web.server.listener import (
    CertificateError,
    Tls,
    address_to_open,
    connection_limit,
    listen,
    tls_context,
)
from edge_daemon.web.server.loop import Loop

TOKEN = "for the tests of the server"  # noqa: S105
GET = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with served(tmp_path, view(1)) as site:
        yield site


# --- limits ---------------------------------------------------------------------------------------


def is_served(client: socket.socket) -> bool:
    """Send a request on an open connection, and read the answer."""
    client.sendall(GET)
    answer = b""
    while not answer.endswith(b"frames arrive\n") and (received := client.recv(1000)):
        answer += received
    return b" 200 OK" in answer


def test_at_the_limit_of_open_files_connections_are_refused_and_all_goes_on(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """More strangers come than the process may have files; who is connected is still served."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as clients:
        served_one = clients.enter_context(site.connect())
        assert is_served(served_one)
        strangers = [clients.enter_context(socket.socket()) for _ in range(20)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (strangers[-1].fileno() + 1, hard))
        try:
            for stranger in strangers:
                stranger.settimeout(20)
                stranger.connect(("127.0.0.1", site.server.port))
            refused = 0
            for stranger in strangers:
                stranger.sendall(GET)
                try:
                    refused += not stranger.recv(1000)
                except ConnectionResetError:
                    refused += 1
            assert is_served(served_one)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert refused > 10
    assert [r.getMessage() for r in caplog.records] == [
        "web: too many open files: new connections are refused"
    ]
    assert site.get("/state").status == 200
    assert site.failures == []


def test_connections_leave_files_to_the_rest_of_the_daemon() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        assert connection_limit(264) == 72
        assert connection_limit(50) == 50
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def listening_socket(port: int) -> socket.socket:
    """Return a second handle on this process' socket that listens on `port`."""
    for file in Path("/proc/self/fd").iterdir():
        try:
            twin = socket.socket(fileno=os.dup(int(file.name)))
        except OSError:
            continue
        accepts = twin.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if accepts and twin.getsockname()[1] == port:
            return twin
        twin.close()
    raise AssertionError("nothing listens")


def test_a_failure_of_the_serving_thread_is_reported(site: Site) -> None:
    with listening_socket(site.server.port) as listener:
        listener.shutdown(socket.SHUT_RDWR)  # accept() fails from now on
        until(lambda: bool(site.failures))
    assert isinstance(site.failures[0], OSError)


# --- addresses ------------------------------------------------------------------------------------


def test_two_colons_serve_both_families(tmp_path: Path) -> None:
    site = Site(tmp_path, host="::", token=hash_token(TOKEN))
    site.start()
    try:
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, site.server.port), 20) as client:
                client.sendall(GET)
                assert b" 200 OK" in client.recv(1000)
    finally:
        site.stop()


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
def test_an_address_that_comes_later_is_waited_for(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    with listen(address, 0) as listener:
        assert listener.getsockname()[0] == address
    assert f"does not have the address {address} yet" in caplog.text


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104
def test_the_printed_address_is_one_of_this_machine(host: str) -> None:
    with socket.create_server((address_to_open(host), 0)) as server:
        assert server.getsockname()[0] != host
    assert address_to_open("cam.example") == "cam.example"


def test_an_address_that_came_later_is_served() -> None:
    """In a network of its own; as DHCP does, the address is given to it after the start."""
    script = """
import socket, subprocess
from edge_daemon.web.server.listener import listen
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
listener = listen("192.0.2.7", 0)
subprocess.run(["ip", "address", "add", "192.0.2.7/32", "dev", "lo"], check=True)
with socket.create_connection(("192.0.2.7", listener.getsockname()[1]), 20):
    print("connected")
"""
    command = ["unshare", "--net", "--map-root-user", "python3", "-c", "pass"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: this machine allows no network namespaces")
    command = [*command[:3], sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout == "connected\n", done.stderr


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> Tls:
    return make_certificate(tmp_path / "tls", "mien")


def test_tls_with_the_given_certificate(tmp_path: Path, certificate: Tls) -> None:
    site = Site(tmp_path, tls=certificate, token=hash_token(TOKEN))
    site.start()
    site.views.put(view(1))
    context = ssl.create_default_context(cafile=str(certificate.certificate))
    token = TOKEN.replace(" ", "+")
    url = f"https://127.0.0.1:{site.server.port}/snapshot.jpg?token={token}"
    try:
        with site.connect() as silent, site.connect() as plain:  # neither holds up the others
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with urllib.request.urlopen(url, timeout=20, context=context) as answer:
                assert answer.read(2) == b"\xff\xd8"
            silent.sendall(b"\x16")
    finally:
        site.stop()
    assert site.failures == []


def test_a_renewed_certificate_is_used_after_a_reload(tmp_path: Path, certificate: Tls) -> None:
    site = Site(tmp_path, tls=certificate)
    site.start()

    def served_certificate() -> str:
        return ssl.get_server_certificate(("127.0.0.1", site.server.port))

    def reload() -> None:
        site.server.adopt(site.policy, max_viewers=3, tls=certificate)()

    try:
        old = served_certificate()
        assert old == certificate.certificate.read_text()
        make_certificate(tmp_path / "tls", "renewed")
        assert served_certificate() == old
        reload()
        renewed = served_certificate()
        assert renewed == certificate.certificate.read_text() != old
        certificate.key.write_text("half written")
        with pytest.raises(CertificateError, match=r"key\.pem cannot be used"):
            reload()
        assert served_certificate() == renewed
    finally:
        site.stop()


def test_files_that_would_block_are_refused(tmp_path: Path) -> None:
    """A FIFO blocks its reader; for a passphrase OpenSSL asks on the terminal."""
    made, fifo, locked = (
        make_certificate(tmp_path, "camera"),
        tmp_path / "fifo",
        tmp_path / "locked",
    )
    os.mkfifo(fifo)
    command = f"openssl pkey -in {made.key} -aes256 -passout pass:abc -out {locked}"
    subprocess.run(command.split(), check=True, capture_output=True)
    for tls, sentence in (
        (Tls(fifo, made.key), f"{fifo} cannot be used: it is not a regular file"),
        (Tls(made.certificate, fifo), f"{fifo} cannot be used: it is not a regular file"),
        (Tls(made.certificate, locked), "the key has a passphrase: remove it"),
        (Tls(made.certificate, made.certificate), "they are not a certificate and its key"),
    ):
        with pytest.raises(CertificateError, match=sentence):
            tls_context(tls)


def test_a_certificate_that_is_none_is_named(tmp_path: Path) -> None:
    site = Site(tmp_path, tls=Tls(ROOT / "README.md", ROOT / "README.md"))
    with pytest.raises(CertificateError, match=r"README\.md"):
        site.start()
    site.stop()


# --- gevent ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (WSGIHandler, "handle_one_request", ["self"]),
        (WSGIHandler, "read_requestline", ["self"]),
        (WSGIHandler, "read_request", ["self", "raw_requestline"]),
        (WSGIHandler, "get_environ", ["self"]),
        (WSGIHandler, "finalize_headers", ["self"]),
        (WSGIHandler, "handle_error", ["self", "t", "v", "tb"]),
        (WSGIHandler, "_handle_client_error", ["self", "ex"]),
        (WSGIHandler, "_send_error_response_if_possible", ["self", "error_code"]),
        (WSGIHandler, "_sendall", ["self", "data"]),
        (WSGIServer, "do_handle", None),
        (WSGIServer, "do_read", ["self"]),
        (WSGIServer, "close", ["self"]),
        (WSGIServer, "handle", ["self", "sock", "address"]),
        (WSGIServer, "start_accepting", ["self"]),
        (WSGIServer, "stop_accepting", ["self"]),
    ],
)
def test_what_the_server_overrides_of_gevent_exists(
    owner: type, name: str, parameters: list[str] | None
) -> None:
    """gevent calls some of these private; a release without them would serve unguarded."""
    method = getattr(owner, name)
    assert parameters is None or list(inspect.signature(method).parameters) == parameters


def test_gevent_calls_what_the_server_overrides() -> None:
    request = inspect.getsource(WSGIHandler.handle_one_request)
    for call in ("self.read_requestline()", "self.read_request(", "self._handle_client_error("):
        assert call in request
    assert "self.wsgi_input._discard()" in inspect.getsource(WSGIHandler.handle_one_response)
    assert "self._sendall(" in inspect.getsource(WSGIHandler._write)
    assert "self.finalize_headers()" in inspect.getsource(WSGIHandler._write_with_headers)


def test_the_first_to_wait_is_woken_to_look_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is rung before anybody waits wakes nobody, so it must be found another way."""
    monkeypatch.setattr("edge_daemon.web.server.loop.PULSE_S", 3600.0)
    loop = Loop()

    def ring_and_wait() -> None:
        with loop.running():
            loop.ring()
            loop.wait()

    waiting = threading.Thread(target=ring_and_wait, daemon=True)
    waiting.start()
    waiting.join(30)
    assert not waiting.is_alive()
