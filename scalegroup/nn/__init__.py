"""Layers: thin modules over `scalegroup.functional`, each with a declared input and output type."""

from scalegroup.nn.jet_conv import JetConv
from scalegroup.nn.layer import Layer
from scalegroup.nn.lift import Lift
from scalegroup.nn.norm import BatchNorm
from scalegroup.nn.pointwise import Pointwise, ReLU
from scalegroup.nn.project import ReadOut, ScalePool
from scalegroup.nn.rotation_pool import RotationPool
from scalegroup.nn.sequential import Sequential
from scalegroup.nn.steerable_jet_conv import SteerableJetConv

__all__ = [
    "BatchNorm",
    "JetConv",
    "Layer",
    "Lift",
    "Pointwise",
    "ReLU",
    "ReadOut",
    "RotationPool",
    "ScalePool",
    "Sequential",
    "SteerableJetConv",
]
