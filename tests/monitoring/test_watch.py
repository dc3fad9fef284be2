"""``watch`` in a user's loop: it moves nothing, survives what loops do, and states what it cannot say."""

import copy
import csv
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from report_pages import data_of
from watched_runs import GROUPS, OPTIMIZERS, OTHERS, OneTensor, batches, drawn_gas, network, run, steps
from weightgas import figures, report, trace
from weightgas.forecast import predict
from weightgas.measurement import measure
from weightgas.monitoring import watch
from weightgas.optimizers import SGD
from weightgas.status import Status
from weightgas.symmetry import Group, symmetries


@pytest.mark.parametrize("kind", OPTIMIZERS | OTHERS)
def test_weights_are_bit_equal_with_and_without(kind: str) -> None:
    """Dropout, data order and the optimizer's state included."""
    with_, optimizer, _ = run(kind, 12, every=2)
    drawn = torch.rand(())
    without, plain, _ = run(kind, 12, watched=False)
    assert torch.equal(drawn, torch.rand(()))
    for a, b in zip([*with_.parameters(), *with_.buffers()], [*without.parameters(), *without.buffers()], strict=True):
        assert torch.equal(a, b)
    for a, b in zip(optimizer.state.values(), plain.state.values(), strict=True):
        assert all(torch.equal(torch.as_tensor(a[k]), torch.as_tensor(b[k])) for k in a if a[k] is not None)


def test_two_lines_and_a_table_within_200_steps() -> None:
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=1e-2)
    gas = watch(model, optimizer)
    assert "no sample is finished yet" in str(gas)
    steps(model, optimizer, 200)
    text = str(gas)
    assert "groups from the structure; not confirmed" in text and "SGD; coupled decay" in text
    assert "0.weight" in text and "τ" in text and "of the time in hooks" in text
    assert [s.invariant for s in gas.groups()] == [True, True, False]
    assert all(np.isfinite(s.radius_star) for s in gas.groups()[:2])
    assert gas.table().row_count == 3 and "3 groups, 4 samples, attached" in repr(gas)
    assert gas.record.step.tolist() == [0, 16, 64, 100] and 0 < gas.cost < 0.5


@pytest.mark.thorough
def test_the_first_sample_is_already_told() -> None:
    for kind in OPTIMIZERS:
        gas = run(kind, 2)[2]
        assert (
            len(gas.record) == 1
            and len(gas.groups()) == 2
            and "too short" in str(gas) + "too short" * (kind == "nadam")
        )
        assert gas.trace().sizes["sample"] == 1


def test_groups_from_the_symmetry_search() -> None:
    torch.manual_seed(0)
    model = network()[:3].append(nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=1e-2)
    loss = lambda m, b: nn.functional.cross_entropy(m(b[0]), b[1])  # noqa: E731
    some = list(batches(4))
    gas = watch(model, optimizer, batches=some, loss_fn=loss)
    assert gas.names == ("0.weight", "3.weight") and gas.source == "the symmetry search"
    assert gas.invariant == (True, False)
    assert watch(model, optimizer, groups=symmetries(model, loss, some)).names == ("0.weight",)


def test_matrices_that_are_not_known_to_be_scale_invariant_have_what_holds_without() -> None:
    """A perceptron without a norm: exact norms, budget and decay times, and nothing that needs scale-invariance."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, 10))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=1e-2)
    gas = watch(model, optimizer, every=2)
    steps(model, optimizer, 18)
    norms = [float(model[k].weight.detach().norm()) for k in (0, 2)]
    steps(model, optimizer, 2)
    assert gas.names == ("0.weight", "2.weight") and gas.invariant == (False, False)
    for state, norm in zip(gas.groups(), norms, strict=True):
        assert state.step == 18 and state.radius == pytest.approx(norm, rel=1e-6)
        assert state.decay_time == pytest.approx(1 / (0.1 * 1e-2), rel=1e-3) and state.closure < 1e-6
        assert state.elr == pytest.approx(0.1 / state.radius**2) and state.angle > 0
        refused = ("radius_star", "radius_law", "relaxation_time", "steps_to_go", "temperature", "pressure", "volume")
        assert all(np.isnan(getattr(state, name)) for name in (*refused, "compressibility", "temperature_conf"))
        assert state.status == Status.NOT_APPLICABLE and state.reason == "not known to be scale-invariant"
    assert "0 of 2 groups are known to be scale-invariant" in str(gas) and "2.weight ·" in str(gas)
    assert all(one.basis == "none" for one in gas.forecast(500).values())
    with pytest.raises(ValueError, match="trace: expected at least one scale-invariant group"):
        gas.trace()


def test_others_leave_the_scale_invariant_groups_as_they_are() -> None:
    """The state, the trace and T_conf of all groups are those of a run in which the head is not watched."""
    first, second = run("momentum", 60)[2], run("momentum", 60, groups=None)[2]
    assert second.invariant == (True, True, False)
    for one, other in zip(first.groups(), second.groups(), strict=False):
        assert repr(replace(one, name="")) == repr(replace(other, name=""))  # NaN is not equal to itself
    a, b = first.trace(), second.trace()
    assert b.attrs["groups_excluded"] == ["7.weight"] and a.attrs["groups_excluded"] == []
    assert all(np.array_equal(a[name], b[name], equal_nan=True) for name in a if a[name].dtype.kind == "f")


@pytest.mark.parametrize(("width", "apart", "name"), [(64, False, "0"), (64, True, "0.weight"), (128, True, "0")])
def test_a_group_that_the_optimizer_treats_in_two_ways_has_no_one_radius(width: int, apart: bool, name: str) -> None:
    """A weight and its bias before LayerNorm: together unless the bias, without decay, is more than a hundredth."""
    model = nn.Sequential(nn.Linear(width, 32), nn.LayerNorm(32), nn.Tanh(), nn.Linear(32, 10))
    bias = {"params": [model[0].bias], "weight_decay": 0.0 if apart else 0.1}
    gas = watch(model, torch.optim.AdamW([{"params": [model[0].weight, model[3].weight]}, bias], weight_decay=0.1))
    assert gas.names == (name, "3.weight") and gas.invariant == (name == "0", False)
    said = "; ".join(gas.notes())
    assert ("have other optimizer settings" in said) is apart
    assert ("its matrices are watched by themselves" in said) is (name == "0.weight")


def test_of_groups_that_share_a_tensor_the_larger_one_is_watched() -> None:
    class Shared(nn.Module):
        """As in ConvNeXt: the bias of a layer before a norm scales with the stream, and with the layer's weight."""

        def __init__(self) -> None:
            super().__init__()
            self.embed, self.mix, self.down = nn.Linear(64, 8, bias=False), nn.Linear(8, 8), nn.Linear(8, 8)
            self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 10)

        def forward(self, x):
            x = self.embed(x)
            return self.head(torch.tanh(self.norm(x + self.down(torch.tanh(self.norm(self.mix(x)))))))

    model = Shared()
    gas = watch(model, torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.1))
    assert gas.names == ("residual stream", "mix.weight", "head.weight") and gas.invariant == (True, False, False)
    assert any("is in residual stream already" in note for note in gas.notes())


def test_a_claim_that_the_gradients_deny_has_no_stationary_radius() -> None:
    gas = run("sgd", 40, groups={"head": ["7.weight"]})[2]
    (state,) = gas.groups()
    assert not state.invariant and np.isnan(state.radius_star) and state.status == Status.NOT_APPLICABLE
    assert (
        "so it is not scale-invariant" in state.reason
        and "so it is not scale-invariant, or the loss has a penalty" in " ".join(gas.notes())
    )


def test_the_direction_of_a_gradient_that_is_rounding_error_is_no_evidence() -> None:
    """The sum of a normalised output does not depend on the weights before it; that of its cube does."""
    found = {}
    for power in (1, 3):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(8, 60, bias=False), nn.BatchNorm1d(60))
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.5)
        found[power] = watch(model, optimizer, groups={"first": ["0.weight"]}, every=2)
        for _ in range(12):
            optimizer.zero_grad()
            (model(torch.randn(32, 8)) ** power * torch.randn(60)).sum().backward()
            optimizer.step()
    assert np.isnan(found[1].record["tangency"]).all() and (found[1].record["grad_sq"] > 0).all()
    assert np.abs(found[3].record["tangency"]).max() < 1e-3
    text = {power: " ".join(str(gas).split()) for power, gas in found.items()}
    assert not any("not scale-invariant" in t for t in text.values())
    assert "rounding error of the entire gradient in 100% of the samples" in text[1] and "rounding" not in text[3]


def test_a_group_that_begins_at_zero() -> None:
    """Refused by its reason at norm 0; once it moves, it has a state by the samples that have a norm."""
    model = OneTensor(np.zeros(9))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.1)
    gas = watch(model, optimizer, groups={"all": ["weight"]}, every=2)
    generator = torch.Generator().manual_seed(0)
    for n in range(40):
        w, noise = model.weight.detach(), torch.randn(9, generator=generator, dtype=torch.float64)
        model.weight.grad = noise - (noise @ w) / (w @ w).clamp(min=1e-30) * w
        optimizer.step()
        if n == 1:
            (state,) = gas.groups()
            assert state.radius == 0 and "its norm is 0" in state.reason and not state.invariant
            assert np.isnan([state.elr, state.radius_star]).all() and "–" in str(gas)
    (state,) = gas.groups()
    assert state.invariant and np.isfinite([state.angle, state.elr, state.grad_sq, state.radius_star]).all()


@pytest.mark.thorough
def test_memory_is_constant_and_the_cadence_doubles() -> None:
    gas = drawn_gas(OPTIMIZERS["sgd"], 700, every=4, samples=16)[0]
    assert 8 <= len(gas.record) <= 16 and gas.every == 4 * 2 ** int(np.log2(gas.every / 4)) > 32
    assert (np.diff(gas.record.step) > 0).all() and gas.record.step[0] == 0
    assert gas.record.step[-1] > 500
    longer = drawn_gas(OPTIMIZERS["sgd"], 2800, every=4, samples=16)[0]
    assert abs(len(pickle.dumps(longer)) - len(pickle.dumps(gas))) < 16  # some counters have another digit


def test_bad_input_is_refused() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(TypeError, match=r"model: expected a torch\.nn\.Module"):
        watch(list(model.parameters()), optimizer)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"optimizer: expected a torch\.optim\.Optimizer"):
        watch(model, model)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="groups: expected names from"):
        watch(model, optimizer, groups={"a": ["nothing.weight"]})
    with pytest.raises(ValueError, match="groups: expected at least one scale-invariant group or matrix"):
        watch(nn.Linear(3, 2), torch.optim.SGD(nn.Linear(3, 2).parameters(), 0.1))
    with pytest.raises(ValueError, match="groups: expected at least one scale-invariant group"):
        watch(model, optimizer, groups=[Group("a", ("0.weight", "4.weight"), "rescale", (1.0, -1.0), 0.0)])
    with pytest.raises(ValueError, match="groups: expected at least one"):
        watch(model, torch.optim.SGD(network().parameters(), 0.1), groups=GROUPS)
    with pytest.raises(TypeError, match="groups: expected Groups"):
        watch(model, optimizer, groups=[3])  # type: ignore[list-item]
    for groups in (None, GROUPS):
        with pytest.raises(ValueError, match="loss_fn: expected a function"):
            watch(model, optimizer, groups=groups, batches=[1])
        with pytest.raises(ValueError, match=r"batches: expected some batches, got None.*pass both or none"):
            watch(model, optimizer, groups=groups, loss_fn=lambda m, b: m(b).sum())
    for scheduler in (torch.optim.lr_scheduler.StepLR, torch.optim.lr_scheduler.ReduceLROnPlateau):
        with pytest.raises(TypeError, match=r"optimizer: expected a torch\.optim\.Optimizer.*a scheduler as schedule="):
            watch(model, scheduler(optimizer, **({"step_size": 1} if "Step" in scheduler.__name__ else {})))  # type: ignore
    with pytest.raises(ValueError, match="every: expected"):
        watch(model, optimizer, groups=GROUPS, every=1)
    with pytest.raises(ValueError, match="samples: expected"):
        watch(model, optimizer, groups=GROUPS, samples=3)
    with pytest.raises(ValueError, match="trace: expected at least one finished sample"):
        watch(model, optimizer, groups=GROUPS).trace()


def test_frozen_tied_and_missing_parameters_are_noted() -> None:
    model = network()
    model[4].weight.requires_grad_(False)
    model.add_module("again", model[0])
    gas = watch(model, torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1), groups=GROUPS)
    assert gas.names == ("first",) and "4.weight is frozen" in gas.notes()[0]
    tied = watch(model, torch.optim.SGD(model.parameters(), 0.1), groups={"a": ["0.weight"], "b": ["again.weight"]})
    assert tied.names == ("a",) and "in a already" in tied.notes()[0]


def test_gradients_of_none_move_nothing_and_are_nothing() -> None:
    model = OneTensor(np.ones(9))
    model.register_parameter("other", nn.Parameter(torch.ones(4)))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.1)
    gas = watch(model, optimizer, groups={"all": ["weight"], "idle": ["other"]}, every=2)
    for _ in range(6):
        model.weight.grad = torch.ones(9, dtype=torch.float64)
        optimizer.step()
    assert (gas.record["decay"][:, 1] == 0).all() and (gas.record["radius"][:, 1] == 2).all()


def test_parameter_groups_and_schedule() -> None:
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.SGD(
        [{"params": model[0].parameters(), "weight_decay": 0.0}, {"params": model[1:].parameters(), "lr": 0.05}],
        lr=0.1, momentum=0.9, weight_decay=1e-2,
    )  # fmt: skip
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 60)
    gas = watch(model, optimizer, groups=GROUPS, every=2)
    for x, y in batches(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        schedule.step()
    first, second = gas.groups()
    assert first.status == Status.NOT_APPLICABLE and "no weight decay" in first.reason
    assert second.rule == "SGD, momentum 0.9; coupled decay" and second.pressure == 1e-2
    lr = gas.record["lr"]
    assert lr[0].tolist() == [0.1, 0.05] and lr[-1, 0] < 0.01
    assert all(one.basis == "none" or "has changed" in one.reason for one in gas.forecast(10_000).values())
    assert gas.trace().attrs["group_names"] == ["second"]
    without = drawn_gas(lambda p: torch.optim.SGD(p, 0.1), 20)[0]
    with pytest.raises(ValueError, match="wd: expected weight decay above 0"):
        without.trace()
    assert (np.abs(gas.record["closure"]) < 1e-9).all()


def test_accumulation_reads_the_gradient_of_the_step() -> None:
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=1e-2)
    gas = watch(model, optimizer, groups=GROUPS, every=2)
    squares = []
    for n, (x, y) in enumerate(batches(40)):
        (nn.functional.cross_entropy(model(x), y) / 4).backward()
        if n % 4 == 3:
            squares.append(float((model[0].weight.grad ** 2).sum() * (model[0].weight.detach() ** 2).sum()))
            optimizer.step()
            optimizer.zero_grad()
    expected = [(squares[s] + squares[s + 1]) / 2 for s in gas.record.step]
    np.testing.assert_allclose(gas.record["grad_sq"][:, 0], expected, rtol=1e-5)


def test_clipping_is_noticed() -> None:
    torch.manual_seed(0)
    for limit, said in ((1e-2, True), (1e9, False)):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=1e-2)
        gas = watch(model, optimizer, groups=GROUPS, every=2)
        for x, y in batches(40):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), limit)
            optimizer.step()
        assert any("clipped at norm 0.01 in 100%" in n for n in gas.notes()) is said


def test_closure_is_read_after_the_step() -> None:
    def go(closure: bool) -> np.ndarray:
        torch.manual_seed(0)
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=1e-2)
        gas = watch(model, optimizer, groups=GROUPS, every=2)
        for x, y in batches(20):

            def evaluate(x=x, y=y, model=model, optimizer=optimizer):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x), y)
                loss.backward()
                return loss

            if closure:
                optimizer.step(evaluate)
            else:
                evaluate()
                optimizer.step()
        return np.stack([gas.record[n][:9] for n in ("radius", "grad_sq", "update", "mean_grad_sq")])

    np.testing.assert_array_equal(go(True), go(False))


def test_nan_gradients_are_told_and_the_run_goes_on() -> None:
    model = OneTensor(np.ones(9))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.1)
    gas = watch(model, optimizer, groups={"all": ["weight"]}, every=2)
    for n in range(12):
        w, away = model.weight.detach(), torch.arange(9, dtype=torch.float64)
        model.weight.grad = away - (away @ w) / (w @ w) * w if n < 6 else torch.full_like(w, torch.nan)
        optimizer.step()
    (state,) = gas.groups()
    assert state.status == Status.DIVERGED and "not finite at step" in state.reason and gas.steps == 12
    assert "the run continues" in str(gas) and np.isfinite(gas.record["radius"]).all()
    assert int(gas.trace()["outcome"][0, 0]) == 1


def test_a_failing_sample_ends_the_watch_and_not_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr("weightgas.optimizers.SGD.decay_share", broken)
    model = OneTensor(np.ones(9))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    gas = watch(model, optimizer, groups={"all": ["weight"]})
    model.weight.grad = torch.ones(9, dtype=torch.float64)
    with pytest.warns(UserWarning, match="the run continues unwatched: RuntimeError: out of memory"):
        optimizer.step()
    optimizer.step()
    assert not gas.attached and any("out of memory" in n for n in gas.notes())


def test_skipped_steps_and_steps_that_move_nothing() -> None:
    model = OneTensor(np.ones(9))
    optimizer = torch.optim.SGD(model.parameters(), 0.0, weight_decay=0.1)
    gas = watch(model, optimizer, groups={"all": ["weight"]}, every=2)
    for _ in range(9):
        model.weight.grad = torch.ones(9, dtype=torch.float64)
        optimizer.step()
    assert len(gas.record) == 0 and any("moved no weight" in n for n in gas.notes())


def test_changes_between_steps_are_noticed() -> None:
    model = OneTensor(np.ones(9))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.1)
    gas = watch(model, optimizer, groups={"all": ["weight"]}, every=2)
    for _ in range(9):
        model.weight.grad = torch.ones(9, dtype=torch.float64)
        optimizer.step()
        with torch.no_grad():
            model.weight /= model.weight.norm()
    notes = " ".join(gas.notes())
    assert "weights change between steps" in notes and "not scale-invariant" in notes


def test_copies_pickles_and_second_watches() -> None:
    model, optimizer, gas = run("momentum", 30)
    assert gas.attached
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert not twin._optimizer_step_pre_hooks
    copy.deepcopy(model)
    still = pickle.loads(pickle.dumps(gas))
    assert not still.attached and str(copy.deepcopy(gas)).splitlines()[3:] == str(gas).splitlines()[3:]
    np.testing.assert_array_equal(still.record["radius"], gas.record["radius"])
    optimizer.load_state_dict(optimizer.state_dict())
    second = watch(model, optimizer, groups=GROUPS, every=5)
    steps(model, optimizer, 20)
    assert gas.steps == 50 and second.steps == 20 and any("watched 2 times" in n for n in gas.notes())
    second.detach()
    assert gas.attached and not any("watched" in n for n in gas.notes())
    optimizer._optimizer_step_pre_hooks.clear()
    steps(model, optimizer, 2)
    assert not gas.attached and any("hooks are off the optimizer" in n for n in gas.notes())


def test_resumed_run_goes_on_with_its_samples(tmp_path) -> None:
    whole = run("sgd", 60)[2]
    torch.manual_seed(0)
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    gas = watch(model, optimizer, groups=GROUPS, every=5)
    steps(model, optimizer, 32)
    torch.save(gas.state_dict(), tmp_path / "checkpoint.pt")
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    gas.detach()
    again = watch(model, optimizer, groups=GROUPS, every=9)
    again.load_state_dict(saved)
    steps(model, optimizer, 28)
    assert again.steps == 60 and again.every == 5
    np.testing.assert_array_equal(again.record.step, whole.record.step)
    np.testing.assert_array_equal(again.record["radius"], whole.record["radius"])
    with pytest.raises(ValueError, match="state: expected the groups"):
        watch(model, optimizer, groups={"other": ["0.weight"]}).load_state_dict(saved)


@pytest.mark.thorough
def test_outputs(tmp_path) -> None:
    gas = run("sgd", 60)[2]
    gas.csv(tmp_path / "run.csv")
    with (tmp_path / "run.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * len(gas.record) and float(rows[1]["radius"]) == gas.record["radius"][0, 1]

    class Writer:
        seen: list = []  # noqa: RUF012

        def add_scalar(self, tag, value, step):
            self.seen.append((tag, value, step))

    first = Writer()
    assert gas.tensorboard(first) == len(gas.record) and gas.tensorboard(first) == 0
    assert gas.tensorboard(Writer()) == len(gas.record) == gas.tensorboard(first, "other")
    resumed = run("sgd", 60)[2]
    resumed.load_state_dict(gas.state_dict())
    assert resumed.tensorboard(Writer()) == 0 < resumed.tensorboard(Writer(), "third")
    assert ("weightgas/first/radius", gas.record["radius"][0, 0], 0) in Writer.seen
    found = gas.trace()
    trace.save(found, tmp_path / "run.zarr")
    assert trace.open_trace(tmp_path / "run.zarr").attrs["group_names"] == ["first", "second"]
    whole = found["radius"].values[0, 0] ** 2
    np.testing.assert_allclose(whole, (found["group_radius"].values[0, 0] ** 2).sum(-1))
    assert np.isfinite(found["angle"]).all() and (found["angle"] < found["group_angle"].max("group")).all()
    assert figures.watched(found).axes
    state = measure(found)
    assert np.isfinite(state["temperature"]).all() and np.isfinite(state["compressibility"]).all()


def test_in_a_notebook() -> None:
    gas = run("sgd", 60)[2]
    gas.name = "<script>"
    found = gas._repr_html_()
    assert "<script>" not in found and "&lt;script&gt;" in found and "r*" in found


def test_given_loss_is_the_energy() -> None:
    model = OneTensor(np.ones(9))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.1)
    gas = watch(model, optimizer, groups={"all": ["weight"]}, every=2)
    for n in range(9):
        model.weight.grad = torch.ones(9, dtype=torch.float64)
        gas.loss(torch.tensor(float(n)))
        optimizer.step()
    np.testing.assert_array_equal(gas.record.energy, gas.record.step)


def test_groups_without_decay_are_no_part_of_the_trace() -> None:
    torch.manual_seed(0)
    model = network()
    first, second = [model[0].weight], [model[4].weight]
    optimizer = torch.optim.SGD([{"params": first, "weight_decay": 0.0}, {"params": second, "lr": 0.05}], 0.1,
                                weight_decay=1e-2)  # fmt: skip
    gas = watch(model, optimizer, groups=GROUPS, every=2)
    steps(model, optimizer, 60)
    found = gas.trace()
    assert found.attrs["group_names"] == ["second"] and found.attrs["groups_excluded"] == ["first"]
    assert found.attrs["dim"] == 512 and float(found["lr"][0, 0, 0]) == 0.05
    np.testing.assert_allclose(found["radius"][0, 0], gas.record["radius"][:, 1])
    assert figures.watched(found).axes
    optimizer.param_groups[0]["weight_decay"] = 1e-2
    steps(model, optimizer, 4)
    assert gas.trace().attrs["group_lr_factor"] == [1.0, 0.5] and gas.trace().attrs["groups_excluded"] == []


@pytest.mark.thorough
def test_a_report_of_a_watched_run(tmp_path) -> None:
    gas = run("momentum", 80)[2]
    trace.save(gas.trace(), tmp_path / "mine" / "trace.zarr")
    page = report.of_run(tmp_path / "mine").read_text(encoding="utf-8")
    assert "Watched run: numbers" in page and "Recorded by hooks of the optimizer" in page
    assert "None loss" not in page and "Slopes of the entropy" not in page and "seeds" not in page
    (found,) = data_of(page)["runs"]
    assert [g["name"] for g in found["watched"]["groups"]] == list(gas.names)
    assert len(found["watched"]["step"]) == len(found["watched"]["groups"][0]["star"])


@pytest.mark.thorough
def test_given_forecast_is_scored() -> None:
    gas = run("sgd", 60, forecast={"first": 3.0})[2]
    radius = gas.groups()[0].radius
    assert f"first: forecast r* 3, now {radius:.4g} ({radius / 3 - 1:+.1%})" in str(gas)
    settled = drawn_gas(OPTIMIZERS["sgd"], 1500, forecast={"all": 1.0})[0]
    (state,) = settled.groups()
    assert state.status == Status.EQUILIBRIUM and f"all: forecast r* 1, settled at {state.radius_mean:.4g} (" in str(
        settled
    )
    falling = predict(SGD(lr=0.1, wd=1e-2), steps=100, schedule=lambda step: 1 - step / 100,
                      groups={"first": (2048, 8.0, 3.0)})  # fmt: skip
    gas = run("sgd", 60, forecast=falling)[2]
    assert not any("not watched under" in note for note in gas.notes())
    other = run("sgd", 4, forecast=predict(SGD(lr=0.1, wd=1e-2), grad_sq=8.0))[2]
    assert "the forecast is of weights, not watched under that name" in other.notes()
    gas = run("sgd", 60, forecast=falling)[2]
    assert f"first: forecast r at step 60 {falling['first'].radius_at(60):.4g}, now" in str(gas)
    told = predict(SGD(lr=0.1, wd=1e-2), groups={"second": (512, 8.0, None)})
    gas = run("sgd", 60, forecast=told)[2]
    assert f"second: forecast r* {told['second'].radius:.4g}, now" in str(gas) and "first: forecast" not in str(gas)


def test_scaled_gradients_and_the_steps_a_scaler_skips() -> None:
    model = OneTensor(np.ones(9), torch.float32)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    gas = watch(model, optimizer, groups={"all": ["weight"]}, every=2)
    for n in range(9):
        optimizer.zero_grad()
        scaler.scale((model.weight * (torch.inf if n == 4 else 1.0)).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    assert gas.steps == 8 and all("not finite" not in note for note in gas.notes())
    np.testing.assert_allclose(gas.record["grad_sq"][0] / gas.record["radius"][0] ** 2, 9, rtol=0.2)


def test_the_name_is_an_attribute() -> None:
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    with pytest.raises(TypeError, match=r"name: since .* this keyword is the attribute name of what watch returns"):
        watch(model, optimizer, groups=GROUPS, name="run")
    gas = watch(model, optimizer, groups=GROUPS)
    gas.name = "run"
    assert str(gas).startswith("run: 0 steps")
