"""The named networks of the paper, and baselines of the same widths; import them as `scalegroup.models`."""

from scalegroup.models.gaussian_derivative import PRESETS, GaussianDerivativeNet, gaussian_derivative_net
from scalegroup.models.plain_cnn import PlainCNN, plain_cnn
from scalegroup.models.rotation_scale import rotation_scale_net
from scalegroup.models.steerable_cnn import SteerableCNN, steerable_cnn
from scalegroup.models.weights import Setting, Trained, find_trained, save_trained

__all__ = [
    "PRESETS",
    "GaussianDerivativeNet",
    "PlainCNN",
    "Setting",
    "SteerableCNN",
    "Trained",
    "find_trained",
    "gaussian_derivative_net",
    "plain_cnn",
    "rotation_scale_net",
    "save_trained",
    "steerable_cnn",
]
