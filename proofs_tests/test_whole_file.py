"""Files are there whole or not at all, whatever is at their name before, and whoever is killed meanwhile."""

import os
import random
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zipfile import BadZipFile

import pytest
import torch

from scalegroup.whole_file import unaltered, whole_file


def write(path, text):
    with whole_file(path) as temporary:
        temporary.write_text(text)


def cut_off(path):
    """As by a kill: the hidden file stays."""
    writing = whole_file(path)
    temporary = writing.__enter__()
    temporary.write_text("half")
    kept = temporary.with_suffix(".kept")
    temporary.rename(kept)
    with pytest.raises(FileNotFoundError):
        writing.__exit__(None, None, None)
    kept.rename(temporary)
    return temporary


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file.txt"
    write(path, "old")

    def half():
        with whole_file(path) as temporary:
            temporary.write_text("half")
            assert path.read_text() == "old"
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    write(str(path), "new")
    assert path.read_text() == "new"


def test_a_link_stays_one_and_what_it_points_to_is_replaced(tmp_path):
    target, link = tmp_path / "there" / "target", tmp_path / "link"
    target.parent.mkdir()
    link.symlink_to(target)
    for text in ("first", "second"):  # what it points to need not be there before
        write(link, text)
        assert link.is_symlink()
        assert target.read_text() == text
    assert sorted(tmp_path.rglob("*")) == [link, target.parent, target]


def test_what_is_no_regular_file_is_written_to(tmp_path):
    null = Path(os.devnull).stat()
    write(os.devnull, "text")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    assert Path(os.devnull).stat().st_ino == null.st_ino
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write(pipe, "text")
    reader.join()
    assert read == ["text"]
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_modes_are_those_of_ordinary_files(tmp_path):
    plain, file = tmp_path / "plain", tmp_path / "file"
    plain.write_text("")
    write(file, "")
    assert file.stat().st_mode == plain.stat().st_mode
    file.chmod(0o600)
    write(file, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600  # whoever has hidden it keeps it hidden


def test_threads_on_one_path_do_not_disturb_each_other(tmp_path):
    path, texts = tmp_path / "file", [letter * 1000 for letter in "abcd"]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, 20 * [path], 5 * texts))
    assert path.read_text() in texts
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_kill_leaves_goes_with_the_next_file_and_what_others_write_stays(tmp_path):
    left = cut_off(tmp_path / "file")
    assert left.exists()
    with whole_file(tmp_path / "other") as others:
        assert not left.exists()
        others.write_text("text")
        write(tmp_path / "third", "text")
        assert others.exists()  # the control: its writer lives
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "third"]


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b


def test_a_flipped_bit_of_what_torch_saved_changes_nothing_or_is_noticed(tmp_path):
    """The control: `torch.load` by itself takes every fourth of them, with other content."""
    path, content = tmp_path / "file.pt", {"step": 3, "net": torch.nn.Linear(9, 9).state_dict()}
    torch.save(content, path)
    whole, silent = path.read_bytes(), 0
    assert same(torch.load(unaltered(path), weights_only=True), content)
    for place in random.Random(0).choices(range(8 * len(whole)), k=100):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        for read, others in ((unaltered, 0), (lambda path: path, 1)):
            try:
                found = torch.load(read(path), weights_only=True)
            except Exception:  # a damaged file can make the reader fail anyhow
                continue
            if not same(found, content):
                assert others
                silent += 1
    assert silent > 10
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadZipFile):
        unaltered(path)
