"""Checks of scale equivariance: measured errors, derived bounds, images with a closed form."""

from scalegroup.testing.bounds import CovarianceCheck, covariance_bound, covariance_check, discretisation_constants
from scalegroup.testing.budget import SOURCES, ErrorBudget, error_budget
from scalegroup.testing.check_layer import check_layer, layer_laws
from scalegroup.testing.check_module import Verdict, check_module
from scalegroup.testing.checks import checks, parametrize_with_checks
from scalegroup.testing.closed_form import Blobs, ContinuousImage, Polynomials, Sinusoids
from scalegroup.testing.equivariance import (
    TOLERANCE,
    EquivarianceReport,
    assert_equivariant,
    assert_invariant,
    equivariance_error,
    object_images,
)
from scalegroup.testing.lifting_bound import lifting_bound
from scalegroup.testing.outputs import OUTPUT_TYPES, OutputType
from scalegroup.testing.rotations import rotation_error

__all__ = [
    "OUTPUT_TYPES",
    "SOURCES",
    "TOLERANCE",
    "Blobs",
    "ContinuousImage",
    "CovarianceCheck",
    "EquivarianceReport",
    "ErrorBudget",
    "OutputType",
    "Polynomials",
    "Sinusoids",
    "Verdict",
    "assert_equivariant",
    "assert_invariant",
    "check_layer",
    "check_module",
    "checks",
    "covariance_bound",
    "covariance_check",
    "discretisation_constants",
    "equivariance_error",
    "error_budget",
    "layer_laws",
    "lifting_bound",
    "object_images",
    "parametrize_with_checks",
    "rotation_error",
]
