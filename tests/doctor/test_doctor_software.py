"""Tests the doctor's checks of Python and its packages."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from support.paths import ROOT

from deploy.release import requirements
from edge_daemon.doctor import software
from edge_daemon.doctor.finding import Finding, worst

WELL = {
    "ai-edge-litert": "2.3.0",
    "numpy": "2.4.6",
    "opencv-python-headless": "4.14.0.94",
}


OLD = {
    "tflite-runtime": "2.14.0",
    "numpy": "1.26.4",
    "opencv-python-headless": "4.11.0.86",
}


def checked(
    versions: Mapping[str, str], *extras: str, without: Sequence[str] = ()
) -> list[Finding]:
    """Return the findings on `versions` and the packages installed here, `without` some."""
    others = {name: version for name, version in software.installed().items() if name not in CORE}
    there = {name: found for name, found in {**others, **versions}.items() if name not in without}
    needed = software.requirements(there, runtime="auto", extras=extras)
    return list(software.check_packages(there, needed))


CORE = {*WELL, *OLD, "opencv-python", "opencv-contrib-python"}


class TestSoftware:
    @pytest.mark.parametrize("versions", [WELL, OLD], ids=["LiteRT", "tflite-runtime"])
    def test_what_the_extras_install_fits(self, versions: Mapping[str, str]) -> None:
        (finding,) = checked(versions)
        assert finding.verdict == "ok"
        assert f"numpy {versions['numpy']}" in finding.sentence

    def test_the_requirements_are_those_of_the_installed_distribution(self) -> None:
        distributed = importlib.metadata.requires("mien") or []
        for extra, versions in (("edge", WELL), ("edge-tflite-runtime", OLD)):
            found = software.requirements(versions, runtime="auto", extras=["mqtt"])
            wanted = {
                Requirement(each).name
                for each in distributed
                if f'extra == "{extra}"' in each or 'extra == "mqtt"' in each
            }
            assert {each.name for each in found} == wanted

    def test_every_requirement_is_loaded_by_the_module_that_it_has(self) -> None:
        for text in requirements(ROOT / "pyproject.toml"):
            assert find_spec(software.module_of(Requirement(text).name)), text

    def test_an_environment_without_mien_is_one_finding(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(software, "DISTRIBUTION", "mien-elsewhere")
        (finding,) = software.examine(WELL, runtime="auto", extras=[])
        assert finding.verdict == "error"
        assert "Mien is not installed in this environment" in finding.sentence

    @pytest.mark.parametrize(("version", "verdict"), [("3.13.9", "ok"), ("3.14.0", "warning")])
    def test_python(self, version: str, verdict: str) -> None:
        finding = software.check_python(Version(version), SpecifierSet(">=3.11,<3.14"))
        assert finding.verdict == verdict
        assert verdict == "ok" or "is untested; use 3.11 to 3.13" in finding.sentence

    def test_numpy_2_does_not_fit_tflite_runtime(self) -> None:
        (finding,) = checked(OLD | {"numpy": "2.4.6"})
        assert finding.verdict == "error"
        assert "tflite-runtime needs NumPy 1" in finding.sentence
        assert "pip install tflite-runtime==2.14.0 'numpy>=1.26,<2'" in finding.remedy

    def test_a_package_that_is_missing_is_named_with_its_command(self) -> None:
        (finding,) = checked(WELL, without=["gevent"])
        assert (finding.verdict, finding.sentence) == ("error", "gevent is not installed")
        assert "-m pip install 'gevent>=" in finding.remedy

    def test_without_a_runtime_litert_is_asked_for(self) -> None:
        (finding,) = checked(WELL, without=["ai-edge-litert"])
        assert finding.sentence == "ai-edge-litert is not installed"

    def test_mqtt_needs_its_package_only_where_there_is_a_broker(self) -> None:
        assert worst(checked(WELL, without=["paho-mqtt"])) == "ok"
        (finding,) = checked(WELL, software.MQTT, without=["paho-mqtt"])
        assert finding.sentence == "paho-mqtt is not installed"

    def test_an_untested_version_is_a_warning(self) -> None:
        (finding,) = checked(WELL | {"opencv-python-headless": "5.0.0.93"})
        assert finding.verdict == "warning"
        assert finding.sentence.startswith("opencv-python-headless 5.0.0.93 is untested; use ")

    def test_two_opencvs_are_in_each_others_way(self) -> None:
        (finding,) = checked(WELL | {"opencv-contrib-python": "4.14.0.94"})
        assert finding.verdict == "warning"
        assert "pip uninstall -y opencv-contrib-python opencv-python-headless &&" in finding.remedy

    def test_any_opencv_and_one_from_apt_will_do(self) -> None:
        others = {name: WELL[name] for name in WELL if name != "opencv-python-headless"}
        assert worst(checked(others | {"opencv-python": "4.14.0.94"})) == "ok"
        assert worst(checked(others | {"opencv-python-headless": ""})) == "ok"
