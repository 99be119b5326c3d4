"""Feeds random configurations; each is read, or refused with sentences."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge_daemon.config.file import ConfigError, load_config, parse_config
from edge_daemon.config.schema import Config, keys

NAMES = [key.name for key in keys()] + ["camera", "web", "zzz", "camera.zzz", "a.b.c", ""]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.dates(), st.binary()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(SCALARS, inner, max_size=3)
    ),
    max_leaves=6,
)
fuzz = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def parsed(text: str, words: list[str] | None = None) -> Config | None:
    """Return the configuration; None if it is refused, as it should be."""
    try:
        return parse_config(text, "c.yaml", words or [])
    except ConfigError as error:
        lines = str(error).splitlines()
        assert lines
        assert all(len(line) < 2000 for line in lines)
        return None


@fuzz
@example("[" * 100_000)
@example("a: &a [*a]")
@example("&a {camera: *a}")
@example("? [a]\n: b")
@example("a: !!python/object:os.system {}")
@example("web: {port: " + "9" * 10_000 + "}")
@example("camera: {fps: 1e999}")
@example('model: "a\\0b"')
@example("\ufeffcamera: {name: a}")
@example("\x00")
@example("a: &l [x]\n" + "".join(f"b{n}: &b{n} [*l, *l]\n" for n in range(40)))
@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    parsed(text)


@fuzz
@given(st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=4))
def test_any_values_are_read_or_refused(pairs: list[tuple[str, object]]) -> None:
    values: dict[str, object] = {}
    for name, value in pairs:
        section, _, key = name.rpartition(".")
        if section:
            inner = values.setdefault(section, {})
            if isinstance(inner, dict):
                inner[key] = value
        else:
            values[key] = value
    parsed(yaml.safe_dump(values))


@fuzz
@given(st.lists(st.tuples(st.sampled_from(NAMES), st.text()), max_size=3))
def test_any_override_is_read_or_refused(pairs: list[tuple[str, str]]) -> None:
    parsed("", [f"{name}={value}" for name, value in pairs])


@fuzz
@given(st.binary())
def test_any_file_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    try:
        load_config(path)
    except ConfigError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_number_that_is_none_is_refused(value: str) -> None:
    for key in keys():
        assert parsed("", [f"{key.name}=.{value}"]) is None or key.is_text or key.is_path


def nested(item: str, brackets: str) -> str:
    """Return a file of 30 lines whose last alias stands for 9 to the power of 29 values."""
    lines = [f"a0: &a0 {brackets}"]
    for layer in range(1, 30):
        items = ", ".join(item.format(number, layer - 1) for number in range(9))
        lines.append(f"a{layer}: &a{layer} {brackets[0]}{items}{brackets[1]}")
    return "\n".join([*lines, ""])


LISTS, MAPS = nested("*a{1}", "[]"), nested("k{0}: *a{1}", "{}")


@pytest.mark.parametrize(
    "text",
    [
        *(LISTS + line for line in ("camera: *a29", "camera: {name: *a29}", "web: {hosts: *a29}")),
        *(
            MAPS + line
            for line in ("camera: *a29", "camera: {controls: *a29}", "camera: {<<: *a29}")
        ),
        "web: {port: 0x" + "f" * 400_000 + "}",
        "web: {port: 0b" + "1" * 400_000 + "}",
        "camera: {fps: " + ":".join(["59"] * 5000) + "}",
        "? " + "a " * 200_000 + "\n: b",
        "? [a]\n: b",
        "camera: &c {name: *c}",
        "&r\ncamera: *r",
    ],
    ids=range(13),
)
def test_what_grows_when_it_is_read_is_one_short_sentence_a_line(text: str) -> None:
    assert parsed(text) is None
