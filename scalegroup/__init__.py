"""scalegroup: networks that are provably scale-equivariant (the paper says scale-covariant; it is the same).

Gaussian derivative networks after T. Lindeberg, "Scale-covariant and scale-invariant Gaussian derivative networks".
Equation numbers in docstrings are that paper's.
"""

from scalegroup import functional, nn
from scalegroup.algebra.group import GroupElement, ScaleGroup
from scalegroup.algebra.representation import Representation, character, trivial
from scalegroup.algebra.rotation import Rotation, RotationGroup, RotationRepresentation
from scalegroup.errors import ScaleGroupError
from scalegroup.fields.boundary import Background, Boundary, Reflect, Replicate, Zero
from scalegroup.fields.field import ScaleField
from scalegroup.fields.field_type import FieldType, ImageType
from scalegroup.fields.grid import Axis, Grid, Grids
from scalegroup.fields.lifting import (
    SAMPLES_PER_SIGMA,
    BandLimited,
    ImageGrid,
    LiftingKernel,
    SampledLifting,
    Sampling,
    SelfSimilar,
)
from scalegroup.fields.pooling import LogSumExp, Max, Mean, Pooling, TopK
from scalegroup.fields.readout import CentrePixel, Dense, ReadOut, SpatialMax, SpatialMean
from scalegroup.fields.window import ScaleWindow
from scalegroup.jets.jet import directional_derivatives, steer
from scalegroup.jets.kernel import Kernel
from scalegroup.jets.kernels import (
    DiscreteGaussian,
    IntegratedGaussian,
    Iso,
    NormalisedSampledGaussian,
    SampledDerivatives,
    SampledGaussian,
)

__version__ = "0.2.0"

__all__ = [
    "SAMPLES_PER_SIGMA",
    "Axis",
    "Background",
    "BandLimited",
    "Boundary",
    "CentrePixel",
    "Dense",
    "DiscreteGaussian",
    "FieldType",
    "Grid",
    "Grids",
    "GroupElement",
    "ImageGrid",
    "ImageType",
    "IntegratedGaussian",
    "Iso",
    "Kernel",
    "LiftingKernel",
    "LogSumExp",
    "Max",
    "Mean",
    "NormalisedSampledGaussian",
    "Pooling",
    "ReadOut",
    "Reflect",
    "Replicate",
    "Representation",
    "Rotation",
    "RotationGroup",
    "RotationRepresentation",
    "SampledDerivatives",
    "SampledGaussian",
    "SampledLifting",
    "Sampling",
    "ScaleField",
    "ScaleGroup",
    "ScaleGroupError",
    "ScaleWindow",
    "SelfSimilar",
    "SpatialMax",
    "SpatialMean",
    "TopK",
    "Zero",
    "character",
    "directional_derivatives",
    "functional",
    "nn",
    "steer",
    "trivial",
]
