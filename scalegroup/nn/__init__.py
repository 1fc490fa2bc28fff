"""Layers: thin modules over `scalegroup.functional`, each with a declared input and output type."""

from scalegroup.nn.add import Add
from scalegroup.nn.affine_jet_conv import AffineJetConv
from scalegroup.nn.batch_norm import BatchNorm
from scalegroup.nn.branches import Branches
from scalegroup.nn.concat import Concat
from scalegroup.nn.dropout import Dropout
from scalegroup.nn.field_of_view import FieldOfView
from scalegroup.nn.group_norm import GroupNorm
from scalegroup.nn.heads import Heads
from scalegroup.nn.jet_conv import JetConv
from scalegroup.nn.joint_norm import joint_batch_norm
from scalegroup.nn.layer import Layer
from scalegroup.nn.lift import Lift
from scalegroup.nn.mix import Mix
from scalegroup.nn.normalise import Normalise
from scalegroup.nn.per_channel import PerChannel, PerSample
from scalegroup.nn.pointwise import Identity, Pointwise, ReLU, Subsample
from scalegroup.nn.project import ReadOut, ScalePool
from scalegroup.nn.residual import Residual
from scalegroup.nn.residual_block import ResidualBlock
from scalegroup.nn.reweight import Reweight
from scalegroup.nn.rotation_pool import RotationPool
from scalegroup.nn.scale_conv import ScaleConv
from scalegroup.nn.scale_dropout import ScaleDropout
from scalegroup.nn.scene_loss import SceneLoss
from scalegroup.nn.separable_jet_conv import SeparableJetConv
from scalegroup.nn.sequential import Sequential
from scalegroup.nn.squeeze_excite import SqueezeExcite
from scalegroup.nn.steerable_jet_conv import SteerableJetConv

__all__ = [
    "Add",
    "AffineJetConv",
    "BatchNorm",
    "Branches",
    "Concat",
    "Dropout",
    "FieldOfView",
    "GroupNorm",
    "Heads",
    "Identity",
    "JetConv",
    "Layer",
    "Lift",
    "Mix",
    "Normalise",
    "PerChannel",
    "PerSample",
    "Pointwise",
    "ReLU",
    "ReadOut",
    "Residual",
    "ResidualBlock",
    "Reweight",
    "RotationPool",
    "ScaleConv",
    "ScaleDropout",
    "ScalePool",
    "SceneLoss",
    "SeparableJetConv",
    "Sequential",
    "SqueezeExcite",
    "SteerableJetConv",
    "Subsample",
    "joint_batch_norm",
]
