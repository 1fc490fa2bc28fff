"""Checks of scale equivariance: measured errors, derived bounds, images with a closed form."""

from scalegroup.testing.bounds import CovarianceCheck, covariance_bound, covariance_check, discretisation_constants
from scalegroup.testing.budget import SOURCES, ErrorBudget, error_budget
from scalegroup.testing.certificate import Certificate, certificate
from scalegroup.testing.check_layer import check_layer, layer_laws
from scalegroup.testing.check_module import Verdict, assert_equivariant, assert_invariant, check_module
from scalegroup.testing.checks import checks, parametrize_with_checks
from scalegroup.testing.closed_form import Bars, Blobs, ContinuousImage, Polynomials, Separable, Sinusoids, Textures
from scalegroup.testing.curve import EQUIVARIANT, NOT_DECIDED, NOT_EQUIVARIANT, Curve
from scalegroup.testing.curves import error_curves
from scalegroup.testing.equivariance import EquivarianceReport, equivariance_error, object_images
from scalegroup.testing.lifting_bound import lifting_bound
from scalegroup.testing.outputs import OUTPUT_TYPES, OutputType
from scalegroup.testing.pictures import Family, families
from scalegroup.testing.rotations import rotation_error

__all__ = [
    "EQUIVARIANT",
    "NOT_DECIDED",
    "NOT_EQUIVARIANT",
    "OUTPUT_TYPES",
    "SOURCES",
    "Bars",
    "Blobs",
    "Certificate",
    "ContinuousImage",
    "CovarianceCheck",
    "Curve",
    "EquivarianceReport",
    "ErrorBudget",
    "Family",
    "OutputType",
    "Polynomials",
    "Separable",
    "Sinusoids",
    "Textures",
    "Verdict",
    "assert_equivariant",
    "assert_invariant",
    "certificate",
    "check_layer",
    "check_module",
    "checks",
    "covariance_bound",
    "covariance_check",
    "discretisation_constants",
    "equivariance_error",
    "error_budget",
    "error_curves",
    "families",
    "layer_laws",
    "lifting_bound",
    "object_images",
    "parametrize_with_checks",
    "rotation_error",
]
