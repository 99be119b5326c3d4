"""The conversion's report, on a real conversion of a tiny network and on made-up figures."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from support.labels import LABELS
from support.paths import ROOT
from support.stripes import stripes

from convert import report, studies

# Keras on NumPy 2 reads TensorFlow's variables in a way that NumPy means to end.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


class TestReport:
    def test_json_has_the_figures(self, converted: Path) -> None:
        found = json.loads(converted.with_suffix(".report.json").read_text(encoding="utf-8"))
        assert list(found["variants"]) == ["float32", "float16", "dynamic", "int8"]
        int8 = found["variants"]["int8"]
        assert int8["file"]["bytes"] == converted.stat().st_size
        for images in ("test images", "corrupted test images"):
            assert int8["trials"][images]["agreement"] >= found["limits"]["agreement"] == 0.97
            assert len(found["keras"][images]["recall"]) == len(LABELS)
        assert int8["trials"]["test images"]["accuracy"] > 0.9
        assert {"name": "CONV_2D", "version": 3, "count": 2} in int8["operators"]
        assert found["refusals"] == []
        assert found["command"].startswith("python -m convert ")

    def test_markdown_has_them_too(self, converted: Path) -> None:
        text = converted.with_suffix(".report.md").read_text(encoding="utf-8")
        assert "# stripes 1.2.3: conversion report" in text
        for wanted in (
            "top-1 agreement",
            "280 corrupted test images",
            "recall, disgust (40 images)",
            "| int8 | CONV_2D | 3 | 2 |",
            "`stripes.float16.tflite`",
        ):
            assert wanted in text

    def test_every_variant_was_timed_at_one_and_two_threads_on_each_runtime(
        self, converted: Path
    ) -> None:
        found = json.loads(converted.with_suffix(".report.json").read_text(encoding="utf-8"))
        assert list(found["runtimes"]) == ["ai-edge-litert", "tensorflow"]
        for variant in found["variants"].values():
            assert variant["runtimes"].keys() == found["runtimes"].keys()
            assert 0 < variant["memory"]["idle_mib"] < variant["memory"]["peak_mib"] < 500
            for figures in variant["runtimes"].values():
                assert figures["latency_ms"].keys() == {"1", "2"}
                assert all(0 < ms < 1000 for ms in figures["latency_ms"].values())

    def test_runtimes_agree_in_figures_and_a_missing_one_is_named(self, converted: Path) -> None:
        found = json.loads(converted.with_suffix(".report.json").read_text(encoding="utf-8"))
        agreement = found["variants"]["int8"]["runtimes"]["tensorflow"]["agreement"]
        assert agreement == {
            "images": 280,
            "agreement": 1,
            "max_difference": 0,
            "identical": 1,
            "identical_reference": 1,
        }
        text = converted.with_suffix(".report.md").read_text(encoding="utf-8")
        assert "| int8 | tensorflow | 280 | 100.00 % | 0.0000 | 100.00 % | 100.00 % |" in text
        assert "**tflite-runtime was not available**, so the model was not tested on it: " in text
        assert "No such file or directory" in found["unreachable_runtimes"]["tflite-runtime"]

    def test_calibration_was_studied_for_as_many_samples_as_there_are(
        self, converted: Path
    ) -> None:
        found = json.loads(converted.with_suffix(".report.json").read_text(encoding="utf-8"))
        assert [point["samples"] for point in found["calibration_study"]] == [50, 100]
        text = converted.with_suffix(".report.md").read_text(encoding="utf-8")
        assert "calibrated with **100** images, the largest number tried." in text

    def test_html_is_one_well_formed_file_with_the_plot_inside(self, converted: Path) -> None:
        text = converted.with_suffix(".report.html").read_text(encoding="utf-8")
        parser = OpenTags()
        parser.feed(text)
        assert parser.open == []
        for wanted in (
            "<svg",
            "Choose <strong>int8</strong>",
            "<code>stripes.float16.tflite</code>",
        ):
            assert wanted in text
        assert "src=" not in text
        assert "size of the file (MB)" in text
        assert "![" not in converted.with_suffix(".report.md").read_text("utf-8")


VOID = {"meta", "img", "br", "link"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_telephone_and_has_the_style_of_all_reports(
    converted: Path, chromium: Any, scheme: str
) -> None:
    file = converted.with_suffix(".report.html")
    text, template = file.read_text("utf-8"), (ROOT / "docs" / "report.html").read_text("utf-8")
    style = template[template.index("<style>") : template.index("</style>")]
    assert style in text
    page = chromium.new_page(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    shade = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert shade == ("rgb(242, 244, 247)" if scheme == "light" else "rgb(12, 17, 22)")
    page.close()


class OpenTags(HTMLParser):
    """Which elements were begun and not ended, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


class TestLayers:
    def test_a_model_against_itself_has_no_error(self, converted: Path) -> None:
        exact = converted.with_suffix(".float32.tflite").read_bytes()
        found = studies.layer_errors(exact, exact, stripes(3, seed=4)[0])
        assert {layer.sqnr_db for layer in found} == {99}

    def test_int8_layers_have_an_error_of_some_percent(self, converted: Path) -> None:
        exact = converted.with_suffix(".float32.tflite").read_bytes()
        found = studies.layer_errors(exact, converted.read_bytes(), stripes(5, seed=4)[0])
        assert len(found) >= 5
        assert all(15 < layer.sqnr_db <= 99 for layer in found)
        assert len({layer.name for layer in found}) == len(found)
        assert not any(";" in layer.name for layer in found)


def figures(size: int, ms: float, mean_kl: float, drop_low: float = -0.01) -> dict[str, Any]:
    trial = {"mean_kl": mean_kl, "accuracy_drop": 0.001, "accuracy_drop_low": drop_low}
    litert = {"latency_ms": {1: ms, 2: ms}}
    return {"file": {"bytes": size}, "runtimes": {"litert": litert}, "trials": {"images": trial}}


class TestChoice:
    int8 = figures(500_000, 2.0, 0.001)

    def test_one_variant_is_no_choice(self) -> None:
        assert report.advice({"int8": self.int8}) == ""

    def test_a_variant_is_named_for_what_it_does_clearly_better(self) -> None:
        variants = {"float32": figures(2_000_000, 1.0, 0.0), "int8": self.int8}
        said = report.advice(variants)
        assert "Choose **int8** unless you have a reason not to: 0.50 MB, 2.00 ms" in said
        assert "an accuracy that differs from Keras's by no more than chance" in said
        assert "Choose **float32** where answers must be Keras's own" in said
        assert "Choose **float32** on a machine like this one" in said
        assert "every byte" not in said

    def test_a_difference_of_accuracy_is_told_where_it_is_more_than_chance(self) -> None:
        int8 = figures(500_000, 2.0, 0.001, drop_low=0.0005)
        said = report.advice({"int8": int8, "float32": figures(2_000_000, 1.0, 0.0)})
        assert "0.10 points worse than Keras" in said

    def test_a_few_bytes_less_are_no_reason(self) -> None:
        variants = {"dynamic": figures(495_000, 1.9, 0.001), "int8": self.int8}
        assert "dynamic" not in report.advice(variants)
