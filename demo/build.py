"""Puts together what the page needs: `make page`, then `python -m http.server -d demo`.

The networks as ONNX files, what they are as JSON, and onnxruntime-web, which npm fetches once.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

from benchmarks.baselines import plain_cnn
from scalegroup.models import export, find_trained, gaussian_derivative_net

HERE = Path(__file__).resolve().parent
WEIGHTS = "mnist-large-scale-5k"
SIZE = 112  # of the images, in pixels
RUNTIME = "onnxruntime-web@^1.20"
VENDORED = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
DOWNSAMPLE = (1, 2, 3)  # of the CNN


def vendor(folder: Path) -> None:
    """onnxruntime-web's files, where they are missing. Raises `SystemExit` where npm cannot fetch them."""
    if all((folder / name).is_file() for name in VENDORED):
        return
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as elsewhere:
        try:
            subprocess.run(["npm", "pack", "--silent", RUNTIME], cwd=elsewhere, check=True, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(f"{RUNTIME} could not be fetched ({error}); the page needs npm once") from None
        (package,) = Path(elsewhere).glob("*.tgz")
        shutil.unpack_archive(package, elsewhere)
        for name in VENDORED:
            shutil.copy(Path(elsewhere) / "package" / "dist" / name, folder / name)


def networks(folder: Path) -> None:
    """Ours and the ordinary one, and σ₀ of the scale channels."""
    net, about = gaussian_derivative_net(weights=WEIGHTS), find_trained(WEIGHTS).about
    export(net, SIZE, folder / "scalegroup.onnx", about=about)
    cnn = plain_cnn(downsample=DOWNSAMPLE)
    cnn.load_state_dict(load_file(folder / "cnn.safetensors"))
    torch.onnx.export(
        cnn.eval(),
        (torch.zeros(1, 1, SIZE, SIZE),),
        folder / "cnn.onnx",
        dynamo=True,
        external_data=False,
        verbose=False,
        input_names=["images"],
        output_names=["scores"],
    )
    (folder / "networks.json").write_text(json.dumps({"window": net.window.sigmas}), encoding="utf-8")


if __name__ == "__main__":
    vendor(HERE / "vendor")
    networks(HERE)
    print(f"built; python -m http.server -d {HERE.name} shows it at http://localhost:8000")
