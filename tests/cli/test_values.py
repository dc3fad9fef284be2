"""What the texts of the command line stand for, and how numbers and letters are printed."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightgas import networks, runs
from weightgas.cli import cost, text, values
from weightgas.losses import Covariance, Hessian, Isotropic, Linear, LossDependent, Quadratic


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("0.1", [0.1]),
        ("0.01,0.1", [0.01, 0.1]),
        (" 1e-2 , .1", [0.01, 0.1]),
        ("1e-3:1e-1:3", [1e-3, 1e-2, 1e-1]),
        ("1:4:2,9", [1.0, 4.0, 9.0]),
    ],
)
def test_axis(written: str, meant: list[float]) -> None:
    np.testing.assert_allclose(values.axis_of("lr", written), meant, rtol=1e-14)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (None, None),
        ("0.003", 0.003),
        ("energy=0.01", {"energy": 0.01}),
        ("energy=1e-2, entropy-direction=.1", {"energy": 0.01, "entropy_direction": 0.1}),
    ],
)
def test_precision(written: str | None, meant: object) -> None:
    assert values.precision_of(written) == meant


@pytest.mark.parametrize("written", ["", "small", "energy=", "energy=0.1,radius", "energy=0.1=0.2"])
def test_a_precision_that_is_no_number_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"--precision: expected a number or NAME=NUMBER,NAME=NUMBER, got"):
        values.precision_of(written)


@pytest.mark.thorough
@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 40))
def test_a_range_has_both_ends_and_one_ratio(low: float, high: float, count: int) -> None:
    found = np.array(values.axis_of("lr", f"{low!r}:{high!r}:{count}"))
    assert (found[0], found[-1], len(found)) == (low, high, count)
    np.testing.assert_allclose(np.diff(np.log(found)), np.log(high / low) / (count - 1), atol=1e-12)


@pytest.mark.parametrize("written", ["", "a", "1,", "1:2", "1:2:3:4", "1:2:x", "1:2:2.5", "0.1 0.2", "1::3"])
def test_an_axis_that_is_not_numbers_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"--lr: expected numbers, got .*low:high:count"):
        values.axis_of("lr", written)


@pytest.mark.parametrize("written", ["0:1:3", "-1:1:3", "1:inf:3", "nan:1:3", "1:2:1", "1:2:0"])
def test_a_range_needs_positive_ends_and_a_count(written: str) -> None:
    with pytest.raises(ValueError, match="ends above 0 and a count of 2 or more"):
        values.axis_of("lr", written)


def test_losses_and_noises() -> None:
    assert values.loss_of("linear") == Linear()
    assert values.loss_of("quadratic:0,0.5,1") == Quadratic((0, 0.5, 1))
    assert values.noise_of(None, None) == Isotropic(1.0)
    assert values.noise_of("isotropic", 0.5) == Isotropic(0.5)
    assert values.noise_of("loss-dependent:8,1", None) == LossDependent(8.0, 1.0)
    assert values.noise_of("hessian:0.5", None) == Hessian(0.5)
    assert values.noise_of("covariance:0.1,1", None) == Covariance((0.1, 1), label="covariance:0.1,1")


def test_networks() -> None:
    assert values.network_of("mlp", None) == networks.mlp()
    assert values.network_of("mlp", "4,3") == networks.mlp(hidden=(4, 3))
    assert values.network_of("convnet", None) == networks.convnet()
    assert values.network_of("resnet18:8", None) == networks.resnet18(8)
    expected = networks.convnet(4, normalisation="group", loss="squared_error", head_norm=2.5, head_seed=3)
    found = values.network_of("convnet:4,normalisation=group,loss=squared_error,head_norm=2.5,head_seed=3", None)
    assert found == expected
    assert values.network_of("mlp:loss=squared_error", "5") == networks.mlp((5,), loss="squared_error")


@pytest.mark.parametrize(
    ("written", "hidden", "match"),
    [
        ("vgg", None, "network: expected one of convnet, mlp, resnet18, got 'vgg'"),
        ("convnet:depth=3", None, "--network: expected NAME, .*settings among .*got depth.*convnet:8"),
        ("mlp:8", None, "--network: expected NAME"),
        ("convnet:wide", None, "width: expected a whole number"),
        ("convnet:8,", None, "width: expected a whole number"),
        ("convnet:0", None, "width: expected a whole number of at least 1"),
        ("convnet", "6,6", "--hidden: expected none with another network than mlp"),
        ("own.py:net", "6,6", "--hidden: expected none with another network than mlp"),
    ],
)
def test_networks_that_are_not_are_refused(written: str, hidden: str | None, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        values.network_of(written, hidden)


@pytest.mark.parametrize(
    ("letters", "words"),
    [
        ("η = 0.1 ± 0.01", "eta = 0.1 +- 0.01"),
        ("λ, Λ-like é", "lambda, ?-like e"),
        ("w̄ → ½ σ²", "w -> 1/2 sigma^2"),
        ("plain", "plain"),
    ],
)
def test_letters_become_words(letters: str, words: str) -> None:
    assert text.readable(letters) == words


def test_a_stream_without_the_letters_survives(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    text.survive()
    print("η ± λ", file=stream, flush=True)
    assert stream.buffer.getvalue() == b"eta +- lambda\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.01, "1 s"), (59.6, "60 s"), (90, "2 min"), (3600, "60 min"), (9000, "2.5 h"), (9e5, "10 days")],
)
def test_durations(seconds: float, said: str) -> None:
    assert runs.duration(seconds) == said


@pytest.mark.parametrize(("count", "said"), [(12, "12 bytes"), (4321, "4 kB"), (2.5e6, "2 MB"), (3.14e9, "3.1 GB")])
def test_sizes(count: float, said: str) -> None:
    assert cost.size_of(count) == said
