"""Named checks that any module can be put through, and `parametrize_with_checks` to run them under pytest."""

import copy
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from scalegroup.algebra.group import ScaleGroup
from scalegroup.errors import ScaleGroupError, refusing
from scalegroup.fields.field import ScaleField
from scalegroup.fields.field_type import FieldType
from scalegroup.testing.check_layer import layer_laws
from scalegroup.testing.check_module import assert_equivariant
from scalegroup.testing.equivariance import object_images
from scalegroup.testing.outputs import place_of
from scalegroup.testing.precision import full_precision

Check = Callable[[nn.Module], None]


@refusing
def parametrize_with_checks(modules: Iterable[Any], **options: Any) -> Any:
    """A pytest decorator that runs a test for every module and every check, in scikit-learn's manner.

    Args:
        modules: networks, ours or not, from images `[batch, channel, y, x]` to class scores, maps or fields, for
            `checks`; and layers of fields, or what makes one for a field type (a layer class, `functools.partial` of
            one), for the laws of `check_layer`.
        **options: of `checks`; γ is that of the layers' laws as well.

    Raises:
        ScaleGroupError: if there is no module, or something is none.

    >>> from scalegroup import nn
    >>> @parametrize_with_checks([torch.nn.ReLU(), nn.ReLU], powers=(2,))
    ... def test_my_modules(module, check):
    ...     check(module)
    """
    import pytest  # a test tool: only those who write tests need it

    named, ratio = checks(**options), options.get("ratio", 2**0.5)
    cases = [
        pytest.param(module, check, id=f"{name}-{title}")
        for module in modules
        for name, found in [_laws_of_layer(module, ratio) or (type(module).__name__, named)]
        for title, check in found.items()
    ]
    if not cases:
        raise ScaleGroupError("no modules", expected="one or more", mend="pass a list: [MyModule()]")
    return pytest.mark.parametrize(("module", "check"), cases)


def _laws_of_layer(module: Any, ratio: float) -> tuple[str, dict[str, Check]] | None:
    """Its name and its laws, where it takes fields or makes a layer that does; None for modules that take images."""
    in_type, make = getattr(module, "in_type", None), module
    if isinstance(in_type, FieldType):
        name, make = type(module).__name__, lambda _: copy.deepcopy(module)
    elif isinstance(module, nn.Module):
        return None
    elif callable(module):
        of = getattr(module, "func", module)
        name, in_type = getattr(of, "__name__", type(of).__name__), None
    else:
        mend = "pass torch modules, layers, layer classes, or functools.partial of one"
        raise ScaleGroupError(f"module {module!r}", expected="a module or a layer", mend=mend)
    laws = layer_laws(make, in_type, ratio=ratio)
    return name, {title.replace(" ", "_"): _without_module(law) for title, law in laws.items()}


def _without_module(law: Callable[[], None]) -> Check:
    return lambda _: law()


@refusing
def checks(
    *,
    ratio: float = 2**0.5,
    powers: Sequence[int] = (1, 2),
    size: int = 65,
    in_channels: int = 1,
) -> dict[str, Check]:
    """The checks by name.

    Args:
        ratio: γ.
        powers: which γ^power are checked.
        size: rows and columns of the images.
        in_channels: image channels.

    >>> list(checks(ratio=2.0, powers=(1,)))
    ['output_is_finite', 'output_repeats', 'images_do_not_mix', 'gradients_are_finite', 'equivariant_under_2']
    """
    images = object_images(size, count=2).sample(size, size).expand(-1, in_channels, -1, -1)
    found: dict[str, Check] = {
        law.__name__[1:]: partial(law, images=images)
        for law in (_output_is_finite, _output_repeats, _images_do_not_mix, _gradients_are_finite)
    }
    for power in powers:
        element = ScaleGroup(ratio).element(power)
        found[f"equivariant_under_{element.scale_factor:.4g}"] = lambda module, element=element: assert_equivariant(
            _in_evaluation(module), element, size=size, in_channels=in_channels
        )
    return found


def _in_evaluation(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode: what is checked is not changed."""
    return copy.deepcopy(module).eval()


def _values(module: nn.Module, images: Tensor) -> Tensor:
    """The output, a field's scale channels one behind the other: the first axis is that of the images."""
    dtype, device = place_of(module)
    with full_precision():
        result = module(images.to(device, dtype))
    is_field = isinstance(result, ScaleField)
    return torch.cat([result.channel(n).flatten(1) for n in range(len(result.grids.grids))], 1) if is_field else result


def _output_is_finite(module: nn.Module, images: Tensor) -> None:
    if not _values(_in_evaluation(module), images).isfinite().all():
        raise AssertionError("the output holds NaN or infinity")


def _output_repeats(module: nn.Module, images: Tensor) -> None:
    module = _in_evaluation(module)
    if not torch.equal(_values(module, images), _values(module, images)):
        raise AssertionError("in evaluation mode, the same images give another output the second time")


def _images_do_not_mix(module: nn.Module, images: Tensor) -> None:
    """The first image's output does not depend on the second one, but for the order of summation."""
    module = _in_evaluation(module)
    together, alone = _values(module, images)[:1], _values(module, images[:1])
    rounding = 100 * torch.finfo(alone.dtype).eps * max(1.0, alone.abs().max().item())
    if (together - alone).abs().max() > rounding:
        raise AssertionError("in evaluation mode, an image's output depends on the other images of its batch")


def _gradients_are_finite(module: nn.Module, images: Tensor) -> None:
    module = copy.deepcopy(module).train()
    leaf = images.clone().requires_grad_()
    _values(module, leaf).square().mean().backward()
    gradients = [leaf.grad, *(parameter.grad for parameter in module.parameters())]
    if not all(gradient is None or bool(gradient.isfinite().all()) for gradient in gradients):
        raise AssertionError("a gradient holds NaN or infinity")
