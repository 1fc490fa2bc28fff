"""scalegroup: networks that are provably scale-equivariant (the paper says scale-covariant; it is the same).

Gaussian derivative networks after T. Lindeberg, "Scale-covariant and scale-invariant Gaussian derivative networks".
Equation numbers in docstrings are that paper's.
"""

from scalegroup import functional, nn
from scalegroup.boundary import Background, Boundary, Reflect, Replicate, Zero
from scalegroup.errors import ScaleGroupError, ScaleGroupWarning
from scalegroup.field import ScaleField
from scalegroup.field_type import FieldType, ImageType
from scalegroup.group import GroupElement, ScaleGroup
from scalegroup.jet import directional_derivatives, steer
from scalegroup.kernels import (
    DiscreteGaussian,
    IntegratedGaussian,
    Iso,
    Kernel,
    NormalisedSampledGaussian,
    SampledDerivatives,
    SampledGaussian,
)
from scalegroup.pooling import LogSumExp, Max, Mean, Pooling, TopK
from scalegroup.readout import CentrePixel, Dense, SpatialMax, SpatialMean
from scalegroup.representation import RegularRepresentation, Representation, character, direct_sum, trivial
from scalegroup.rotation import Rotation, RotationGroup, RotationRepresentation
from scalegroup.window import ScaleWindow

__version__ = "0.1.0"

__all__ = [
    "Background",
    "Boundary",
    "CentrePixel",
    "Dense",
    "DiscreteGaussian",
    "FieldType",
    "GroupElement",
    "ImageType",
    "IntegratedGaussian",
    "Iso",
    "Kernel",
    "LogSumExp",
    "Max",
    "Mean",
    "NormalisedSampledGaussian",
    "Pooling",
    "Reflect",
    "RegularRepresentation",
    "Replicate",
    "Representation",
    "Rotation",
    "RotationGroup",
    "RotationRepresentation",
    "SampledDerivatives",
    "SampledGaussian",
    "ScaleField",
    "ScaleGroup",
    "ScaleGroupError",
    "ScaleGroupWarning",
    "ScaleWindow",
    "SpatialMax",
    "SpatialMean",
    "TopK",
    "Zero",
    "character",
    "direct_sum",
    "directional_derivatives",
    "functional",
    "nn",
    "steer",
    "trivial",
]
