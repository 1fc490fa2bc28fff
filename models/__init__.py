"""The named networks of the paper, and the baselines they are compared with; import them as `scalegroup.models`."""

from scalegroup.models.gaussian_derivative import PRESETS, GaussianDerivativeNet, gaussian_derivative_net
from scalegroup.models.plain_cnn import PlainCNN, plain_cnn
from scalegroup.models.riesz_net import RieszNet, riesz_net
from scalegroup.models.rotation_scale import rotation_scale_net
from scalegroup.models.scale_channel_cnn import ScaleChannelCNN, scale_channel_cnn
from scalegroup.models.steerable_cnn import SteerableCNN, steerable_cnn
from scalegroup.models.steerable_hermite import SteerableHermite, steerable_hermite
from scalegroup.models.weights import Setting, Trained, find_trained, save_trained

__all__ = [
    "PRESETS",
    "GaussianDerivativeNet",
    "PlainCNN",
    "RieszNet",
    "ScaleChannelCNN",
    "Setting",
    "SteerableCNN",
    "SteerableHermite",
    "Trained",
    "find_trained",
    "gaussian_derivative_net",
    "plain_cnn",
    "riesz_net",
    "rotation_scale_net",
    "save_trained",
    "scale_channel_cnn",
    "steerable_cnn",
    "steerable_hermite",
]
