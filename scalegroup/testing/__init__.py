"""Checks of scale equivariance: measured errors, derived bounds, images with a closed form."""

from scalegroup.testing.bounds import CovarianceCheck, covariance_bound, covariance_check, discretisation_constants
from scalegroup.testing.closed_form import Blobs, ContinuousImage, Polynomials, Sinusoids
from scalegroup.testing.equivariance import (
    OUTPUT_TYPES,
    TOLERANCE,
    EquivarianceReport,
    OutputType,
    assert_equivariant,
    assert_invariant,
    equivariance_error,
    object_images,
)

__all__ = [
    "OUTPUT_TYPES",
    "TOLERANCE",
    "Blobs",
    "ContinuousImage",
    "CovarianceCheck",
    "EquivarianceReport",
    "OutputType",
    "Polynomials",
    "Sinusoids",
    "assert_equivariant",
    "assert_invariant",
    "covariance_bound",
    "covariance_check",
    "discretisation_constants",
    "equivariance_error",
    "object_images",
]
