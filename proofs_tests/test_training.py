"""Training: it learns, it says what it did, and a killed run goes on as if it had not been killed."""

import csv
import os
import shutil
import signal
import socket
import textwrap
from functools import partial
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from rich.console import Console
from torch.nn import functional as F

from benchmarks import data
from benchmarks.recipe import LOSSES, Loss, Recipe, binary_cross_entropy, cross_entropy, order_of_epoch
from benchmarks.training import train
from proofs_tests.processes import Program, run
from scalegroup import Background, Reflect, ScaleGroup, ScaleGroupError, ScaleWindow, nn
from scalegroup.models import gaussian_derivative_net

WINDOW = ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=3)
RECIPE = Recipe(epochs=3, batch=8)  # 3 steps an epoch
QUIET = Console(quiet=True)


def digits(count):
    return data.digits().first(train=count).draw("train", 1.0)


def tiny_net(width=4, scale_dropout=2, **parts):
    torch.manual_seed(0)
    parts = {"widths": (width,), "window": WINDOW, "boundary": Background(data.BACKGROUND)} | parts
    return gaussian_derivative_net(scale_dropout=scale_dropout, **parts)


def trained(folder, recipe=RECIPE, *, images=20, seed=0, dtype=torch.float32, net=None, **options):
    net = (net or tiny_net()).to(dtype)
    drawn = digits(images)
    train(
        "net",
        net,
        data.Labelled(drawn.images.to(dtype), drawn.labels),
        recipe,
        seed=seed,
        accelerator=Accelerator(cpu=True),
        folder=folder,
        console=QUIET,
        **options,
    )
    return net.state_dict()


def same(a, b):
    return all(torch.equal(a[key], b[key]) for key in a)


def rows(folder):
    with (folder / "logs" / "net.csv").open() as file:
        return list(csv.DictReader(file))


def killed(folder, kill):
    """A run of `trained` in a process of its own, which `kill` (source text) makes kill itself."""
    script = """
        import os, signal, sys
        from pathlib import Path
        import torch
        torch.set_num_threads(1)
        from benchmarks import checkpoint, recipe
        from test_training import trained
        def die():
            os.kill(os.getpid(), signal.SIGKILL)
    """
    end = "trained(Path(sys.argv[1]), checkpoint_every=2)"
    code = "\n".join([textwrap.dedent(script), textwrap.dedent(kill), end])
    (done,) = run(Program(("-c", code, str(folder)), environment=_environment()))
    assert done.returncode == -signal.SIGKILL, done.stderr


def _environment():
    here = Path(__file__).resolve().parent
    return {"PYTHONPATH": f"{here}{os.pathsep}{here.parent}"}


IN_A_STEP = """
    steps = []
    def loss(*arguments, of=recipe.LOSSES["cross-entropy"].of):
        steps.append(1)
        return of(*arguments) if len(steps) < 6 else die()
    recipe.LOSSES["cross-entropy"] = recipe.Loss(loss)
"""
IN_A_CHECKPOINT = """
    saved = []
    def save(content, path, of=torch.save):
        of(content, path)
        saved.append(1)
        if len(saved) == 4:
            path.write_bytes(path.read_bytes()[:1000])
            die()
    torch.save = save
"""


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """As many threads as other processes, so that sums are rounded alike."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run, and the weights that it ended with."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, trained(folder)


@pytest.mark.parametrize(("kill", "steps_done"), [(IN_A_STEP, 4), (IN_A_CHECKPOINT, 4)], ids=["step", "checkpoint"])
def test_a_killed_run_that_is_resumed_ends_with_the_same_weights_bit_for_bit(finished, tmp_path, kill, steps_done):
    folder, whole = finished
    killed(tmp_path / "killed", kill)
    checkpoint = torch.load(tmp_path / "killed" / "checkpoints" / "net.pt", weights_only=True)
    assert checkpoint["position"]["step"] == steps_done  # in the middle of an epoch of three
    assert not same(checkpoint["parts"]["net"], whole)
    resumed = trained(tmp_path / "killed", resume=True)
    assert same(resumed, whole)
    kept, expected = rows(tmp_path / "killed"), rows(folder)
    for row in kept + expected:
        del row["seconds"]
    assert kept == expected
    assert [row["step"] for row in kept] == [str(step) for step in range(1, 10)]


def test_a_finished_run_is_resumed_without_a_step(finished, tmp_path):
    folder, whole = finished
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    assert same(trained(tmp_path, resume=True), whole)
    assert len(rows(tmp_path)) == 9
    assert not same(trained(tmp_path, seed=1), whole)  # the control


def test_resuming_without_a_checkpoint_begins(finished, tmp_path):
    _, whole = finished
    assert same(trained(tmp_path, resume=True), whole)


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(tmp_path):
    trained(tmp_path)
    for other, said in (
        ({"seed": 1}, "other seed"),
        ({"images": 19}, "other images"),
        ({"recipe": Recipe(epochs=4, batch=8)}, "other recipe"),
        ({"net": tiny_net(boundary=Reflect())}, "other network"),
        ({"net": tiny_net(scale_dropout=1)}, "other network"),
        ({"net": tiny_net(dropout=0.1)}, "other network"),
    ):
        with pytest.raises(ScaleGroupError, match=said):
            trained(tmp_path, resume=True, **other)
    path = tmp_path / "checkpoints" / "net.pt"
    whole = path.read_bytes()
    weight = whole.index(tiny_net_weights(path)) + 5
    flipped = whole[:weight] + bytes([whole[weight] ^ 1]) + whole[weight + 1 :]
    for damaged in (b"", whole[: len(whole) // 2], b"something else", flipped):
        path.write_bytes(damaged)
        with pytest.raises(ScaleGroupError, match="without --resume"):
            trained(tmp_path, resume=True)


def tiny_net_weights(path):
    """The bytes of some weights of a checkpoint."""
    return next(iter(torch.load(path, weights_only=True)["parts"]["net"].values())).numpy().tobytes()


def test_a_log_with_what_is_no_row_is_resumed_without_it(finished, tmp_path):
    folder, whole = finished
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    log = tmp_path / "logs" / "net.csv"
    expected, text = rows(folder), log.read_text()
    log.write_text(text + "\n,,\nodd line\n-3,1\n²,1\n12,half a r")
    assert same(trained(tmp_path, resume=True), whole)
    assert rows(tmp_path) == expected


def test_one_batch_is_learnt_by_heart(tmp_path):
    """The first thing that fails where a gradient, a label or a step is wrong."""
    recipe = Recipe(epochs=60, batch=12)
    assert trained_accuracy(tmp_path / "learns", recipe) == 1.0
    lazy = Recipe(epochs=10, batch=12, highest_rate=1e-7, lowest_rate=1e-8)
    assert trained_accuracy(tmp_path / "lazy", lazy) < 0.5  # the control


def trained_accuracy(folder, recipe):
    net = tiny_net(width=16, scale_dropout=0)
    end = train("net", net, digits(12), recipe, seed=0, accelerator=Accelerator(cpu=True), folder=folder, console=QUIET)
    return end.correct / end.seen


def test_every_epoch_sees_every_image_once_in_an_order_of_its_own():
    orders = [order_of_epoch(30, seed=5, epoch=epoch) for epoch in range(4)]
    assert all(sorted(order) == list(range(30)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert order_of_epoch(30, seed=5, epoch=3) == orders[3]
    assert order_of_epoch(30, seed=6, epoch=3) != orders[3]


def watched_net():
    """With both kinds of dropout, and a list of what each step left: the finest channel, and features of each image."""
    net, seen = tiny_net(dropout=0.5), []

    def of_channels(*call):
        seen.append([call[-1].window.first])

    def of_features(_, given, left):
        was, now = (field.channel(0) for field in (*given, left))
        seen[-1].append(((now != 0) | (was == 0)).all(-1).all(-1).tolist())

    for layer in net.modules():
        for kind, watch in ((nn.ScaleDropout, of_channels), (nn.Dropout, of_features)):
            if isinstance(layer, kind):
                layer.register_forward_hook(watch)
    return net, seen


def test_what_is_left_out_depends_on_the_seed_and_the_step_alone(tmp_path, monkeypatch):
    """A run that was interrupted in a step begins that step anew, whatever was drawn in between."""
    net, whole = watched_net()
    expected = {name: value.clone() for name, value in trained(tmp_path / "whole", net=net).items()}
    assert {first for first, _ in whole} == {0, 1, 2}  # every number of channels
    assert len({repr(features) for _, features in whole}) == len(whole) == 9  # other features in every step

    net, begun = watched_net()
    loss = LOSSES["cross-entropy"]

    def interrupted(*arguments):
        if len(begun) == 6:
            raise KeyboardInterrupt
        return loss.of(*arguments)

    with monkeypatch.context() as patch:
        patch.setitem(LOSSES, "cross-entropy", Loss(interrupted))
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "other", net=net, checkpoint_every=2)
    assert begun == whole[:6]
    torch.rand(7)
    net, resumed = watched_net()
    assert same(trained(tmp_path / "other", net=net, resume=True), expected)
    assert resumed == whole[4:]
    net, other = watched_net()
    trained(tmp_path / "control", net=net, seed=1)
    assert not {repr(step) for step in other} & {repr(step) for step in whole}


def test_binary_cross_entropy_is_one_decision_per_class():
    scores = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    yes = torch.eye(4, dtype=torch.float64)[labels]
    decisions = -(yes * F.logsigmoid(scores) + (1 - yes) * F.logsigmoid(-scores))
    loss = binary_cross_entropy
    torch.testing.assert_close(loss(scores, labels, 0.0), decisions.mean())
    assert loss(scores, labels, 0.1) > loss(scores * 0 + 100 * (yes - 0.5), labels, 0.0)
    none = torch.full_like(labels, -1)  # no class at all: all of them are decided against
    torch.testing.assert_close(loss(scores, none, 0.0), -F.logsigmoid(-scores).mean())
    shifted = partial(loss, labels=labels, smoothing=0.0)
    assert not torch.isclose(shifted(scores), shifted(scores + 1))  # the control: cross-entropy does not see a shift
    torch.testing.assert_close(cross_entropy(scores, labels, 0.0), cross_entropy(scores + 1, labels, 0.0))


def test_the_schedule_is_a_cosine_between_the_papers_rates(finished):
    folder, _ = finished
    rates = [float(row["rate"]) for row in rows(folder)]
    assert rates[0] == 0.01
    middle = (0.01 + 5e-5) / 2
    assert abs((rates[4] + rates[5]) / 2 - middle) < 1e-12  # 9 steps: symmetric about the middle
    assert rates == sorted(rates, reverse=True)


def test_weights_decay_and_offsets_and_norms_do_not():
    """With a gradient of nothing a step does nothing but decay; without decay it is Adam's, to the bit."""
    net = tiny_net()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1.0)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    Recipe(epochs=1, highest_rate=0.1, weight_decay=0.5).optimiser(net).step()
    left = {parameter.ndim: parameter.unique().tolist() for parameter in net.parameters()}
    assert left == {3: [pytest.approx(0.95)], 1: [1.0]}  # jets, and all else
    ended = []
    for make in (RECIPE.optimiser, lambda net: torch.optim.Adam(net.parameters(), lr=RECIPE.highest_rate)):
        net, images = tiny_net(), digits(4)
        optimiser = make(net)
        for _ in range(3):
            optimiser.zero_grad()
            F.cross_entropy(net(images.images), images.labels).backward()
            optimiser.step()
        ended.append(net.state_dict())
    assert same(*ended)


def test_tensorboard_has_the_curves(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, _ = finished
    events = EventAccumulator(str(folder / "logs" / "net"))
    events.Reload()
    losses = [event.value for event in events.Scalars("loss")]
    torch.testing.assert_close(losses, [float(row["loss"]) for row in rows(folder)])


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """Folders of what both save of two runs, over gloo, as `torchrun --nproc-per-node 2` starts them.

    In the second, the control, each has the moments of its own images.
    """
    folder = tmp_path_factory.mktemp("two_processes")
    code = """
        import sys
        from pathlib import Path
        import torch
        torch.set_num_threads(1)
        from scalegroup.nn import joint_norm
        from test_training import trained
        for name in ("joint", "alone"):
            folder = Path(sys.argv[1], name)
            state = trained(folder, images=21, dtype=torch.float64)
            torch.save(state, folder / f"{torch.distributed.get_rank()}.pt")
            joint_norm._Sum.apply = lambda part: 2 * part
        torch.distributed.destroy_process_group()
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = []
    for rank in range(2):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        told = _environment() | {key: str(value) for key, value in place.items()}
        ranks.append(Program(("-c", textwrap.dedent(code), str(folder)), environment=told))
    for done in run(*ranks):
        assert done.returncode == 0, done.stderr
    return folder / "joint", folder / "alone"


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    """The folder and the weights of the run that they share out."""
    folder = tmp_path_factory.mktemp("one_process")
    return folder, trained(folder, images=21, dtype=torch.float64)


def states(folder):
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def distance(a, b):
    return max((a[key] - b[key]).abs().max().item() for key in a)


def test_two_processes_train_the_network_that_one_trains(two_processes, one_process):
    """To rounding, in the last batch of an epoch as well, which they share out unevenly: 3 and 2 images."""
    (joint, _), (folder, one) = two_processes, one_process
    first, second = states(joint)
    assert same(first, second)
    assert distance(first, one) < 1e-9
    for row, expected in zip(rows(joint), rows(folder), strict=True):
        assert abs(float(row["epoch_loss"]) - float(expected["epoch_loss"])) < 1e-9
        assert row["epoch_accuracy"] == expected["epoch_accuracy"]
    assert distance(tiny_net().state_dict(), one) > 0.01


def test_processes_with_a_batch_norm_of_their_own_train_another_network(two_processes, one_process):
    """The control: the same without joint moments."""
    (_, without), (_, one) = two_processes, one_process
    first, _ = states(without)
    assert distance(first, one) > 1e-3


def test_a_batch_too_small_to_be_shared_out_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Accelerator, "num_processes", 5)
    with pytest.raises(ScaleGroupError, match="last batch of 4 images for 5 processes"):
        trained(tmp_path)
