"""The named networks of the paper; import them as `scalegroup.models`."""

from scalegroup.models.gaussian_derivative import PRESETS, GaussianDerivativeNet, gaussian_derivative_net

__all__ = ["PRESETS", "GaussianDerivativeNet", "gaussian_derivative_net"]
