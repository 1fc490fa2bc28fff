"""The named networks of the paper; import them as `scalegroup.models`."""

from scalegroup.models.architecture import ACTIVATIONS, NOT_GIVEN, Architecture
from scalegroup.models.exporting import METADATA, export
from scalegroup.models.gaussian_derivative import PRESETS, GaussianDerivativeNet, gaussian_derivative_net
from scalegroup.models.gaussian_derivative_resnet import RESNET_PRESETS, gaussian_derivative_resnet
from scalegroup.models.rotation_scale import rotation_scale_net
from scalegroup.models.saving import save_trained
from scalegroup.models.transfer import transfer
from scalegroup.models.weights import Trained, find_trained

__all__ = [
    "ACTIVATIONS",
    "METADATA",
    "NOT_GIVEN",
    "PRESETS",
    "RESNET_PRESETS",
    "Architecture",
    "GaussianDerivativeNet",
    "Trained",
    "export",
    "find_trained",
    "gaussian_derivative_net",
    "gaussian_derivative_resnet",
    "rotation_scale_net",
    "save_trained",
    "transfer",
]
