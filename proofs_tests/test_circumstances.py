"""Commands and examples in hard circumstances: no terminal, columns, letters, home or reader, and odd pictures."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from proofs_tests.examples import ROOT, names_of
from scalegroup import ScaleGroupError

REPORT = [sys.executable, "-m", "benchmarks", "report", "benchmarks/results/demo"]
HARD = {"COLUMNS": "20", "LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "HOME": "/nowhere"}


def test_a_report_is_written_without_letters_columns_home_or_terminal(tmp_path):
    made = subprocess.run(
        [*REPORT, "--output", str(tmp_path)], env=os.environ | HARD, cwd=ROOT, capture_output=True, check=False
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout.decode("ascii").count("\n") > 10  # the control: letters that ASCII lacks would end it
    assert (tmp_path / "accuracy.png").exists()


def test_nobody_reading_ends_a_command_without_a_traceback(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as nobody:
        made = subprocess.run(
            [*REPORT, "--output", str(tmp_path)], cwd=ROOT, stdout=nobody, stderr=subprocess.PIPE, check=False
        )
    assert made.returncode != 0
    assert b"Traceback" not in made.stderr


def test_what_is_told_to_end_leaves_what_was_there(tmp_path):
    earlier = tmp_path / "results.json"
    earlier.write_text("{}")
    command = [sys.executable, "-m", "benchmarks", "generalisation", "--output", str(tmp_path), "--threads", "1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while process.poll() is None and not list(tmp_path.glob("logs/*.csv")):
            time.sleep(0.05)
        process.terminate()
        told = process.communicate()[1]
    assert process.returncode == -signal.SIGTERM
    assert b"Traceback" not in told
    assert earlier.read_text() == "{}"
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".safetensors"]


def pictures(folder):
    """The same ramp of red and blue in everything a photograph may be."""
    grey = np.tile(np.arange(0, 240, 6, dtype=np.uint8)[None], (30, 1))
    colour = Image.merge("RGB", [Image.fromarray(part) for part in (grey, 0 * grey, 240 - grey)])
    kinds = {"plain.png": colour, "palette.png": colour.quantize(64), "cmyk.tif": colour.convert("CMYK")}
    for name, picture in kinds.items():
        picture.save(folder / name)
    black = Image.new("RGB", colour.size)
    colour.save(folder / "moving.gif", save_all=True, append_images=[black])
    turned = Image.Exif()
    turned[0x0112] = 6  # to be shown turned by a quarter
    colour.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.png", exif=turned)
    return colour


def test_a_photograph_is_what_is_shown_of_it_whatever_file_it_comes_in(tmp_path):
    shown = np.asarray(pictures(tmp_path), dtype=int)
    read = names_of("photographs.py")["read"]
    for path in tmp_path.iterdir():
        found = np.asarray(read(path).convert("RGB"), dtype=int)
        assert found.shape == shown.shape, path.name
        assert np.abs(found - shown).max() <= 6, path.name  # a moving picture has a palette of its own
    as_stored = np.asarray(Image.open(tmp_path / "turned.png").convert("RGB"))
    assert as_stored.shape != shown.shape  # the control


def test_bombs_and_empty_files_are_refused_in_a_line(tmp_path, monkeypatch):
    read = names_of("photographs.py")["read"]
    (tmp_path / "empty.png").touch()
    Image.new("L", (64, 64)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # of Pillow, 89 million: a file of more than twice that
    (tmp_path / "pictures.npy").write_bytes(torch.zeros(3).numpy().tobytes())
    for name in ("empty.png", "bomb.png", "pictures.npy", "nothing.png"):
        with pytest.raises(ScaleGroupError, match=name):
            read(tmp_path / name)
