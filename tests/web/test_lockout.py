"""Tests that guessing is slow and cannot lock the owner out, and that sessions end."""

from __future__ import annotations

import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import pytest
from support.website import Site, quick_hash, view

from edge_daemon.web.credentials import (
    ENDED_SESSIONS,
    Sessions,
    hash_token,
    new_token,
)
from edge_daemon.web.lockout import CHECK_S, Lockout

PASSWORD = "a long pass phrase"  # noqa: S105
TOKEN = new_token()
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
OTHER_SITE = {
    "Sec_Fetch_Site": "cross-site",
    "Sec_Fetch_Mode": "no-cors",
    "Sec_Fetch_Dest": "image",
}


@pytest.fixture(scope="module")
def password_hash() -> str:
    return quick_hash(PASSWORD)


@pytest.fixture
def site(tmp_path: Path, password_hash: str) -> Iterator[Site]:
    """A guarded site behind a proxy on the same machine."""
    site = Site(
        tmp_path,
        password=password_hash,
        token=hash_token(TOKEN),
        trusted_proxies=("127.0.0.0/8",),
        hosts=("cam.example",),
    )
    site.start()
    site.views.put(view(1))
    yield site
    site.stop()


def login(site: Site, password: str, **headers: str) -> tuple[int, str]:
    """Return the status and the cookie of an attempt to sign in."""
    body = urlencode({"password": password}).encode()
    response = site.send("/login", "POST", body, FORM | headers)
    return response.status, (response.headers["Set-Cookie"] or "").partition(";")[0]


def guess(site: Site, times: int, **headers: str) -> list[int]:
    return [site.get("/state?token=guess", **headers).status for _ in range(times)]


def test_guessing_is_locked_out(site: Site) -> None:
    assert guess(site, 7) == [401] * 5 + [429] * 2
    refused = site.get("/state?token=guess")
    assert int(refused.headers["Retry-After"]) >= 1


def test_the_right_token_opens_in_spite_of_a_lock(site: Site) -> None:
    guess(site, 12)
    assert site.get(f"/state?token={TOKEN}").status == 200
    assert site.get("/state", Authorization=f"Bearer {TOKEN}").status == 200
    assert login(site, TOKEN)[0] == 303


def test_the_right_password_opens_in_spite_of_a_lock(site: Site) -> None:
    guess(site, 12)
    status, cookie = login(site, PASSWORD)
    assert status == 303
    assert site.get("/state", Cookie=cookie).status == 200


def test_a_session_is_not_locked_out(site: Site) -> None:
    _, cookie = login(site, PASSWORD)
    guess(site, 12)
    assert site.get("/state", Cookie=cookie).status == 200


def test_guesses_sent_all_at_once_do_not_pass_together(site: Site) -> None:
    with ThreadPoolExecutor(30) as guessers:
        answers = guessers.map(lambda number: login(site, f"guess {number}")[0], range(30))
        statuses = Counter(answers)
    assert statuses[429] + statuses[401] == 30
    assert statuses[401] < 10


def test_what_another_site_sends_does_not_count(site: Site) -> None:
    """A page with <img src="http://…/?token=x"> must not lock out who looks at it."""
    assert guess(site, 12, **OTHER_SITE) == [401] * 12
    assert guess(site, 1) == [401]


def test_a_guess_counts_whatever_it_says_of_its_site(site: Site) -> None:
    """A program that guesses passwords can send any header."""
    body = urlencode({"password": "guess"}).encode()
    basic = {"Authorization": "Basic " + b64encode(b"any:guess").decode()}
    for _ in range(3):
        site.send("/login?token=x", "POST", body, FORM | {"Sec-Fetch-Site": "cross-site"})
    for _ in range(2):
        site.get("/state", **basic, **OTHER_SITE)
    assert guess(site, 1) == [429]


def test_each_client_of_a_trusted_proxy_is_locked_out_alone(site: Site) -> None:
    assert guess(site, 7, X_Forwarded_For="192.0.2.1")[-1] == 429
    assert guess(site, 1, X_Forwarded_For="192.0.2.2") == [401]
    assert guess(site, 1, X_Forwarded_For="192.0.2.2, 192.0.2.1") == [429]
    assert guess(site, 1, X_Forwarded_For="192.0.2.1, 127.0.0.9") == [429]
    assert guess(site, 1, X_Forwarded_For="192.0.2.1:50123") == [429]
    assert guess(site, 1, X_Forwarded_For="192.0.2.1, nonsense") == [401]
    assert guess(site, 1, X_Forwarded_For="192.0.2.1, fe80::1%a b") == [401]
    assert guess(site, 7, X_Forwarded_For="2001:db8::7")[-1] == 429
    assert guess(site, 1, X_Forwarded_For="[2001:db8::7]:50123") == [429]


def test_another_proxy_is_not_believed(tmp_path: Path) -> None:
    site = Site(tmp_path, token=hash_token(TOKEN), trusted_proxies=("10.0.0.1",))
    site.start()
    try:
        statuses = [guess(site, 1, X_Forwarded_For=f"192.0.2.{n}")[0] for n in range(7)]
        assert statuses == [401] * 5 + [429] * 2
        cookie = site.get(f"/?token={TOKEN}", X_Forwarded_Proto="https").headers["Set-Cookie"]
        assert "Secure" not in cookie
    finally:
        site.stop()


def test_a_trusted_proxy_tells_of_tls_and_of_its_name(site: Site) -> None:
    cookie = site.get(f"/?token={TOKEN}", X_Forwarded_Proto="https").headers["Set-Cookie"]
    assert "Secure" in cookie
    own = {"X_Forwarded_Host": "cam.example", "Origin": "https://cam.example"}
    assert login(site, PASSWORD, **own)[0] == 303
    assert site.get("/state", X_Forwarded_Host="evil.example").status == 421
    assert site.get("/state", Host="evil.example", X_Forwarded_Host="cam.example").status == 421


def test_a_players_password_is_checked_once_and_guesses_count(site: Site) -> None:
    def basic(password: str) -> dict[str, str]:
        return {"Authorization": "Basic " + b64encode(f"any:{password}".encode()).decode()}

    assert site.get("/snapshot.jpg", **basic(PASSWORD)).status == 200
    assert [site.get("/state", **basic(f"guess {n}")).status for n in range(5)] == [401] * 5
    assert site.get("/snapshot.jpg", **basic(PASSWORD)).status == 200
    assert site.get("/state", **basic("guess")).status == 429


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("multipart/form-data; boundary=x", b"--x--", 415),
        ("application/json", b"{}", 415),
        (FORM["Content-Type"], b"password=" + b"x" * 5000, 413),
        (FORM["Content-Type"], b"", 401),
        (FORM["Content-Type"], b"password=%ff%00", 401),
    ],
)
def test_the_form_is_small_and_urlencoded(site: Site, kind: str, body: bytes, status: int) -> None:
    assert site.send("/login", "POST", body, {"Content-Type": kind}).status == status


def test_a_session_ends_at_log_out(site: Site) -> None:
    _, cookie = login(site, PASSWORD)
    _, other = login(site, PASSWORD)
    response = site.send("/logout", "POST", b"", {"Cookie": cookie})
    assert response.status == 303
    assert "Max-Age=0" in response.headers["Set-Cookie"]
    assert site.get("/state", Cookie=cookie).status == 401
    assert site.get("/state", Cookie=other).status == 200


def test_a_session_ends_in_time(tmp_path: Path, password_hash: str) -> None:
    site = Site(tmp_path, password=password_hash, session_s=3600)
    site.start()
    try:
        status, cookie = login(site, PASSWORD)
        assert status == 303
        assert site.get("/state", Cookie=cookie).status == 200
    finally:
        site.stop()
    sessions = Sessions()
    made = sessions.new()
    assert sessions.is_valid(made, 60)
    assert not sessions.is_valid(made, -1)


@pytest.mark.parametrize("jump_s", [-3600.0, 56 * 365 * 86_400.0])
def test_a_clock_that_is_set_ends_no_session(
    monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    sessions, real = Sessions(), time.time
    made = sessions.new()
    monkeypatch.setattr(time, "time", lambda: real() + jump_s)
    assert sessions.is_valid(made, 60)


def test_sessions_end_with_their_password(site: Site) -> None:
    _, cookie = login(site, PASSWORD)
    site.server.adopt(replace(site.policy, session_s=60), max_viewers=3, tls=None)()
    assert site.get("/state", Cookie=cookie).status == 200
    other = replace(site.policy, password="", token=hash_token("another"))
    site.server.adopt(other, max_viewers=3, tls=None)()
    assert site.get("/state", Cookie=cookie).status == 401
    assert site.get(f"/state?token={TOKEN}").status == 401
    assert site.get("/state?token=another").status == 200


def test_ended_sessions_do_not_fill_the_memory() -> None:
    sessions = Sessions()
    first, kept = sessions.new(), sessions.new()
    for _ in range(ENDED_SESSIONS):
        sessions.end(sessions.new())
    assert sessions.is_valid(kept, 60)
    sessions.end(first)
    assert not sessions.is_valid(first, 60)
    assert not sessions.is_valid(kept, 60)


def test_a_lock_doubles_to_five_minutes_and_a_success_forgives() -> None:
    lockout = Lockout()
    waits = []
    for _ in range(2000):
        lockout.failed("192.0.2.1", 0.0)
        waits.append(lockout.locked_s("192.0.2.1", 0.0))
    assert waits[:8] == [0, 0, 0, 0, 1, 2, 4, 8]
    assert waits[-1] == 300
    assert lockout.locked_s("192.0.2.2", 0.0) == 0
    lockout.succeeded("192.0.2.1")
    assert lockout.locked_s("192.0.2.1", 0.0) == 0


def test_passwords_from_a_locked_address_are_checked_one_after_another() -> None:
    lockout = Lockout()
    for _ in range(20):
        lockout.failed("192.0.2.1", 0.0)
    waits = [lockout.check_in_s("192.0.2.1", 0.0) for _ in range(5)]
    assert waits == [0, CHECK_S, 2 * CHECK_S, None, None]
    assert lockout.check_in_s("192.0.2.1", 4 * CHECK_S) == 0
    assert lockout.check_in_s("192.0.2.2", 0.0) == 0


def test_one_machines_many_addresses_count_as_one() -> None:
    lockout = Lockout()
    for number in range(8):
        lockout.failed(f"2001:db8::{number:x}", 0.0)
    assert lockout.locked_s("2001:db8::ffff", 0.0) > 0
    assert lockout.locked_s("2001:db8:1::1", 0.0) == 0
    for number in range(3000):
        lockout.failed(f"10.0.{number // 256}.{number % 256}", 0.0)
    assert lockout.locked_s("2001:db8::1", 0.0) == 0  # forgotten, memory being bounded
