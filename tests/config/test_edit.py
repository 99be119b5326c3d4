"""Changes of settings in the text of a configuration file."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.paths import ROOT

from edge_daemon.config.edit import EditError, difference, edited
from edge_daemon.config.file import parse_config
from edge_daemon.config.form import editable_keys, settings_form
from edge_daemon.config.schema import Config, keys, overridden

SAMPLE = (ROOT / "config.yaml").read_text()
BLOCKS = """\
# top

privacy:
    # about masks
    masks:
      - [0, 0, 0.2, 1]   # the window
      - [0, 0, 0.2, 1]

# next section
smoothing:   # nothing yet
web: {max_viewers:   3, token: ''}  # flow
camera:
    name:   'x'  # quoted

    # the end
"""
TEXTS = [SAMPLE, BLOCKS, "", "# only a comment\n", "---\nstream: {quality: 50}\n"]
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "camera.name": st.text(min_size=1, max_size=20).filter(lambda name: not set("\0#") & set(name)),
    "camera.rotate": st.sampled_from([0, 90, 180, 270]),
    "detector.interval": st.just("auto") | st.integers(1, 60),
    "detector.reach": st.sampled_from(["auto", "near", "far"]),
    "smoothing.min_score": st.integers(0, 100).map(lambda share: share / 100),
    "smoothing.label_min_scores": st.dictionaries(
        st.sampled_from(["fear", "off", "a: b", "1", "Überraschung"]), st.just(0.5)
    ),
    "privacy.blur_faces": st.booleans(),
    "privacy.masks": st.lists(st.lists(st.just(0.25), min_size=4, max_size=4), max_size=3),
    "stream.quality": st.integers(1, 100),
}


def parsed(text: str) -> Config:
    return parse_config(text, "config.yaml")


def comments(text: str) -> list[str]:
    return [line.partition("#")[2] for line in text.splitlines() if "#" in line]


@settings(max_examples=60)
@given(
    text=st.sampled_from(TEXTS),
    changes=st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: VALUES[name] for name in names})
    ),
)
def test_only_what_is_asked_for_changes(text: str, changes: dict[str, Any]) -> None:
    if text is BLOCKS and "privacy.masks" in changes:
        with pytest.raises(EditError, match="the comment '# the window' would be lost"):
            edited(text, changes)
        return
    after = edited(text, changes)
    assert parsed(after) == overridden(parsed(text), changes)
    assert set(comments(text)) <= set(comments(after))
    assert edited(after, changes) == after


def test_other_lines_stay_as_they_are() -> None:
    after = edited(SAMPLE, {"smoothing.min_score": 0.55, "camera.name": "off"})
    pairs = zip(SAMPLE.splitlines(), after.splitlines(), strict=True)
    assert [new for old, new in pairs if old != new] == [
        '  name: "off"       # its name in events and on the page',
        '  min_score: 0.55   # below this the expression is "uncertain"',
    ]


def test_line_ends_and_indents_stay() -> None:
    text = "camera:\r\n    name: x\r\n"
    after = edited(text, {"camera.mirror": True, "tracker.max_age_s": 2.0})
    rest = "tracker:\r\n    max_age_s: 2.0\r\n"
    assert after == "camera:\r\n    mirror: true\r\n    name: x\r\n" + rest


def test_a_list_is_replaced_and_what_follows_it_stays() -> None:
    text = "privacy:\n  masks:\n    - [0, 0, 0.2, 1]\n\n# next section\nstream: {quality: 5}\n"
    after = edited(text, {"privacy.masks": [[0, 0, 1, 1]]})
    expected = "privacy:\n  masks: [[0, 0, 1, 1]]\n\n# next section\nstream: {quality: 5}\n"
    assert after == expected


def test_comments_inside_braces_stay_or_are_named() -> None:
    text = "smoothing: {dwell_s: 1.0,  # why\n  min_score: 0.5}\n"
    assert edited(text, {"smoothing.dwell_s": 2}) == text.replace("1.0", "2")
    text = "smoothing: {label_min_scores: {sad: 0.5,  # why\n  fear: 0.5}}\n"
    with pytest.raises(EditError, match="'# why' would be lost"):
        edited(text, {"smoothing.label_min_scores": {"sad": 0.6}})


ODD = {
    "an anchor": ("a: &x\nsmoothing: &s\n  min_score: 0.4 # c\n", "0.4"),
    "an alias": ("detector:\n  min_score: &m 0.5\nsmoothing:\n  min_score: *m # same\n", "*m"),
    "quotes": ("camera: {name: 'it''s'}  # q\nsmoothing:\n  'min_score': \"0.4\"\n", '"0.4"'),
    "a document's marks": ("---\nsmoothing:\n  min_score: 0.4\n...\n", "0.4"),
    "a byte order mark": ("\ufeffsmoothing:\n  min_score: 0.4\n", "0.4"),
    "a list in lines": (
        "privacy:\n  masks: [\n    [0, 0, 0.1, 0.1], # left\n    [0.5, 0.5, 0.1, 0.1]\n  ]\n"
        "smoothing: {min_score: 0.4}\n", "0.4"),
    "dashes below their key": (
        "webhooks:\n- url: http://x/\n  types:\n    - face_start\nsmoothing:\n  min_score: 0.4\n",
        "0.4"),
    "a block of text": (
        "webhooks:\n  - template: |\n      {\"a\": \"b\"}\n      # no comment\n"
        "smoothing:\n  min_score: 4e-1\n", "4e-1"),
    "no line end": ("smoothing: {dwell_s: 1, min_score: 0.4}", "0.4"),
    "folded": ("smoothing:\n  min_score:\n    0.4\n  dwell_s: 1\n", "\n    0.4"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_every_other_character_stays(kind: str) -> None:
    text, old = ODD[kind]
    before, _, after = text.rpartition(old)
    new = edited(text, {"smoothing.min_score": 0.55})
    expected = before.removesuffix(" ") + " 0.55" if kind == "folded" else f"{before}0.55"
    assert new == expected + after


def test_a_value_that_an_alias_repeats_cannot_be_edited() -> None:
    """It would change something else too."""
    text = "detector:\n  min_score: &m 0.5\nsmoothing:\n  min_score: *m\n"
    with pytest.raises(EditError, match="by hand"):
        edited(text, {"detector.min_score": 0.6})
    with pytest.raises(EditError, match="by hand"):
        edited("a: &a {min_score: 0.4}\nsmoothing: *a\n", {"smoothing.min_score": 0.6})


def test_a_new_key_comes_below_its_section() -> None:
    text = "privacy:  # of people\n    # about masks\n    masks: []\n\n# next\nstream: {}\n"
    after = edited(text, {"privacy.blur_faces": True, "stream.quality": 70})
    assert after == text.replace("people\n", "people\n    blur_faces: true\n").replace(
        "{}", "{quality: 70}"
    )


@pytest.mark.parametrize("text", ["- 1\n", "just text\n", "smoothing: 3\n", "a: [\n"])
def test_what_is_no_mapping_cannot_be_edited(text: str) -> None:
    with pytest.raises(EditError, match="by hand"):
        edited(text, {"smoothing.min_score": 0.5})


def test_a_difference_shows_no_other_value() -> None:
    before = (
        "camera: {source: 'rtsp://me:secret@cam/?key=secret', name: old}\n"
        "webhooks: [{url: 'http://secret'}]\n"
        "web:\n  password: &p secret\n"
    )
    after = before.replace("old", "new").replace("webhooks: [", "webhooks:  [")
    shown = difference(before, after, shown=editable_keys())
    assert shown == (
        "@@ -1,2 +1,2 @@\n"
        "-camera: {source: …, name: old}\n-webhooks: [{url: …}]\n"
        "+camera: {source: …, name: new}\n+webhooks:  [{url: …}]\n"
    )


def test_the_form_has_what_changes_without_a_restart_and_no_secret_address_or_file() -> None:
    fields = {each["key"]: each for each in settings_form(parsed("stream: {quality: 55}"))}
    known = {key.name: key for key in keys()}
    assert not any(known[name].needs_restart or known[name].is_path for name in fields)
    sections = {name.partition(".")[0] for name in fields}
    assert not sections & {"web", "mqtt", "models", "webhooks", "snapshots"}
    assert {"detector.reach", "smoothing.dwell_s", "privacy.masks"} <= set(fields)
    assert "camera.source" not in fields
    quality = fields["stream.quality"]
    assert (quality["value"], quality["default"], quality["kind"]) == ("55", "80", "integer")
    assert (quality["minimum"], quality["maximum"]) == (1, 100)
    assert fields["camera.rotate"]["choices"] == ["0", "90", "180", "270"]
    assert all(each["description"] and each["accepts"] for each in fields.values())
