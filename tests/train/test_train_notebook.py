"""Runs `train/notebook.ipynb` on a few drawn faces; it is committed without pictures."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.drawn_faces import write_table
from support.labels import LABELS
from support.paths import ROOT

PATH = ROOT / "train" / "notebook.ipynb"


def cells() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(PATH.read_text())["cells"]
    return found


def test_it_is_committed_without_outputs() -> None:
    """Outputs would show faces of FER2013, which must not be published."""
    code = [cell for cell in cells() if cell["cell_type"] == "code"]
    assert code
    for cell in code:
        assert cell["outputs"] == [], cell["id"]
        assert cell["execution_count"] is None, cell["id"]
    assert not [cell for cell in cells() if "attachments" in cell]
    assert "image/png" not in PATH.read_text()


def test_it_goes_through_the_seven_tasks_in_order() -> None:
    headings = [
        "".join(cell["source"]).splitlines()[0]
        for cell in cells()
        if cell["cell_type"] == "markdown"
    ]
    assert [h.split(".")[0] for h in headings[1:]] == [f"## {n}" for n in range(1, 8)]


@pytest.mark.timeout(600)  # TensorFlow is started anew
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_it_runs_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("nbclient", "ipykernel"):
        pytest.importorskip(package, reason=f"NOT TESTED: {package} is missing (dev extra)")
    pytest.importorskip("keras", reason="NOT TESTED: the train extra is not installed")
    import nbclient
    import nbformat

    write_table(tmp_path / "fer2013.csv", training=140, test=42)
    folder = tmp_path / "exports" / "walk"
    settings = {"NETWORK": "compact", "FACES_PER_CLASS": 15, "EPOCHS": 1}
    paths = {"DATASET": tmp_path, "FOLDER": folder}
    notebook = nbformat.read(PATH, as_version=4)
    (place,) = (
        i for i, c in enumerate(notebook.cells) if "parameters" in c.metadata.get("tags", ())
    )
    given = notebook.cells[place].source
    assert all(f"{name} = " in given for name in settings | paths)
    lines = [f"{name} = {value!r}" for name, value in settings.items()]
    lines += [f"{name} = Path({str(path)!r})" for name, path in paths.items()]
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell("\n".join(lines)))

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    client = nbclient.NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(PATH.parent)}},
    )
    client.execute()

    text = printed(notebook)
    assert "training on 105 faces, 42 of PublicTest choose the epoch" in text
    assert "1 batches an epoch; faces (105, 48, 48, 1), targets (105, 7)" in text
    assert "best epoch: 1, validation accuracy " in text
    assert "PublicTest: FER2013 accuracy " in text
    assert "the same answers: True" in text
    assert "model.weights.h5: " in text
    assert pictures(notebook) >= len(LABELS) + 7, "samples, batches, curves and confusion"
    for name in ("model.json", "model.weights.h5", "spec.json", "work/index.html"):
        assert (folder / name).stat().st_size, name


def outputs(notebook: Any) -> list[Any]:
    return [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]


def printed(notebook: Any) -> str:
    return "".join(o.text for o in outputs(notebook) if o.output_type == "stream")


def pictures(notebook: Any) -> int:
    return sum("image/png" in o.get("data", {}) for o in outputs(notebook))
