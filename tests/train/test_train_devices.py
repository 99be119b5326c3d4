"""Training on several devices and hosts: the same weights as on one device."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.paths import ROOT
from support.ports import free_port

pytest.importorskip("jax", reason="the jax extra is not installed")

pytestmark = pytest.mark.timeout(600)

FOUR = "--xla_force_host_platform_device_count=4"
SCRIPT = ROOT / "tests" / "support" / "train_spread.py"


def start(folder: Path, *cluster: object, devices: str = "") -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), *map(str, cluster)],
        cwd=ROOT,
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": str(ROOT),
            "XLA_FLAGS": devices,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> None:
    said, _ = process.communicate(timeout=540)
    assert process.returncode == 0, said


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the weights after a training on one device."""
    folder = tmp_path_factory.mktemp("one")
    finished(start(folder))
    return folder / "weights.npz"


def same(one: Path, other: Path, devices: int) -> None:
    with np.load(one) as a, np.load(other) as b:
        assert int(a["devices"]) == 1
        assert int(b["devices"]) == devices
        for name in set(a) - {"devices"}:
            np.testing.assert_allclose(b[name], a[name], rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_four_devices_train_as_one_does(alone: Path, tmp_path: Path) -> None:
    finished(start(tmp_path, devices=FOUR))
    same(alone, tmp_path / "weights.npz", devices=4)


@pytest.mark.long
def test_two_hosts_train_as_one_device_does(alone: Path, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    hosts = [start(tmp_path / "shared", address, 2, number) for number in (0, 1)]
    for host in hosts:
        finished(host)
    same(alone, tmp_path / "shared" / "weights.npz", devices=2)


def test_another_backend_is_refused_in_one_sentence(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "train", "fit", str(tmp_path / "x.csv"), "--devices", "all"],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert process.returncode == 2
    assert len(process.stderr.splitlines()) == 1
