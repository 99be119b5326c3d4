"""Tests addresses of cameras as users write them; no secret in them is ever shown."""

from __future__ import annotations

import base64
import contextlib
import html
import json
import re
import string
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge_daemon.capture.address import parse_address, redacted
from edge_daemon.capture.sources import SourceError

HOSTS = ("10.0.0.7", "[fe80::1]", "camera", "cam.example.org", "localhost", "garten-küche.local")
PASSWORDS = st.text(string.ascii_letters + string.digits + "/#?[]@%:&=+ ä", min_size=6)


@pytest.mark.parametrize("scheme", ["rtsp", "rtsps", "http", "https", "RTSP", "Http"])
@given(
    password=PASSWORDS,
    host=st.sampled_from(HOSTS),
    port=st.sampled_from(["", ":8554"]),
    path=st.sampled_from(["", "/", "/live/ch0", "/a b", "/cam?token=zzqqzzqq"]),
)
def test_a_password_as_it_is_typed_is_never_shown(
    scheme: str, password: str, host: str, port: str, path: str
) -> None:
    text = f"{scheme}://admin:{password}@{host}{port}{path}"
    shown = redacted(text)
    context = f"{scheme.lower()}://{host}{port}{path.partition('?')[0]}?…"
    for length in range(4, len(password) + 1):
        for start in range(len(password) - length + 1):
            part = password[start : start + length]
            assert part not in shown or part in context
    assert "zzqqzzqq" not in shown
    assert "admin" not in shown
    try:
        address = parse_address(text)
    except SourceError as error:
        assert password not in str(error)
    else:
        assert password not in repr(address) or password in context
        echo = f"no access: {address.full_url}, {address.user}/{address.password}"
        for part in ("admin", "zzqqzzqq", address.password):
            assert len(part) < 3 or part in context or part not in address.without_secrets(echo)


@pytest.mark.parametrize("password", ["pä/ss w&rd'x", 'q"u\\ote<', "100%sure", "笑顔です"])
def test_what_a_camera_repeats_in_another_form_is_hidden(password: str) -> None:
    address = parse_address(f"http://me:{quote(password, safe='')}@cam.example/x")
    escaped = quote(password, safe="")
    for form in (
        escaped,
        re.sub("%..", lambda found: found[0].lower(), escaped),
        quote_plus(password),
        quote(escaped, safe=""),
        html.escape(password),
        json.dumps(password)[1:-1],
        password.encode().decode("latin-1"),  # as a status line is read
        base64.b64encode(password.encode()).decode(),
        base64.b64encode(f"me:{password}".encode()).decode(),
    ):
        assert address.without_secrets(f"no access: {form}!") == "no access: …!"


@given(password=st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc"))))
def test_an_escaped_password_arrives_as_it_is(password: str) -> None:
    address = parse_address(f"rtsp://me:{quote(password, safe='')}@10.0.0.7/live")
    assert address.password == password
    assert address.shown == "rtsp://10.0.0.7/live"
    assert parse_address(address.full_url).password == password


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("special", list("/#?[]@%"))
def test_a_password_with_one_special_character_works_as_it_is(host: str, special: str) -> None:
    for password in (f"se{special}cret", f"{special}secret", f"secret{special}"):
        address = parse_address(f"rtsp://admin:{password}@{host}:8554/live")
        assert (address.user, address.password) == ("admin", password)
        assert (address.port, address.path) == (8554, "/live")


@pytest.mark.parametrize(
    ("text", "shown", "bare"),
    [
        ("http://10.0.0.7", "http://10.0.0.7", "http://10.0.0.7/"),
        ("HTTP://Cam:81/x", "http://Cam:81/x", "http://Cam:81/x"),
        (" rtsp://cam/a b ", "rtsp://cam/a b", "rtsp://cam/a%20b"),
        ("http://cam/a%20b%zz", "http://cam/a%20b%zz", "http://cam/a%20b%25zz"),
        ("http://cam/küche?q=ü", "http://cam/küche?…", "http://cam/k%C3%BCche?q=%C3%BC"),
        ("http://küche.local/", "http://küche.local/", "http://xn--kche-0ra.local/"),
        ("http://cam/a@b/c", "http://cam/a@b/c", "http://cam/a@b/c"),
        ("http://u@cam/", "http://cam/", "http://cam/"),
        ("http://[::1]:80/x", "http://[::1]:80/x", "http://[::1]/x"),
        ("rtsp://a:b@10.0.0.7:554/x#y", "rtsp://10.0.0.7:554/x", "rtsp://10.0.0.7/x"),
        ("rtsp://c/user=me&password=pw&x=1", "rtsp://c/…", "rtsp://c/user=me&password=pw&x=1"),
        ("http://10.0.0.7/v.cgi?u=a&p=b@c", "http://10.0.0.7/v.cgi?…", None),
        (
            "rtsp://nvr:7447/7vDZzVbJ5TrWEqAe",
            "rtsp://nvr:7447/…",
            "rtsp://nvr:7447/7vDZzVbJ5TrWEqAe",
        ),
        ("http://c/api/eyJhbGciOiJIUzI1NiJ9.eyJpZCI6MX0.c2ln/x", "http://c/api/…", None),
        ("rtsp://c/h264Preview_01_main", "rtsp://c/h264Preview_01_main", None),
        ("rtsp://c/Streaming/Channels/101", "rtsp://c/Streaming/Channels/101", None),
        ("rtsp://[fe80::1%25eth0]/x", "rtsp://[fe80::1%25eth0]/x", "rtsp://[fe80::1%eth0]/x"),
    ],
)
def test_addresses_as_people_write_them(text: str, shown: str, bare: str | None) -> None:
    address = parse_address(text)
    assert address.shown == shown
    assert bare is None or address.bare_url == bare


def test_of_two_readings_the_plausible_one_is_taken_and_none_is_shown() -> None:
    inner = parse_address("rtsp://admin:p@ss/w@10.0.0.7/live")
    assert (inner.host, inner.password, inner.shown) == ("10.0.0.7", "p@ss/w", "rtsp://…")
    query = parse_address("http://10.0.0.7:80/video.cgi?user=admin&pwd=p@ss")
    assert (query.host, query.user, query.shown) == ("10.0.0.7", None, "http://…")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ftp://host/clip", "ftp:// cameras are not supported"),
        ("rtsp:///stream", "names no host"),
        ("http://", "names no host"),
        ("http://cam:99999/", "a port that is not 1 to 65535"),
        ("http://cam:0/", "a port that is not 1 to 65535"),
        ("http://cam:abc/", "a port that is not 1 to 65535"),
        ("http://cam:-1/", "a port that is not 1 to 65535"),
        ("http://me:pw@cam:80x/", "a port that is not 1 to 65535"),
        ("http://cam/\x00", "control character"),
        ("http://a%0d%0ab:x@cam/", "user name of http://… is not text"),
        ("http://cam/\r\nHost: x", "control character"),
    ],
)
def test_mistakes_are_named_without_the_address(text: str, sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence) as caught:
        parse_address(text)
    assert "me:pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("start", "location", "target", "user"),
    [
        ("http://me:pw@cam/a/b", "c", "http://cam/a/c", "me"),
        ("http://me:pw@cam/a", "http://cam:8080/x", "http://cam:8080/x", "me"),
        ("http://me:pw@cam/a", "https://cam/x", "https://cam/x", "me"),
        ("https://me:pw@cam/a", "http://cam/x", "http://cam/x", None),
        ("http://me:pw@cam/a", "http://other/x", "http://other/x", None),
        ("http://me:pw@cam/a", "//CAM/x", "http://CAM/x", "me"),
    ],
)
def test_redirects_keep_the_password_on_the_same_host_only(
    start: str, location: str, target: str, user: str | None
) -> None:
    redirected = parse_address(start).redirected(location)
    assert redirected.bare_url == target
    assert redirected.user == user


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    assume("://" not in text)
    for scheme in ("rtsp", "http"):
        with contextlib.suppress(SourceError):
            parse_address(f"{scheme}://{text}")
        redacted(f"{scheme}://{text}")
