"""Nothing breaks: public callables give a clear error or an answer, whatever they are given.

Here one bad call of each, and that none is forgotten; `python -m proofs_tests.fuzz` makes all of them.
"""

import inspect
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import scalegroup as sg
from proofs_tests.fuzz import callables
from proofs_tests.fuzz.callables import MODULES, RESULTS, SLOW, Public, methods_of, names_of, publics
from proofs_tests.fuzz.faults import cut, damaged, flipped, full_disk, kept_row, written_and_read_at_once
from proofs_tests.fuzz.report import readme
from proofs_tests.fuzz.trial import BOUNDLESS
from proofs_tests.fuzz.values import ANSWERED, HUNG, NONSENSE, RAW, REFUSED, calls, is_moderate, outcome
from scalegroup import FieldType, ScaleGroupError, functional, nn, testing
from scalegroup.errors import Refusing, refusing

TYPE = FieldType.scalars(2)
NEVER = {"Attention.check", "Attention.reduce", "RotationGroup.from_escnn"}  # of good arguments: they always refuse


def test_every_public_name_and_method_is_in_the_list() -> None:
    listed = {public.name for public in publics()} | {kind.__name__ for kind in RESULTS}
    functions = {public.function for public in publics()}
    for module in MODULES:
        for name in names_of(module):
            value = getattr(module, name)
            if inspect.isclass(value) and not inspect.isabstract(value) and value is not ScaleGroupError:
                assert name in listed
                assert all(getattr(value, method) in functions for method in methods_of(value))
            elif inspect.isfunction(value):
                assert name in listed
    assert len(listed) > 300


def test_a_name_that_is_forgotten_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    publics()  # what there is without it
    monkeypatch.setattr(functional, "forgotten", lambda images: images, raising=False)
    functional.forgotten.__module__ = functional.__name__
    with pytest.raises(AssertionError):
        test_every_public_name_and_method_is_in_the_list()


def test_no_argument_of_the_table_is_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = set()

    class Table(dict):
        def __getitem__(self, name: str) -> object:
            asked.add(name)
            return super().__getitem__(name)

    tables = {name: Table(getattr(callables, name)) for name in ("BY_NAME", "BY_ANNOTATION")}
    for name, table in tables.items():
        monkeypatch.setattr(callables, name, table)
    for public in publics():
        public.arguments()
    assert {name for table in tables.values() for name in table} - asked == set()


@pytest.mark.filterwarnings("ignore")  # of numpy and torch
def test_good_arguments_are_answered() -> None:
    for public in publics():
        if public.name not in SLOW:
            found = outcome(partial(public.call, public.arguments()), finite=public.name not in BOUNDLESS)
            assert found[0] == (REFUSED if public.name in NEVER else ANSWERED), (public.name, found)


@pytest.mark.filterwarnings("ignore")
def test_bad_arguments_are_answered_or_refused() -> None:
    for public in publics():
        if public.name in SLOW:
            continue
        # huge ones want a limit of memory, and the meta device imports for seconds
        some = [call for call in calls(public) if call[1] not in ("huge", "meta device")]
        if some:
            parameter, kind, arguments, value = random.Random(public.name).choice(some)
            finite = is_moderate(value) and public.name not in BOUNDLESS
            found = outcome(partial(public.call, arguments), finite=finite)
            assert found[0] in (REFUSED, ANSWERED), (public.name, parameter, kind, value, found)


def test_what_breaks_is_noticed() -> None:
    def forever() -> None:
        while True:
            pass

    def loud(values: object) -> object:
        return torch.relu(values)  # type: ignore[arg-type]

    found = [outcome(partial(Public("loud", loud).call, {"values": value}))[0] for value in ("two", torch.zeros(1))]
    assert found == [RAW, ANSWERED]
    assert outcome(lambda: torch.tensor([1.0]) / 0)[0] == NONSENSE
    assert outcome(lambda: {"a": (np.array([np.nan]),)})[0] == NONSENSE
    assert outcome(forever, seconds=0.05)[0] == HUNG
    assert outcome(lambda: sg.ScaleGroup(0))[0] == REFUSED


def test_the_report_counts_every_outcome() -> None:
    trial = {"callable": "f", "parameter": "x", "kind": "None", "value": "None", "said": "it"}
    about = {"command": "c", "said": "s"}
    text = readme([trial | {"outcome": RAW}, trial | {"outcome": REFUSED}], {}, about)
    assert "1 of 2 bad calls of 1 public callables" in text
    assert "| all | 1 | 0 | 1 | 0 | 0 |" in text
    assert "`f(x=None)`: raw error, it" in text


# -- faults of files --------------------------------------------------------------------------------------------------


def test_a_full_disk_loses_nothing() -> None:
    assert full_disk(3) == Counter(survived=3)


def test_weights_that_another_process_writes_are_read_whole() -> None:
    assert written_and_read_at_once(10) == Counter(survived=10)


def test_damaged_results_are_refused_or_what_was_written() -> None:
    found = damaged(kept_row, cut) + damaged(kept_row, flipped)
    assert not found["silent"] + found["raw error"]
    assert found["refused"] > 100


def test_damage_that_nobody_notices_is_found(tmp_path: Path) -> None:
    """A control: of a file without a checksum."""

    def text() -> tuple[Path, Callable[[], bytes]]:
        path = tmp_path / "text"
        path.write_bytes(b"weights")
        return path, path.read_bytes

    assert damaged(text, cut) == Counter(silent=7)


# -- how errors become refusals ---------------------------------------------------------------------------------------


def test_errors_of_arguments_are_refused_with_their_cause() -> None:
    with pytest.raises(ScaleGroupError, match=r"None, 0 .*expected Max\.reduce\(self") as caught:
        sg.Max().reduce(None, 0)  # type: ignore[arg-type]
    assert isinstance(caught.value.__cause__, AttributeError)


@pytest.mark.parametrize(
    "error", [torch.cuda.OutOfMemoryError("full"), KeyboardInterrupt(), ScaleGroupError("a", expected="b", mend="c")]
)
def test_what_is_no_fault_of_arguments_stays_what_it_is(error: BaseException) -> None:
    def fails() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        refusing(fails)()
    assert caught.value is error


def test_calls_of_too_few_arguments_are_refused_by_python() -> None:
    with pytest.raises(TypeError):
        sg.Max().reduce(torch.zeros(1))  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        nn.JetConv(TYPE)  # type: ignore[call-arg]


def test_classes_of_others_raise_what_they_raise() -> None:
    class Theirs(Refusing):
        def fails(self) -> None:
            raise RuntimeError("theirs")

    with pytest.raises(RuntimeError, match="theirs") as caught:
        Theirs().fails()
    assert not isinstance(caught.value, ScaleGroupError)


# -- pointwise functions ----------------------------------------------------------------------------------------------

POINTWISE = [F.gelu, torch.tanh, torch.square, abs, torch.nn.SiLU(), torch.nn.PReLU(2), torch.nn.PReLU().double()]
OTHERS = {
    "glu": partial(F.glu, dim=1),
    "dropout": torch.nn.Dropout(0.05),
    "dropout in evaluation mode": torch.nn.Dropout().eval(),
    "random slopes": torch.nn.RReLU(),
    "softmax over features": partial(torch.softmax, dim=1),
    "softmax over places": partial(torch.softmax, dim=3),
    "batch norm": torch.nn.BatchNorm2d(2),
    "by the largest": lambda maps: maps / maps.abs().amax(),
    "by place": lambda maps: maps * torch.arange(maps.shape[3]),
    "mixing": torch.nn.Conv2d(2, 2, 1),
    "truth values": lambda maps: maps > 0,
    "a number": torch.mean,
    "text": str,
}


@pytest.mark.parametrize("function", POINTWISE, ids=lambda function: getattr(function, "__name__", repr(function)))
def test_pointwise_functions_are_taken(function: object) -> None:
    nn.Pointwise(TYPE, function)  # type: ignore[arg-type]


@pytest.mark.parametrize("function", OTHERS.values(), ids=OTHERS)
def test_functions_that_are_not_pointwise_are_refused_when_the_layer_is_made(function: object) -> None:
    with pytest.raises(ScaleGroupError, match="function") as caught:
        nn.Pointwise(TYPE, function)  # type: ignore[arg-type]
    assert caught.value.expected == "a map of tensors that acts on each value alone"
    with pytest.raises(ScaleGroupError):
        sg.models.gaussian_derivative_net(widths=(2, 2), activation=function)


def test_looking_at_a_function_draws_no_random_number_and_leaves_a_module_as_it_was() -> None:
    before, module = torch.get_rng_state(), torch.nn.BatchNorm2d(2).eval()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    for function in (module, torch.nn.Dropout()):
        with pytest.raises(ScaleGroupError):
            nn.Pointwise(TYPE, function)
    assert torch.equal(before, torch.get_rng_state())
    assert not module.training
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in state.items())


# -- what did not come back or answered nonsense ----------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [sg.SampledGaussian(), sg.SampledDerivatives()], ids=repr)
def test_sampled_gaussians_whose_mass_is_far_from_one_are_refused(kernel: sg.Kernel) -> None:
    assert kernel.taps(0.21).reshape(-1, kernel.taps(0.21).shape[-1])[0].sum() < 2
    for sigma in (0.19, 1e-8):
        with pytest.raises(ScaleGroupError, match=r"0\.2 samples"):
            kernel.taps(sigma)
    with pytest.raises(ScaleGroupError):
        functional.jet_maps(torch.rand(1, 1, 9, 9), sigma=1e-8, kernel=kernel)


@pytest.mark.parametrize("sigma", [1e6, 1e300])
def test_sigmas_beyond_any_image_are_refused(sigma: float) -> None:
    for call in (
        lambda: sg.DiscreteGaussian().build(sigma, 2),
        lambda: testing.covariance_check(sigma),
        lambda: sg.models.gaussian_derivative_net(widths=(2, 2), r=sigma).plan((9, 9)),
        lambda: sg.models.gaussian_derivative_net(widths=(2,), sigma0=sigma).plan((9, 9)),
        lambda: nn.AffineJetConv(TYPE, 2, elongation=sigma).reach(1.0),
    ):
        found = outcome(call, seconds=2)
        assert found[0] == REFUSED, found


def test_numbers_of_features_that_nobody_has_are_refused() -> None:
    for call in (sg.trivial, FieldType.scalars, sg.ImageType, partial(nn.JetConv, TYPE), sg.RotationGroup):
        assert outcome(partial(call, 10**9), seconds=2)[0] == REFUSED


def test_channels_that_are_not_there_are_refused() -> None:
    field = functional.lift(torch.rand(1, 1, 9, 9), sg.ScaleWindow(sg.ScaleGroup(2), 1.0, 2))
    assert torch.equal(field.channel(1), field.channel(True))
    for index in (-1, 2, 0.5, float("nan"), None):
        with pytest.raises(ScaleGroupError):
            field.channel(index)  # type: ignore[arg-type]
    for start, stop in ((-1, 1), (1, 3), (2, 2)):
        with pytest.raises(ScaleGroupError):
            field.window.select(start, stop)
