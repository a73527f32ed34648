"""Run notebooks/analysis.ipynb on a real sweep of the digits and store its outputs: ``python docs/make_notebook.py``.

Figures are stored twice: as Plotly has them, for Jupyter, and as pictures, for places that run no scripts. Those are
drawn by Debian's chromium with playwright, as in make_screenshots.py.
"""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
import plotly
from nbclient import NotebookClient
from PIL import Image
from playwright.sync_api import Page, sync_playwright

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "analysis.ipynb"
FIGURE = "application/vnd.plotly.v1+json"
WIDTH = 900
COLORS = 64
"""Colors of a picture: enough for lines on white, and the file is a third as large."""


def main() -> None:
    """Sweep, run the notebook in the folder of the results, add the pictures, and write it."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        sweep = [sys.executable, "-m", "tune_app", "run", "digits_cnn", "--trials", "100"]
        subprocess.run(sweep, cwd=folder, check=True)
        NotebookClient(notebook, timeout=120, resources={"metadata": {"path": folder}}).execute()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 700})
        page.set_content("<div id=figure></div>")
        page.add_script_tag(path=str(Path(plotly.__file__).parent / "package_data" / "plotly.min.js"))
        for cell in notebook.cells:
            cell.get("metadata", {}).pop("execution", None)  # times of day
            outputs = [output for output in cell.get("outputs", []) if output.get("name") != "stderr"]
            for output in outputs:
                _add_picture(page, output.get("data", {}))
            if cell.cell_type == "code":
                cell.outputs = outputs
        browser.close()
    nbformat.write(notebook, NOTEBOOK)


def _add_picture(page: Page, data: dict[str, Any]) -> None:
    """Add a PNG to the data of an output that is a figure."""
    if FIGURE not in data:
        return
    address = page.evaluate(
        """async ([figure, width]) => {
            const layout = {...figure.layout, width, height: figure.layout.height || 450};
            await Plotly.newPlot('figure', figure.data, layout);
            return Plotly.toImage('figure', {format: 'png', width, height: layout.height});
        }""",
        [json.loads(json.dumps(data[FIGURE])), WIDTH],
    )
    picture = io.BytesIO()
    drawn = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB")
    drawn.quantize(COLORS).save(picture, "png", optimize=True)
    data["image/png"] = base64.b64encode(picture.getvalue()).decode()


if __name__ == "__main__":
    main()
