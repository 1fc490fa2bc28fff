"""The shapes written in the signatures are the shapes that flow, checked by jaxtyping and beartype at run time."""

from proofs_tests.processes import Program, run

_SCRIPT = """
import sys
import types
import torch
from beartype import BeartypeConf, beartype
from jaxtyping import TypeCheckError, install_import_hook

lenient = sys.modules["lenient"] = types.ModuleType("lenient")
lenient.check = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int where float is written, as everywhere

with install_import_hook("scalegroup", "lenient.check"):
    import scalegroup as sg
    from scalegroup import functional, testing
    from scalegroup.models import gaussian_derivative_net, rotation_scale_net

images = torch.rand(2, 1, 33, 33)
window = sg.ScaleWindow(sg.ScaleGroup(2.0), sigma0=1.0, channels=2)
for boundary, readout, grid in (
    (sg.Background(0.0), sg.CentrePixel(), "self-similar"),
    (sg.Reflect(), sg.Dense(), "self-similar"),
    (sg.Replicate(), sg.SpatialMax(), "image"),
    (sg.Zero(), sg.SpatialMean(), "self-similar"),
):
    net = gaussian_derivative_net(widths=(2,), window=window, boundary=boundary, readout=readout, grid=grid)
    net(images).sum().backward()
    net.scale_logits(images)
    net.select_scale(images)
for kernel in (sg.SampledDerivatives(), sg.IntegratedGaussian(), sg.Iso(), sg.SampledGaussian()):
    jets = functional.jet_maps(images, sigma=1.0, kernel=kernel).movedim(2, -1)
    sg.directional_derivatives(jets, 0.3)
field = functional.lift(images, window, sampling=sg.ImageGrid())
repr(field.transform(window.group.generator).restrict(window))
sg.steer(torch.rand(4, 3, 5), 0.3)
bank = sg.nn.AffineJetConv(field.type, 3, tail=0.05)
bank(field)
sg.steer_affine(bank.coefficients, 3)
sg.character(1).matrix(window.group.generator)
sg.trivial(2).intertwiners(sg.character(1))
turning = rotation_scale_net(4, widths=(4,), window=window)
turning(images)
field.rotate(sg.RotationGroup(4).element(1))
testing.rotation_error(turning, 0.3, size=33)
testing.covariance_check(images=1)
testing.Blobs.random(2, 3, widths=(1.0, 2.0), extent=3.0, generator=torch.Generator()).sample(9, 9)
try:  # the control: a jet of six components
    sg.steer(torch.rand(4, 6), 0.3)
except TypeCheckError:
    print("checked")
"""


def test_annotated_shapes_hold_at_run_time():
    (done,) = run(Program(("-c", _SCRIPT)))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "checked"
