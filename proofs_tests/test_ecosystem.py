"""What other tools make of the networks: the hub's mixin, slices, torchinfo, torch's counter, training loops."""

import runpy
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.fx.proxy import TraceError
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

from proofs_tests.comparison import ROUNDING, same_bits
from proofs_tests.networks import small_net
from scalegroup.models import (
    Architecture,
    GaussianDerivativeNet,
    gaussian_derivative_net,
    gaussian_derivative_resnet,
    rotation_scale_net,
    transfer,
)

ROOT = Path(__file__).parent.parent
IMAGES = torch.rand(2, 1, 21, 21, generator=torch.Generator().manual_seed(0))


def test_what_the_hub_mixin_saves_is_the_network(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="pip install huggingface_hub")

    class HubNet(GaussianDerivativeNet, hub.PyTorchModelHubMixin, library_name="scalegroup"):
        def __init__(self, architecture: dict[str, Any]) -> None:
            super().__init__(Architecture.told(architecture))

    net = small_net().float().eval()
    shared = HubNet(net.architecture.tell())
    shared.load_state_dict(net.state_dict())
    shared.save_pretrained(tmp_path)
    again = HubNet.from_pretrained(tmp_path, local_files_only=True, strict=True)
    assert again.architecture == net.architecture
    assert not again.training
    assert same_bits(again(IMAGES), net(IMAGES))
    assert not same_bits(HubNet(net.architecture.tell()).eval()(IMAGES), net(IMAGES))  # the control: other weights


def test_a_slice_gives_what_the_layer_gives_in_the_whole_network() -> None:
    net, seen = small_net().float().eval(), {}
    for number, layer in enumerate(net):
        layer.register_forward_hook(lambda _, __, field, number=number: seen.update({number: field}))
    net(IMAGES)
    whole = dict(seen)
    for number in range(1, len(net) - 2):
        part = net[: number + 1](IMAGES, wanted=whole[number].grids)
        for ours, theirs in zip(part.maps, whole[number].maps, strict=True):
            tolerance = ROUNDING[torch.float32] * theirs.abs().max().item()
            torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)
    other = net[:3](IMAGES, wanted=whole[3].grids)  # the control: one layer less
    assert not torch.allclose(other.maps[0], whole[3].maps[0])


def test_torchvision_cannot_trace_without_images() -> None:
    extraction = pytest.importorskip("torchvision.models.feature_extraction", reason="pip install torchvision")
    with pytest.raises(TraceError):
        extraction.create_feature_extractor(small_net(), ["layers.1"])
    plain = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU())
    assert extraction.create_feature_extractor(plain, ["0"])(IMAGES)["0"].shape == (2, 2, 19, 19)  # the control


def test_torchinfo_counts_what_is_trained() -> None:
    torchinfo = pytest.importorskip("torchinfo", reason="pip install torchinfo")
    net = small_net()
    told = torchinfo.summary(net, verbose=0)
    assert told.total_params == told.trainable_params == net.parameter_count
    assert "JetConv" in str(told)
    frozen = torchinfo.summary(transfer(net, num_classes=4, freeze=True), verbose=0)
    assert frozen.trainable_params < frozen.total_params  # the control


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (partial(gaussian_derivative_net, "single_scale"), (28, 28)),
        (partial(gaussian_derivative_net, "multi_scale"), (65, 40)),
        (partial(gaussian_derivative_net, weights="mnist-scenes"), (64, 64)),
        (gaussian_derivative_resnet, (33, 33)),
        (rotation_scale_net, (33, 33)),
    ],
    ids=["single-scale", "multi-scale", "scenes", "residual", "rotations"],
)
def test_multiply_adds_of_the_plan_are_those_that_are_counted(make: Any, size: tuple[int, int]) -> None:
    """Torch counts two for each, of convolutions and matrix products; the rest is less than one in twenty."""
    net = make().eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(2, net.architecture.in_channels, *size))
    counted = counter.get_total_flops() / 2 / 2
    assert net.plan(size).multiply_adds == pytest.approx(counted, rel=0.05)
    assert net[:2].plan(size).multiply_adds != pytest.approx(counted, rel=0.05)  # the control: fewer layers


def test_dynamic_quantisation_finds_nothing_to_replace() -> None:
    quantization = pytest.importorskip("torch.ao.quantization", reason="torch.ao is gone")
    net = small_net().float().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated
        same = quantization.quantize_dynamic(net)
        other = quantization.quantize_dynamic(torch.nn.Sequential(torch.nn.Linear(2, 2)))
    assert [type(part) for part in same.modules()] == [type(part) for part in net.modules()]
    assert same_bits(same(IMAGES), net(IMAGES))
    assert type(other[0]) is not torch.nn.Linear  # the control


@pytest.mark.filterwarnings("ignore")  # of the trainer, about processes that load data
@pytest.mark.parametrize("name", ["accelerate", "lightning"])
def test_other_loops_train_to_the_weights_of_a_plain_one(name: str) -> None:
    pytest.importorskip(name, reason=f"pip install {name}")
    example = runpy.run_path(str(ROOT / "examples" / "training_loops.py"))
    batches = DataLoader(TensorDataset(torch.rand(20, 1, 9, 9), torch.arange(20) % 10), batch_size=10)

    def plain(net: torch.nn.Module, rate: float) -> None:
        optimiser = torch.optim.AdamW(net.train().parameters(), lr=rate)
        for _ in range(example["EPOCHS"]):
            for images, labels in batches:
                optimiser.zero_grad()
                F.cross_entropy(net(images), labels).backward()
                optimiser.step()

    nets = [gaussian_derivative_net("single_scale", widths=(4,)) for _ in range(3)]
    for net in nets[1:]:
        net.load_state_dict(nets[0].state_dict())
    trained = example["LOOPS"][name](nets[0], batches)
    plain(nets[1], example["RATE"])
    plain(nets[2], example["RATE"] / 2)
    ours, same, slower = (torch.cat([p.detach().flatten() for p in net.parameters()]) for net in (trained, *nets[1:]))
    assert same_bits(ours, same)
    assert not same_bits(ours, slower)  # the control


@pytest.mark.parametrize(("name", "said"), [("lightning", "pip install lightning"), ("fabric", "expected one of")])
def test_a_loop_that_is_missing_is_refused(name: str, said: str) -> None:
    example = runpy.run_path(str(ROOT / "examples" / "training_loops.py"))
    example["main"].__globals__["find_spec"] = lambda _: None
    with pytest.raises(SystemExit, match=said):
        example["main"](name)
