"""The shapes written in the signatures are the shapes that flow, checked by jaxtyping and beartype at run time."""

import subprocess
import sys

_SCRIPT = """
import math
import torch
from jaxtyping import TypeCheckError, install_import_hook

with install_import_hook("scalegroup", "beartype.beartype"):
    import scalegroup as sg
    from scalegroup import functional, testing
    from scalegroup.models import (
        gaussian_derivative_net,
        riesz_net,
        rotation_scale_net,
        scale_channel_cnn,
        steerable_hermite,
    )
    from scalegroup.resample import subsample

images = torch.rand(2, 1, 33, 33)
window = sg.ScaleWindow(sg.ScaleGroup(2.0), sigma0=1.0, channels=2)  # σ₀ = 1 and 2: the second on a grid of stride 2
for boundary, readout in (
    (sg.Background(0.0), sg.CentrePixel()),
    (sg.Reflect(), sg.Dense()),
    (sg.Replicate(), sg.SpatialMax()),
    (sg.Zero(), sg.SpatialMean()),
):
    net = gaussian_derivative_net(
        widths=(2,), window=window, boundary=boundary, readout=readout, min_grid_sigma=1.0
    )
    net(images).sum().backward()
    net.scale_logits(images)
    net.select_scale(images)
    net.dense(images)
for kernel in (sg.SampledDerivatives(), sg.IntegratedGaussian(), sg.Iso(), sg.SampledGaussian()):
    jets = functional.jet_maps(images, sigma=1.0, kernel=kernel).movedim(2, -1)
    sg.directional_derivatives(jets, 0.3)
for baseline in (riesz_net, scale_channel_cnn, steerable_hermite):
    baseline((2,))(images).sum().backward()
field = functional.lift(images, window)
repr(field.transform(window.group.generator).resample(2).restrict(window))
subsample(images, 2)
sg.steer(torch.rand(4, 3, 5), 0.3)
sg.character(window.group, 1).matrix(window.group.generator)
turning = rotation_scale_net(4, (4,), window=window)
turning(images)
field.rotate(sg.RotationGroup(4).element(1))
testing.rotation_error(turning, 0.3)
testing.covariance_check(images=1)
testing.Blobs.random(2, 3, widths=(1.0, 2.0), extent=3.0, generator=torch.Generator()).sample(9, 9)
try:  # the control: a jet of six components
    sg.steer(torch.rand(4, 6), 0.3)
except TypeCheckError:
    print("checked")
"""


def test_annotated_shapes_hold_at_run_time():
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "checked"
