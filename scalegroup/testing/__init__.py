"""Checks of scale equivariance: measured errors, derived bounds, images with a closed form."""

from scalegroup.testing.bounds import CovarianceCheck, covariance_bound, covariance_check, discretisation_constants
from scalegroup.testing.closed_form import Blobs, ContinuousImage, Sinusoids

__all__ = [
    "Blobs",
    "ContinuousImage",
    "CovarianceCheck",
    "Sinusoids",
    "covariance_bound",
    "covariance_check",
    "discretisation_constants",
]
