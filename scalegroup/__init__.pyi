"""The names of the package and where they come from: each is imported when it is first asked for."""

from . import functional, nn
from .algebra.group import GroupElement, ScaleGroup
from .algebra.representation import Representation, character, trivial
from .algebra.rotation import Rotation, RotationGroup, RotationRepresentation
from .detection import detect
from .errors import ScaleGroupError
from .fields.attention import Attention
from .fields.axis import Axis
from .fields.boundary import Background, Boundary, Reflect, Replicate, Zero
from .fields.field import ScaleField
from .fields.field_type import FieldType, ImageType
from .fields.grid import Grid, Grids
from .fields.lifting import SAMPLES_PER_SIGMA, ImageGrid, Sampling, SelfSimilar
from .fields.lifting_kernels import BandLimited, LiftingKernel, SampledLifting
from .fields.pooling import LogSumExp, Max, Mean, Pooling, TopK
from .fields.readout import CentrePixel, Dense, ReadOut, SpatialMax, SpatialMean
from .fields.score_volume import ScoreVolume
from .fields.window import ScaleWindow
from .jets.affine import steer_affine
from .jets.jet import Jet, directional_derivatives, steer
from .jets.kernel import Kernel
from .jets.kernels import (
    DiscreteGaussian,
    IntegratedGaussian,
    Iso,
    NormalisedSampledGaussian,
    SampledDerivatives,
    SampledGaussian,
)
from .window_plan import WindowPlan, plan_window

__all__ = [
    "SAMPLES_PER_SIGMA",
    "Attention",
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
    "Jet",
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
    "ScoreVolume",
    "SelfSimilar",
    "SpatialMax",
    "SpatialMean",
    "TopK",
    "WindowPlan",
    "Zero",
    "character",
    "detect",
    "directional_derivatives",
    "functional",
    "nn",
    "plan_window",
    "steer",
    "steer_affine",
    "trivial",
]

__version__: str
