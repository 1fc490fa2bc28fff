"""What the networks of `scalegroup.models` are compared with, in the same form: images to class scores."""

from benchmarks.baselines.plain_cnn import PlainCNN, plain_cnn
from benchmarks.baselines.resnet import ResNet, resnet
from benchmarks.baselines.riesz_net import RieszNet, riesz_net
from benchmarks.baselines.scale_channel_cnn import ScaleChannelCNN, scale_channel_cnn
from benchmarks.baselines.steerable_cnn import SteerableCNN, steerable_cnn
from benchmarks.baselines.steerable_hermite import SteerableHermite, steerable_hermite

__all__ = [
    "PlainCNN",
    "ResNet",
    "RieszNet",
    "ScaleChannelCNN",
    "SteerableCNN",
    "SteerableHermite",
    "plain_cnn",
    "resnet",
    "riesz_net",
    "scale_channel_cnn",
    "steerable_cnn",
    "steerable_hermite",
]
