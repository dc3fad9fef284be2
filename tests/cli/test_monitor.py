"""``weightgas predict`` and ``weightgas symmetries``: the library's own answers, files of the user, refusals."""

import json
from pathlib import Path

import pytest

from command_line import call
from weightgas.forecast import Forecast, predict
from weightgas.optimizers import SGD, AdamW

FILE = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 4, bias=False), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3))

net = make()
batches = [(torch.randn(8, 12), torch.randint(3, (8,))) for _ in range(3)]
full = net, lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]), batches
number = 3

def half(step):
    return 0.5

def broken():
    raise RuntimeError("no weights")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in a folder with a file of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(FILE, encoding="utf-8")
    return tmp_path


def test_predict_prints_what_the_library_says(capsys: pytest.CaptureFixture[str]) -> None:
    found = call(capsys, "predict", "sgd", "--lr", "0.1", "--wd", "5e-4", "--momentum", "0.9", "--steps", "78200")
    assert (found.code, found.err) == (0, "")
    assert found.out == f"{predict(SGD(0.1, 5e-4, momentum=0.9), steps=78200)}\n"


def test_predict_saves_and_tells_other_settings(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--lr", "1e-3", "--wd", "0.1", "--dim", "400", "--grad-sq", "2", "--betas", "0.9,0.95", "--batch-size", 32)
    asked = ("--rescale", 4, "--at-batch-size", 64, "--as-optimizer", "sgd", "--fixed-norm")
    asked += ("--group", "1.weight", "--save", "told.json")
    found = call(capsys, "predict", "adamw", *given, *asked)
    assert (found.code, found.err) == (0, "")
    group = {"1.weight": (400, 2.0, None)}
    told = predict(AdamW(1e-3, 0.1, betas=(0.9, 0.95)), groups=group, batch_size=32)
    for other in (told.rescaled(4), told.at_batch_size(64), told.as_optimizer(SGD()), told.at_fixed_norm()):
        assert str(other) in found.out
    assert Forecast.load("told.json") == told
    again = call(capsys, "predict", "sgd", "--lr", 0.1, "--wd", 0.1, "--save", "told.json")
    assert again.code == 2 and "told.json: expected a new place, got one in use" in again.err
    assert Forecast.load("told.json") == told
    assert call(capsys, "predict", "sgd", "--lr", 0.1, "--wd", 0.1, "--save", "told.json", "--force").code == 0
    assert Forecast.load("told.json") != told


@pytest.mark.parametrize(
    ("text", "schedule"),
    [("cosine", "cosine"), ("linear", "linear"), ("net.py:half", "half"), ("step:0.1,4000,2000", "step")],
)
def test_predict_under_a_schedule(text: str, schedule: str, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    done = np.arange(5000) / 5000
    factor = {
        "cosine": (1 + np.cos(np.pi * done)) / 2,
        "linear": 1 - done,
        "half": np.full(5000, 0.5),
        "step": np.repeat([1, 0.1, 0.01], [2000, 2000, 1000]),
    }[schedule]
    found = call(capsys, "predict", "sgd", "--lr", 0.1, "--wd", 0.01, "--steps", 5000, "--radius", 2, "--grad-sq", 1,
                 "--schedule", text)  # fmt: skip
    told = predict(SGD(0.1, 0.01), steps=5000, radius=2.0, grad_sq=1.0, schedule=factor)
    assert found.out == f"{told}\n" and told["weights"].radius_at(5000) is not None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("sgd", "--lr", "0", "--wd", "0.1"), "lr: expected"),
        (("adamw", "--lr", "1", "--wd", "0.1", "--betas", "3"), "--betas: expected two numbers, got '3'"),
        (("sgd", "--lr", "1", "--wd", "0.1", "--schedule", "cosine"), "--steps: expected the length of the run"),
        (("sgd", "--lr", "1", "--wd", "0.1", "--schedule", "step", "--steps", "9"), "FILE.py:NAME, got 'step'"),
        (("sgd", "--lr", "1", "--wd", "0.1", "--schedule", "step:0.1", "--steps", "9"), "AT or FILE.py:NAME, got"),
        (("sgd", "--lr", "1", "--wd", "0.1", "--schedule", "step:x,3", "--steps", "9"), "AT or FILE.py:NAME, got"),
        (("sgd", "--lr", "1", "--wd", "0.1", "--schedule", "net.py:none", "--steps", "9"), "a name in net.py"),
        (("sgd", "--lr", "1", "--wd", "0.1", "--fixed-norm"), "radius: expected a stationary norm in numbers"),
        (("muon", "--lr", "1", "--wd", "0.1"), "update_memory: expected a number"),
        (
            ("sgd", "--lr", "0.1", "--wd", "0.1", "--at-batch-size", "9"),
            "batch_size: expected the batch size of these settings",
        ),
        (("rmsprop", "--lr", "1", "--wd", "0.1"), "expected one of adam, adamw, lion, muon, sgd, got 'rmsprop'"),
        (("adamw", "--lr", "1", "--wd", "0.1", "--momentum", "0.9"), "momentum: expected none for AdamW"),
        (("net.py:half", "--lr", "1", "--wd", "0.1"), "optimizer: expected an optimizer"),
    ],
)
def test_predict_refuses_in_one_line(arguments, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = call(capsys, "predict", *arguments)
    assert found.code == 2 and found.out == ""
    assert words in found.err and found.err.count("\n") == 1


def test_predict_of_a_class_in_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "mine.py").write_text("from weightgas.optimizers import SGD\n\nclass Mine(SGD):\n    pass\n")
    found = call(capsys, "predict", "mine.py:Mine", "--lr", "0.1", "--wd", "5e-4", "--momentum", "0.9")
    assert found.out == f"{predict(SGD(0.1, 5e-4, momentum=0.9))}\n".replace("SGD:", "Mine:")
    adam = call(capsys, "predict", "adam", "--decoupled", "--lr", "0.1", "--wd", "0.1", "--dim", 9)
    assert adam.out == f"{predict(AdamW(0.1, 0.1), dim=9)}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("net.py:make", "--input-shape", "12"),
        ("net.py:full",),
        ("net.py:net", "--input-shape", "3,4", "--classes", "3"),
    ],
)
def test_symmetries_of_a_file(arguments, capsys: pytest.CaptureFixture[str]) -> None:
    found = call(capsys, "symmetries", *arguments, "--json")
    assert (found.code, found.err) == (0, "")
    told = json.loads(found.out)
    assert [(g["kind"], g["parameters"]) for g in told["groups"]] == [
        ("single", ["1.weight"]),
        ("rescale", ["2.weight", "2.bias", "4.weight"]),
    ]
    table = call(capsys, "symmetries", *arguments, "--per-filter").out
    assert "1 scale-invariant groups and 1 rescalings" in table
    assert [f"1.weight[{k}]" in table for k in range(5)] == [True] * 4 + [False]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere.py:net",), "There is no file"),
        (("net.py",), "expected FILE.py:NAME"),
        (("net.py:nothing",), "a name in net.py"),
        (("net.py:number",), "a torch.nn.Module or (model, loss_fn, batches), got 'int'"),
        (("net.py:broken",), "RuntimeError: no weights"),
        (("net.py:make",), "--input-shape: expected the shape of one input"),
        (("net.py:make", "--input-shape", "3,x"), "whole numbers above 0, got '3,x'"),
        (("net.py:make", "--input-shape", "7"), "--input-shape: expected inputs that the model takes, got"),
    ],
)
def test_symmetries_refuses_in_one_line(arguments, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = call(capsys, "symmetries", *arguments)
    assert found.code == 2 and found.out == ""
    assert words in found.err and found.err.count("\n") == 1
