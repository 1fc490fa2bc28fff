"""Builds the page in `demo/dist`: `make page`, then `python -m http.server -d demo/dist`.

The networks become ONNX files, and onnxruntime-web is copied in; npm fetches it. The page itself fetches nothing else.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from benchmarks.baselines import PlainCNN, plain_cnn
from scalegroup.models import export, find_trained, gaussian_derivative_net

HERE = Path(__file__).resolve().parent
DIST = HERE / "dist"
PAGE = ("index.html", "style.css", "page.js", "drawing.js", "networks.js")
RUNTIME = "onnxruntime-web@1.30.0"
VENDORED = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
WEIGHTS = "mnist-large-scale-5k"
CHANNELS = (1, 10)  # first and end of the scale channels: σ₀ from ½ to 8, for drawings of that size on the canvas
SIZE = 112  # of the images, in pixels, as of `drawing.js`


def cnn() -> PlainCNN:
    """The ordinary CNN, before training: it has halved its maps three times, so that it sees all of a digit."""
    return plain_cnn(downsample=(1, 2, 3))


def vendor(folder: Path) -> None:
    """onnxruntime-web's files, where they are missing. Raises `SystemExit` where npm cannot fetch them."""
    if all((folder / name).is_file() for name in VENDORED):
        return
    with tempfile.TemporaryDirectory() as elsewhere:
        try:
            subprocess.run(["npm", "pack", "--silent", RUNTIME], cwd=elsewhere, check=True, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(f"{RUNTIME} could not be fetched ({error}); the page needs npm to be built") from None
        (package,) = Path(elsewhere).glob("*.tgz")
        shutil.unpack_archive(package, elsewhere, filter="data")
        for name in VENDORED:
            shutil.copy(Path(elsewhere) / "package" / "dist" / name, folder)


def networks(folder: Path) -> None:
    """Ours, what it says of itself, and the ordinary one."""
    trained = find_trained(WEIGHTS)
    net = gaussian_derivative_net(weights=WEIGHTS, window=trained.architecture.window.select(*CHANNELS))
    said = export(net, SIZE, folder / "scalegroup.onnx", about=trained.about)
    (folder / "scalegroup.json").write_text(json.dumps(said), encoding="utf-8")
    other = cnn()
    other.load_state_dict(load_file(HERE / "cnn.safetensors"))
    names: dict[str, Any] = {"input_names": ["images"], "output_names": ["scores"]}
    program: Any = torch.onnx.export(
        other.eval(), (torch.zeros(1, 1, SIZE, SIZE),), dynamo=True, verbose=False, **names
    )
    program.save(folder / "cnn.onnx", external_data=False)


if __name__ == "__main__":
    DIST.mkdir(exist_ok=True)
    for name in PAGE:
        shutil.copy(HERE / name, DIST)
    vendor(DIST)
    networks(DIST)
    print("built; python -m http.server -d demo/dist shows it at http://localhost:8000")
