"""Data sets of one object at many sizes."""

from benchmarks.data.choice import SOURCES, add_arguments, choose, load
from benchmarks.data.digits import digits
from benchmarks.data.place import Place
from benchmarks.data.published import mnist_large_scale
from benchmarks.data.recipe import BACKGROUND, RECIPE, large_scale, size_range
from benchmarks.data.source import Drawn, Labelled, Part, Source
from benchmarks.data.torchvision_sets import from_datasets

__all__ = [
    "BACKGROUND",
    "RECIPE",
    "SOURCES",
    "Drawn",
    "Labelled",
    "Part",
    "Place",
    "Source",
    "add_arguments",
    "choose",
    "digits",
    "from_datasets",
    "large_scale",
    "load",
    "mnist_large_scale",
    "size_range",
]
