"""Tests the API as clients call it: forms, JSON errors, relative times, other sites."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.paths import ROOT
from support.waiting import until
from support.website import Site, served, view

from edge_daemon.events.log_reader import Query
from edge_daemon.web.api import file_of_form
from edge_daemon.web.credentials import hash_token
from edge_daemon.web.photo import PhotoRefused

TOKEN = "for the tests of the API"  # noqa: S105
DASH = "https://dash.example"
PROBLEM = "application/problem+json"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with served(tmp_path, view(1)) as site:
        yield site


def picture() -> bytes:
    ok, jpeg = cv2.imencode(".jpg", np.full((120, 160, 3), 127, np.uint8))
    assert ok
    return jpeg.tobytes()


def form(*files: tuple[str, bytes], boundary: str = "cut") -> tuple[bytes, dict[str, str]]:
    """Return a multipart form's body and headers."""
    body = b""
    for name, content in files:
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="a.jpg"\r\n'
        )
        body += f"{head}Content-Type: image/jpeg\r\n\r\n".encode() + content + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


# --- uploads --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("blazeface_dir")
def test_a_form_is_as_good_as_a_bare_picture(site: Site) -> None:
    bare = json.loads(site.send("/api/classify", "POST", picture(), {}).body)
    for names in (("file",), ("image",), ("photo", "second")):
        body, headers = form(*((name, picture()) for name in names))
        answer = json.loads(site.send("/api/classify", "POST", body, headers).body)
        assert answer["picture"] == bare["picture"]


@pytest.mark.usefixtures("blazeface_dir")
@pytest.mark.parametrize(
    "words", [["-F", "file=@a.jpg"], ["--data-binary", "@a.jpg"], ["-T", "a.jpg", "-X", "POST"]]
)
def test_curl_sends_pictures_in_its_ways(site: Site, tmp_path: Path, words: list[str]) -> None:
    if shutil.which("curl") is None:
        pytest.skip("NOT TESTED: curl is not installed")
    (tmp_path / "a.jpg").write_bytes(picture())
    url = f"http://127.0.0.1:{site.server.port}/api/classify"
    done = subprocess.run(
        ["curl", "-s", "--max-time", "60", *words, url],
        capture_output=True,
        check=True,
        cwd=tmp_path,
    )
    assert json.loads(done.stdout)["size"] == [160, 120]


@pytest.mark.parametrize(
    ("body", "kind", "status", "word"),
    [
        (form()[0], "multipart/form-data; boundary=cut", 415, "no file"),
        (form(("file", b"not one"))[0], "multipart/form-data; boundary=cut", 415, "not a JPEG"),
        (form(("file", b"x"))[0], "multipart/form-data", 415, "boundary"),
        (form(("file", b"x"))[0], "multipart/form-data; boundary=other", 400, "malformed"),
        (b"--cut\r\n" * 1000, "multipart/form-data; boundary=cut", 400, "malformed"),
        (form(*[("file", b"x")] * 30)[0], "multipart/form-data; boundary=cut", 400, "malformed"),
        (b"--cut\r\nnonsense", "multipart/form-data; boundary=cut", 400, "malformed"),
        (b"", "multipart/form-data; boundary=cut", 400, "malformed"),
        (b'--cut\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--cut--\r\n',
         "multipart/form-data; boundary=cut", 415, "no file"),
    ],
)  # fmt: skip
def test_a_form_that_cannot_be_used_is_refused(
    site: Site, body: bytes, kind: str, status: int, word: str
) -> None:
    response = site.send("/api/classify", "POST", body, {"Content-Type": kind})
    assert (response.status, word in response.body.decode()) == (status, True), response.body


def test_a_get_explains_how_to_classify(site: Site) -> None:
    response = site.get("/api/classify")
    assert response.status == 405
    assert response.headers["Allow"] == "POST"
    assert "curl -F file=@photo.jpg" in response.body.decode()


FORM_PIECES = [
    b"--cut", b"--", b"\r\n", b"\r\n\r\n", b"Content-Disposition: form-data", b'; name="f"', b":",
    b'; filename="a"', b"Content-Type: image/jpeg", b"\0", b"x" * 5000, b"\xff\xd8\xff",
]  # fmt: skip


@given(
    st.lists(st.sampled_from(FORM_PIECES) | st.binary(max_size=20), max_size=30),
    st.sampled_from([b"cut", b"", b"-", b"\r\n", b"\xff", b"x" * 300]),
)
def test_any_form_is_read_or_refused(pieces: list[bytes], boundary: bytes) -> None:
    with suppress(PhotoRefused):
        assert file_of_form(b"".join(pieces), boundary) is not None


# --- errors and parameters ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/login", 405),
        ("/events?limit=x", 400),
        ("/state?fps=1", 400),
        ("/api/classify", 405),
    ],
)
def test_clients_that_want_json_get_problem_details(site: Site, path: str, status: int) -> None:
    plain = site.get(path)
    assert plain.headers["Content-Type"].startswith("text/plain")
    for accept in ("application/json", PROBLEM, "application/json, text/plain;q=0.5, */*"):
        response = site.get(path, Accept=accept)
        assert (response.status, response.headers["Content-Type"]) == (status, PROBLEM)
        problem = json.loads(response.body)
        assert problem["status"] == status
        assert problem["detail"] == plain.body.decode().strip()
    for accept in ("*/*", "text/plain, application/json;q=0.5", "image/jpeg"):
        assert site.get(path, Accept=accept).headers["Content-Type"].startswith("text/plain")


def test_a_failure_is_told_as_json_too(site: Site) -> None:
    site.facts = {"fps": float("nan")}
    problem = json.loads(site.get("/state", Accept="application/json").body)
    assert problem["status"] == 500


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/stream?qualty=5", "?qualty= is not a parameter of /stream; did you mean ?quality=?"),
        ("/snapshot?fps=5", "?fps= is not a parameter of /snapshot; known here: "),
        ("/events?x=1", "known here: ?after=, ?label=, ?last_event_id=, ?limit=, ?live=, "),
        ("/state?x", "?x= is not a parameter of /state; known here: none."),
        ("/?acton=stream", "did you mean ?action=?"),
        ("/events?type=face_strat", "?type=face_strat is unknown; did you mean face_start?"),
        ("/?action=take", "?action= should be page or stream or snapshot."),
        ("/events.csv?live=1", "?live= is not a parameter of /events.csv; "),
    ],
)  # fmt: skip
def test_an_unknown_parameter_is_refused(site: Site, path: str, sentence: str) -> None:
    response = site.get(path)
    assert response.status == 400
    assert sentence in response.body.decode()


def test_what_gets_past_caches_is_no_parameter(site: Site) -> None:
    for query in ("t=1700000000", "_=5&token=any", "cacheBust=17", "1700000000"):
        assert site.get(f"/snapshot.jpg?{query}").status == 200
        assert site.get(f"/?action=snapshot&{query}").status == 200


def test_the_description_is_served(site: Site) -> None:
    response = site.get("/openapi.yaml")
    assert response.headers["Content-Type"].startswith("application/yaml")
    assert yaml.safe_load(response.body)["openapi"] == "3.1.0"
    assert (ROOT / "docs" / "openapi.yaml").read_bytes() == response.body


# --- the event log --------------------------------------------------------------------------------


@pytest.fixture
def full(site: Site) -> Site:
    """Return a site with an event a minute over the last two hours."""
    now = datetime.now(UTC)
    for number in range(120):
        at = now - timedelta(minutes=119.5 - number)
        site.happens("face_start", at, face=number)
    site.until_logged(120)
    return site


def faces(site: Site, query: str) -> list[int]:
    response = site.get(f"/events?{query}")
    assert response.status == 200, response.body
    return [event["face"] for event in json.loads(response.body)["events"]]


def test_the_newest_come_first_when_asked_for(full: Site) -> None:
    assert faces(full, "order=desc&limit=3") == [119, 118, 117]
    assert faces(full, "order=asc&limit=3") == [0, 1, 2]
    table = full.get("/events.csv?order=desc&limit=2").body.decode().splitlines()
    assert [line.split(",")[4] for line in table[1:]] == ["119", "118"]
    assert full.get("/events?order=random").status == 400


def test_pages_of_the_newest_follow_one_another(full: Site) -> None:
    seen: list[int] = []
    after: str | None = ""
    while after is not None:
        page = json.loads(full.get(f"/events?order=desc&limit=50&after={after}").body)
        seen += [event["face"] for event in page["events"]]
        after = page["next"]
    assert seen == list(range(119, -1, -1))


def test_pages_of_the_newest_are_read_from_old_files_too(tmp_path: Path) -> None:
    with served(tmp_path, view(1)) as site:  # its log is rotated every 20 KB
        for number in range(500):
            site.happens("face_start", face=number)
        site.until_logged(500)
        until(lambda: len(list(tmp_path.glob("events*"))) > 2)
        newest = json.loads(site.get("/events?order=desc&limit=450").body)
        rest = json.loads(site.get(f"/events?order=desc&after={newest['next']}").body)
        assert [event["face"] for event in rest["events"]] == list(range(49, -1, -1))
        earlier = site.log_reader.find(Query(before=rest["events"][0]["id"]), 1000)
        assert [entry.event["face"] for entry in earlier] == list(range(49))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("since=10m", range(110, 120)),
        ("since=1h", range(60, 100)),
        ("since=630s", range(110, 120)),
        ("since=0.5h&until=20m", range(90, 100)),
        ("since=2h&until=1h", range(60)),
        ("since=1d", range(100)),
        ("since=1w&order=desc", range(119, 19, -1)),
    ],
)
def test_times_may_be_relative(full: Site, query: str, expected: range) -> None:
    found = faces(full, query)
    if query == "since=1h":  # 60 events, of which a page has 100
        assert found == list(range(60, 120))
    else:
        assert found == list(expected)


@pytest.mark.parametrize(
    "query", ["since=1y", "since=h", "since=-1h", "until=1 h", "since=99999999999d"]
)
def test_a_wrong_time_is_named(site: Site, query: str) -> None:
    response = site.get(f"/events?{query}".replace(" ", "%20"))
    assert response.status == 400
    assert "or how long ago, like 1h." in response.body.decode()


# --- other sites ----------------------------------------------------------------------------------


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, token=hash_token(TOKEN), cors_origins=(DASH,))
    site.start()
    site.views.put(view(1))
    yield site
    site.stop()


BEARER = {"Authorization": f"Bearer {TOKEN}"}
CROSS = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "cors", "Sec_Fetch_Dest": "empty"}


def test_a_configured_site_may_use_the_api(shared: Site) -> None:
    asks = {
        "Access_Control_Request_Method": "POST",
        "Access_Control_Request_Headers": "authorization",
    }
    preflight = shared.get("/api/classify", "OPTIONS", Origin=DASH, **CROSS, **asks)
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == DASH
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    response = shared.get("/state", Origin=DASH, **CROSS, **BEARER)
    assert response.status == 200
    assert response.headers["Access-Control-Allow-Origin"] == DASH
    assert response.headers.get_all("Cross-Origin-Resource-Policy") == ["cross-origin"]
    assert response.headers["Vary"] == "Origin"
    assert response.headers["Access-Control-Allow-Credentials"] is None
    refused = shared.get("/state", Origin=DASH, **CROSS)
    assert refused.status == 401
    assert refused.headers["Access-Control-Allow-Origin"] == DASH


def test_other_sites_may_not(shared: Site) -> None:
    for origin in (
        "https://evil.example",
        "http://dash.example",
        f"{DASH}:8443",
        f"{DASH}.evil",
        "null",
    ):
        asks = {"Access_Control_Request_Method": "GET"}
        preflight = shared.get("/state", "OPTIONS", Origin=origin, **CROSS, **asks)
        assert preflight.status == 403
        response = shared.get("/state", Origin=origin, **CROSS, **BEARER)
        assert response.headers["Access-Control-Allow-Origin"] is None
    assert shared.get("/state", **BEARER).headers["Access-Control-Allow-Origin"] is None


def test_a_script_of_a_configured_site_reads_the_state(chromium: Any, tmp_path: Path) -> None:
    """In a real browser: the page of one server fetches from another."""
    other = Site(tmp_path / "other")
    other.start()
    origin = f"http://127.0.0.1:{other.server.port}"
    site = Site(tmp_path, token=hash_token(TOKEN), cors_origins=(origin,))
    site.start()
    page = chromium.new_context(bypass_csp=True).new_page()
    try:
        page.goto(f"{origin}/static/icon.svg")
        fetched = """async ([url, token]) => {
            const answer = await fetch(url, { headers: { Authorization: `Bearer ${token}` } });
            return (await answer.json()).camera.name;
        }"""
        url = f"http://localhost:{site.server.port}/state"
        assert page.evaluate(fetched, [url, TOKEN]) == "Door"
        assert (
            page.evaluate("async (url) => (await fetch(url).catch((error) => error)).status", url)
            == 401
        )
    finally:
        page.context.close()
        site.stop()
        other.stop()


# --- proxies --------------------------------------------------------------------------------------


def test_streams_are_not_buffered_by_nginx(site: Site) -> None:
    with site.watch() as stream, site.watch("/events", Accept="text/event-stream") as events:
        assert stream.headers["X-Accel-Buffering"] == "no"
        assert events.headers["X-Accel-Buffering"] == "no"
