"""The Architecture page: the network of a trial, what is missing without a checkpoint, and the downloads."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tune_app.results.review import best_row
from tune_app.store.best_layers import write_best_layers
from tune_app.store.store import Store
from tune_app.store.study import Study

UI = Path(__file__).parents[2] / "ui"
SCRIPT = f"""
import sys
sys.path.insert(0, {str(UI)!r})
from sources import choose_study
import architecture_page
choose_study()
architecture_page.show()
"""


def texts(page: AppTest) -> str:
    assert not page.exception, page.exception
    kinds = (page.markdown, page.caption, page.error, page.warning, page.info)
    return "\n".join(element.value for kind in kinds for element in kind)


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], AppTest]:
    def run(root: Path) -> AppTest:
        monkeypatch.setenv("TUNE_APP_STORE", str(root))
        return AppTest.from_string(SCRIPT, default_timeout=120).run()

    return run


def scene(page: AppTest) -> dict[str, Any]:
    """The data passed to the drawing."""
    (component,) = page.get("bidi_component")
    return json.loads(component.proto.json)


def test_the_network_of_the_best_trial_from_its_module(
    open_page: Callable[[Path], AppTest], trained_results: Path
) -> None:
    page = open_page(trained_results)
    page.selectbox(key="digits-small-trial").set_value(0).run()
    said, drawn = texts(page), scene(page)
    config = Store(trained_results).study("digits-small").history().trials[0].config
    convolutions = [layer for layer in drawn["layers"] if layer["type"] == "Conv2d"]
    assert len(convolutions) == config["conv_layers"]
    assert convolutions[0]["output_shape"][1] == config["filters"]
    assert convolutions[0]["seen"]["units"] == config["filters"]
    total = sum(layer["parameters"] for layer in drawn["layers"])
    assert f"{len(drawn['layers'])} layers · {total:,} parameters" in said
    assert list(page.dataframe[0].value["Layer"]) == [layer["name"] for layer in drawn["layers"]]
    page.selectbox(key="digits-small-trial").set_value(1).run()
    said = texts(page)
    assert (
        "Trial 1 (pruned) has no checkpoint, so its layers have sizes but no health or activation measurements" in said
    )
    assert all(layer["seen"] is None for layer in scene(page)["layers"])
    assert all(layer["output_shape"] for layer in scene(page)["layers"])


def test_the_best_network_is_shown_without_its_task(
    open_page: Callable[[Path], AppTest], trained_results: Path, tmp_path: Path
) -> None:
    root = tmp_path / "results"
    shutil.copytree(trained_results, root)
    study = Store(root).study("digits-small")
    row = best_row(study)
    layer = {"name": "head", "type": "Linear", "settings": "", "input_shapes": [[1, 4]], "output_shape": [1, 2]}
    sizes = {"parameter_shapes": {"weight": [2, 4]}, "parameters": 8, "trainable": 8}
    ended = study.history().trials[int(row["trial"])].row
    assert ended is not None
    write_best_layers(study, ended, [{**layer, **sizes}])
    space = root / "studies" / "digits-small" / "spec.yaml"
    space.write_text(space.read_text().replace("task: image_cnn", "task: gone_away:Task"))
    page = open_page(root)
    assert "1 layer · 8 parameters" in texts(page)
    assert [layer["name"] for layer in scene(page)["layers"]] == ["head"]
    assert "gone_away" in texts(page), "without the task, the page can't show what the layers saw"


def test_the_pictures_of_a_trial_are_made_on_request(
    open_page: Callable[[Path], AppTest], trained_results: Path
) -> None:
    page = open_page(trained_results)
    page.selectbox(key="digits-small-trial").set_value(0).run()
    assert not page.get("iframe")
    (ask,) = [button for button in page.button if button.label == "Pictures of this trial"]
    ask.click().run()
    assert not page.exception
    (shown,) = page.get("iframe")
    for words in ("Training history", "Confusion matrix", "Gradient flow", "Activation maps", "epoch by epoch"):
        assert words in shown.proto.srcdoc, words
    page.selectbox(key="digits-small-trial").set_value(1).run()
    assert not page.get("iframe"), "the pictures were of another trial"


def test_the_page_says_if_a_network_cannot_be_built(
    open_page: Callable[[Path], AppTest], tmp_path: Path, make_study: Any
) -> None:
    study = make_study(tmp_path / "results")
    spec = Path(study.folder.path(f"{study.base}/spec.yaml"))
    spec.write_text(spec.read_text().replace("dataset: digits", "dataset: nowhere"))
    page = open_page(tmp_path / "results")
    assert "nowhere" in texts(page)
    assert not page.get("bidi_component")


def test_an_empty_store(open_page: Callable[[Path], AppTest], tmp_path: Path) -> None:
    page = open_page(tmp_path / "nothing")
    assert page.header[0].value == "Architecture"
    assert "There are no studies yet." in texts(page)


def test_the_drawing_file_is_self_contained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(UI))
    from network_scene import scene_file

    layer = {"name": "</script><b>", "type": "Linear", "seen": None}
    document = scene_file([layer], "a & b")
    assert "<title>a &amp; b</title>" in document
    assert document.count("</script>") == 3
    assert "src=" not in document.split("<script>")[0]
    assert "import(" not in document
    monkeypatch.delitem(sys.modules, "network_scene")


def test_a_task_without_a_network_still_offers_its_model(
    open_page: Callable[[Path], AppTest], sgd_study: Study
) -> None:
    page = open_page(Path(sgd_study.folder.url))
    said = "the task `sgd_digits:SGDDigits` has no network to show: its model is not a torch.nn.Module"
    assert said in texts(page).replace("\\", "")
    assert not page.error
    assert not page.get("bidi_component")
    (model,) = page.get("download_button")
    assert model.proto.label == "Model (weights and configuration)"
    assert not model.proto.disabled
    assert any(button.label == "Pictures of this trial" for button in page.button)
    assert not page.code


def test_what_a_script_printed_is_shown(open_page: Callable[[Path], AppTest], sgd_study: Study) -> None:
    for number in sgd_study.history().trials:
        sgd_study.folder.write(sgd_study.log(number), b"$ python train.py\nstep 20\n")
    page = open_page(Path(sgd_study.folder.url))
    assert [code.value for code in page.code] == ["$ python train.py\nstep 20"]
    assert f"tune-app logs {sgd_study.name}" in texts(page)
    for number in sgd_study.history().trials:
        sgd_study.folder.remove(sgd_study.log(number))
