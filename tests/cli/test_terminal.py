"""What the commands print fits the terminal, word by word; colours and JSON on request."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

import weightgas
from command_line import Called, call
from weightgas.cli.terminal import write
from weightgas.measurement.columns import columns

WIDTHS = (80, 100, 140)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a cell in equilibrium, one that is too short and one that diverged."""
    place = tmp_path_factory.mktemp("terminal") / "run"
    protocol = weightgas.FixedLR(lr=[1e-12, 0.05, 0.1, 1e6], wd=0.1)
    weightgas.simulate(protocol, steps=40_000, run=str(place))
    return place


def measured(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int, *more: str
) -> Called:
    monkeypatch.setenv("COLUMNS", str(width))
    found = call(capsys, "measure", folder, *more)
    assert found.code == 0, found.err
    return found


@pytest.mark.thorough
@pytest.mark.parametrize("width", WIDTHS)
def test_a_state_fits_the_terminal_and_no_number_is_cut(folder, capsys, monkeypatch, width: int) -> None:
    found = measured(folder, capsys, monkeypatch, width, "--no-controls").out
    lines = [line for line in found.splitlines() if not line.startswith("State in ")]
    assert max(map(len, lines)) <= width and "…" not in found.replace(" … ", "")
    wide = measured(folder, capsys, monkeypatch, 1000, "--no-controls").out
    words = [word for word in re.split(r"\s+", wide) if word.strip("─")]
    assert set(words) - {"status"} <= set(re.split(r"\s+", found)), "a word is broken"
    blocks = [line for line in lines if re.match(r"lr 0\.05  wd 0\.1  \w+", line)]
    assert len(blocks) == (1 if width < 110 else 0)


@pytest.mark.thorough
def test_advice_is_printed_once_for_each_status(folder, capsys, monkeypatch) -> None:
    found = " ".join(measured(folder, capsys, monkeypatch, 80, "--no-controls").out.split())
    assert found.count("The weights overflowed or stopped being finite") == 1
    assert "1 of 4 cells diverged: The weights overflowed" in found and "`" not in found
    assert "more than 10000 times the steps: rather change the learning rate or the weight decay" in found


@pytest.mark.thorough
def test_reasons_name_their_cells(folder, capsys, monkeypatch) -> None:
    """The cells that are not in equilibrium, in the order of the table, each with its hyperparameters."""
    out = measured(folder, capsys, monkeypatch, 140, "--no-controls").out
    assert re.search(r"^  lr 1e-12, wd 0\.1: energy: \S+ effective samples of 20 needed", out, re.MULTILINE)
    assert re.search(r"^  lr 1e\+06, wd 0\.1: diverged after 0 of 400 samples", out, re.MULTILINE)


@pytest.mark.thorough
def test_controls_are_named_in_a_table(tmp_path, capsys, monkeypatch) -> None:
    """Of a run of few samples: the controls have as many."""
    record = weightgas.Record(samples=120)
    weightgas.simulate(weightgas.FixedLR(lr=0.1, wd=0.1), steps=6000, record=record, run=str(tmp_path / "run"))
    found = measured(tmp_path / "run", capsys, monkeypatch, 80).out
    table = found.split("Controls, reference simulations with a known answer: ")[1]
    for name in ("ideal", "anisotropic", "hessian", "loss-dependent", "large step"):
        assert re.search(rf"^ {name} +(yes|no|undecided) ", table, re.MULTILINE), name


@pytest.mark.thorough
def test_json_has_the_state_and_the_verdict_and_nothing_else(folder, capsys, monkeypatch) -> None:
    found = measured(folder, capsys, monkeypatch, 80, "--json", "--no-controls")
    content = json.loads(found.out)
    state = weightgas.measure(weightgas.open_trace(folder))
    assert {k: content[k] for k in columns(state)} == columns(state)
    assert content["verdict"]["levels"][0]["number"] == 1 and content["controls"] == {}
    assert content["status"][-1] == "diverged" and content["quantities"]["energy"]["value"][-1] is None


def test_a_forecast_fits_the_terminal_and_is_json_on_request(capsys, monkeypatch) -> None:
    arguments = ("adamw", "--lr", "1e-3", "--wd", "0.1", "--dim", "4096", "--schedule", "cosine", "--steps", "20000")
    arguments += ("--radius", "3", "--as-optimizer", "sgd", "--grad-sq", "0.5")
    for width in (*WIDTHS, 300):
        monkeypatch.setenv("COLUMNS", str(width))
        out = call(capsys, "predict", *arguments).out
        assert max(map(len, out.splitlines())) <= width and ("relaxation time: 6193 steps" in out) == (width == 80)
    content = json.loads(call(capsys, "predict", *arguments, "--json").out)
    forecast = weightgas.predict(
        weightgas.optimizers.AdamW(lr=1e-3, wd=0.1), groups={"weights": (4096, 0.5, 3.0)}, steps=20000
    )
    assert content["groups"][0]["radius"] == pytest.approx(forecast["weights"].radius, rel=5.1e-5)
    assert content["equivalents"][0]["title"] == "as sgd" and content["steps"] == 20000


@pytest.mark.parametrize(
    ("arguments", "note", "not_noted"),
    [
        (("lion", "--lr", "1e-300", "--wd", "1e-300"), "eta lambda is 0 in double precision", "in units of"),
        (("sgd", "--lr", "1e8", "--wd", "1e-3"), "beyond the stable range", "it needs dim and grad_sq"),
    ],
)
def test_advice_on_extreme_settings_makes_sense(capsys, arguments, note: str, not_noted: str) -> None:
    found = call(capsys, "predict", *arguments)
    assert note in found.out and not_noted not in found.out and (found.code, found.err) == (0, "")


@pytest.mark.parametrize("width", WIDTHS)
def test_the_lists_fit_the_terminal(capsys, monkeypatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out = call(capsys, "list").out
    assert max(map(cell_len, out.splitlines())) <= width and "``" not in out
    monkeypatch.delenv("COLUMNS")
    unbroken = call(capsys, "list").out
    assert out.split() == unbroken.split() and len(unbroken.splitlines()) <= len(out.splitlines())


@pytest.mark.parametrize("colours", [True, False])
def test_answers_have_colours_unless_these_are_not_wanted(monkeypatch, colours: bool) -> None:
    monkeypatch.setenv("NO_COLOR", "" if colours else "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    to = Console(width=40, force_terminal=True, highlight=False)
    with to.capture() as captured:
        write(to, "  2. Are the identities of any stationary run satisfied? yes\n     A equations of state: fails (no)")
    out = captured.get()
    assert ("\x1b[32myes\x1b[0m" in out) == ("\x1b[31mfails\x1b[0m" in out) == colours
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
    assert all(len(line) <= 40 for line in plain.splitlines()) and "no)" in plain


def test_every_letter_of_a_text_is_printed_at_every_width() -> None:
    generator = np.random.default_rng(0)
    words = ["yes", "T_conf/T:", "no", "(U − U₀)/RT:", "undecided", "(needs", "replicas)", "x" * 50]
    for _ in range(200):
        text = "  " * int(generator.integers(4)) + " ".join(generator.choice(words, int(generator.integers(1, 30))))
        to = Console(width=int(generator.integers(20, 90)), force_terminal=True, color_system="standard")
        with to.capture() as captured:
            write(to, text)
        assert re.sub(r"\x1b\[[0-9;]*m", "", captured.get()).split() == text.split()
