"""The named networks of the paper, and baselines of the same widths; import them as `scalegroup.models`."""

from scalegroup.models.gaussian_derivative import PRESETS, GaussianDerivativeNet, gaussian_derivative_net
from scalegroup.models.plain_cnn import PlainCNN, plain_cnn
from scalegroup.models.steerable_cnn import SteerableCNN, steerable_cnn

__all__ = [
    "PRESETS",
    "GaussianDerivativeNet",
    "PlainCNN",
    "SteerableCNN",
    "gaussian_derivative_net",
    "plain_cnn",
    "steerable_cnn",
]
