"""``watch`` in loops as they are common: the numbers are those of a plain loop, without a false note."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from watched_runs import GROUPS, OneTensor, batches, network, steps
from weightgas.monitoring import states, watch
from weightgas.optimizers import SGD
from weightgas.status import Status


def same(model: nn.Module, other: nn.Module) -> bool:
    """Whether parameters are equal bit by bit."""
    return all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def plain_run(make, count: int = 20, each=None, watched: bool = True, **options):
    """(model, optimizer, gas) of a loop that calls ``each(model)`` after every step."""
    torch.manual_seed(0)
    model = network()
    optimizer = make(model.parameters())
    gas = watch(model, optimizer, **{"groups": GROUPS, "every": 2, **options}) if watched else None
    for x, y in batches(count):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        if each is not None:
            each(model)
    return model, optimizer, gas


def records_alike(
    gas, expected, rtol: float, names=("radius", "angle", "grad_sq", "decay", "alignment", "update")
) -> None:
    """Whether two runs were recorded alike, relative to r² for the terms of the budget."""
    np.testing.assert_array_equal(gas.record.step, expected.record.step)
    for name in names:
        scale = expected.record["radius"] ** 2 if name in ("decay", "alignment", "update") else expected.record[name]
        assert np.abs((gas.record[name] - expected.record[name]) / scale).max() < rtol, name


# --- GradScaler ---


def scaled(make, inf=(), watched: bool = True, clip: bool = False, enabled: bool = True):
    """(model, optimizer, gas) of a loop with GradScaler, whose scale doubles every fourth step."""
    torch.manual_seed(0)
    model = network()
    optimizer = make(model.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12, growth_interval=4, enabled=enabled)
    gas = watch(model, optimizer, groups=GROUPS, every=2) if watched else None
    for n, (x, y) in enumerate(batches(24)):
        optimizer.zero_grad()
        scaler.scale(nn.functional.cross_entropy(model(x), y)).backward()
        if n in inf:
            model[0].weight.grad[0, 0] = torch.inf
        if clip:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 100.0)
        scaler.step(optimizer)
        scaler.update()
    return model, optimizer, gas


SCALED = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=1e-3),
    "sgd fused": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=1e-3, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, 1e-3, weight_decay=0.1),
    "adamw fused": lambda p: torch.optim.AdamW(p, 1e-3, weight_decay=0.1, fused=True),
}


@pytest.mark.parametrize("clip", [False, pytest.param(True, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("kind", SCALED)
def test_the_scale_of_the_gradients_is_divided_out(kind: str, clip: bool) -> None:
    """A fused optimizer gets them scaled, and the scale changes between the two steps of a sample."""
    (model, _, gas), (plain, _, _) = scaled(SCALED[kind], clip=clip), scaled(SCALED[kind], clip=clip, watched=False)
    expected = scaled(SCALED[kind], clip=clip, enabled=False)[2]
    assert gas is not None and expected is not None and same(model, plain) and gas.notes() == []
    records_alike(gas, expected, 1e-6)
    assert gas._ledger.largest_norm == pytest.approx(expected._ledger.largest_norm, rel=1e-6)


@pytest.mark.parametrize("inf", [pytest.param((4,), marks=pytest.mark.thorough), (5, 11)])
@pytest.mark.parametrize("kind", SCALED)
def test_a_step_that_is_skipped_is_no_sample(kind: str, inf) -> None:
    (model, _optimizer, gas), (plain, _, _) = scaled(SCALED[kind], inf), scaled(SCALED[kind], inf, watched=False)
    assert gas is not None and same(model, plain) and gas.attached and len(gas.record) >= 10
    assert all(np.isfinite(gas.record[n]).all() for n in ("radius", "grad_sq", "update"))
    assert all(s.status == Status.TOO_SHORT for s in gas.groups())
    fused = "fused" in kind
    assert gas.notes() == ([f"{len(inf)} samples of steps that GradScaler skipped are excluded"] if fused else [])
    assert gas.steps == 24 - (0 if fused else len(inf))


# --- autocast ---


def autocast(make, dtype: torch.dtype, scale: bool, watched: bool = True):
    """(model, gas, expected) of two steps under autocast; ``expected`` is what the loop itself sees of its sample."""
    torch.manual_seed(0)
    model = network()
    optimizer = make(model.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, enabled=scale)
    gas = watch(model, optimizer, groups=GROUPS, every=2) if watched else None
    layers = (model[0].weight, model[4].weight)
    weights, gradients = [[w.detach().double().clone() for w in layers]], []
    for x, y in batches(2):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=dtype):
            loss = nn.functional.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        gradients.append([w.grad.double() / scaler.get_scale() for w in layers])
        scaler.step(optimizer)
        scaler.update()
        weights.append([w.detach().double().clone() for w in layers])
    (before, after, _), (first, second) = weights, gradients
    scaled = [(w.norm() * g, v.norm() * h) for w, v, g, h in zip(before, after, first, second, strict=True)]
    expected = {
        "radius": [w.norm() for w in before],
        "grad_sq": [(g.square().sum() + h.square().sum()) / 2 for g, h in scaled],
        "noise_trace": [(g - h).square().sum() / 2 for g, h in scaled],
        "angle": [torch.arccos((w * v).sum() / (w.norm() * v.norm())) for w, v in zip(before, after, strict=True)],
        "change": [v.square().sum() - w.square().sum() for w, v in zip(before, after, strict=True)],
    }
    return model, gas, {name: np.array([float(x) for x in values]) for name, values in expected.items()}


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", SCALED)
def test_a_sample_under_autocast_is_of_the_gradients_that_the_loop_has(kind: str, dtype, scale: bool) -> None:
    """To 1e-3 on equal weights; against float32 the loop's own gradients differ by what its dtype rounds away."""
    (model, gas, expected), (plain, _, _) = (autocast(SCALED[kind], dtype, scale, watched) for watched in (True, False))
    assert gas is not None and same(model, plain) and gas.notes() == []
    sample = {name: gas.record[name][0] for name in (*expected, "decay", "alignment", "update") if name != "change"}
    for name in ("radius", "grad_sq", "noise_trace", "angle"):
        np.testing.assert_allclose(sample[name], expected[name], rtol=1e-3, err_msg=name)
    change = sample["update"] + sample["alignment"] + np.nan_to_num(sample["decay"])  # NaN is contained in the update
    assert np.abs(change - expected["change"]).max() < 1e-3 * np.abs(expected["change"]).max()


# --- implementations of one optimizer ---


VARIANTS = {
    "foreach": {"foreach": True},
    "fused": {"fused": True},
    "for loop": {"foreach": False},
    "tensor": {"lr": torch.tensor(1e-2), "foreach": False},
}


@pytest.mark.parametrize("how", VARIANTS)
@pytest.mark.parametrize(
    "kind",
    [
        torch.optim.SGD,
        *(pytest.param(kind, marks=pytest.mark.thorough) for kind in (torch.optim.AdamW, torch.optim.Adam)),
    ],
)
def test_implementations_of_one_optimizer_are_read_alike(kind, how: str) -> None:
    def make(p, **options):
        return kind(p, **{"lr": 1e-2, "weight_decay": 1e-2, **options})

    (model, _optimizer, gas), (plain, _, _) = (
        plain_run(lambda p: make(p, **VARIANTS[how]), watched=watched) for watched in (True, False)
    )
    expected = plain_run(make)[2]
    assert gas is not None and expected is not None and same(model, plain) and gas.notes() == []
    assert gas.groups()[0].rule == expected.groups()[0].rule
    largest = np.nanmax([np.abs(expected.record[n][0]) for n in ("decay", "alignment", "update")])
    for name in ("radius", "angle", "grad_sq", "decay", "alignment", "update", "lr"):  # rounding grows from there on
        size = largest if name in ("decay", "alignment", "update") else expected.record[name][0]
        off = (gas.record[name][0] - expected.record[name][0]) / size
        assert np.nanmax(np.abs(off)) < 1e-4 and (np.isnan(off) == np.isnan(expected.record[name][0])).all(), name
    assert len(gas.record) == len(expected.record) == 10


# --- copies of the model, several optimizers ---


@pytest.mark.parametrize("average", ["swa", "ema"])
def test_an_averaged_copy_does_not_confuse(average: str) -> None:
    made = []

    def each(model: nn.Module) -> None:
        if not made:
            ema = torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
            made.append(torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=ema if average == "ema" else None))
        made[0].update_parameters(model)

    make = lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=5e-3)  # noqa: E731
    (model, _, gas), (plain, _, expected) = plain_run(make, each=each), plain_run(make)
    assert gas is not None and expected is not None and same(model, plain) and gas.notes() == []
    records_alike(gas, expected, 1e-15)
    with pytest.raises(ValueError, match="is frozen or not in the optimizer"):
        watch(made[0], make(model.parameters()), groups={"first": ["module.0.weight"]})


def test_weights_that_are_swapped_for_an_evaluation_and_put_back() -> None:
    def each(model: nn.Module) -> None:
        kept = copy.deepcopy(model.state_dict())
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(0.5)
        model.load_state_dict(kept)

    make = lambda p: torch.optim.AdamW(p, 1e-3, weight_decay=0.1)  # noqa: E731
    (model, _, gas), (plain, _, expected) = plain_run(make, each=each), plain_run(make)
    assert gas is not None and expected is not None and same(model, plain) and gas.notes() == []
    records_alike(gas, expected, 1e-15)


def test_two_optimizers_of_one_model() -> None:
    """Each watch has the parameters of its optimizer, and names the others."""

    def go(watched: bool):
        torch.manual_seed(0)
        model = network()
        first = torch.optim.SGD(model[0].parameters(), 0.1, weight_decay=1e-2)
        rest = torch.optim.AdamW(model[1:].parameters(), 1e-3, weight_decay=0.1)
        gases = [watch(model, o, groups=GROUPS, every=2) for o in (first, rest)] if watched else []
        for x, y in batches(20):
            for o in (first, rest):
                o.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            for o in (first, rest):
                o.step()
        return model, gases

    (model, (one, two)), (plain, _) = go(True), go(False)
    assert same(model, plain) and one.names == ("first",) and two.names == ("second",)
    assert one.notes() == ["second excluded: 4.weight is frozen or not in the optimizer"]
    assert two.notes() == ["first excluded: 0.weight is frozen or not in the optimizer"]
    assert (one.groups()[0].rule, two.groups()[0].rule) == (
        "SGD; coupled decay", "AdamW, betas 0.9, 0.999; decoupled decay",
    )  # fmt: skip
    with pytest.raises(
        TypeError, match=r"got list\. Pass the inner optimizer of a wrapper; watch several optimizers one by one"
    ):
        watch(model, [torch.optim.SGD(model.parameters(), 0.1)])  # type: ignore[arg-type]


def test_accumulated_gradients_are_those_of_the_large_batch() -> None:
    """In parts of a batch, without BatchNorm, whose statistics would be those of a part."""

    def go(parts: int):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, 32, bias=False), nn.LayerNorm(32), nn.ReLU(), nn.Linear(32, 10)).double()
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=5e-3)
        gas = watch(model, optimizer, groups={"first": ["0.weight"]}, every=2)
        for x, y in batches(20):
            optimizer.zero_grad()
            for a, b in zip(x.double().chunk(parts), y.chunk(parts), strict=True):
                (nn.functional.cross_entropy(model(a), b) / parts).backward()
            optimizer.step()
        return optimizer, gas

    (_optimizer, gas), (_other, expected) = go(4), go(1)
    records_alike(gas, expected, 1e-9)
    assert gas.notes() == expected.notes() == []


# --- names ---


def wrapped(how: str) -> tuple[nn.Module, nn.Module]:
    """(model as it is passed to ``watch``, the network inside)."""
    torch.manual_seed(0)
    inner = network()
    if how == "compiled":
        return torch.compile(inner, backend="eager"), inner
    if how == "data parallel":
        return nn.DataParallel(inner), inner
    if how == "a compiled layer":
        inner[0] = torch.compile(inner[0], backend="eager")
    if how == "a checkpointed layer":
        from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

        inner[4] = checkpoint_wrapper(inner[4])
    return inner, inner


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of the compiler
@pytest.mark.parametrize("how", ["compiled", "data parallel", "a compiled layer", "a checkpointed layer"])
def test_names_are_those_of_the_bare_model(how: str) -> None:
    model, inner = wrapped(how)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=1e-2)
    raw = [name for name, p in model.named_parameters() if p.ndim == 2][:2]
    found = watch(model, optimizer)
    assert found.names[:2] == ("0.weight", "4.weight") and found.name == "Sequential"
    given = watch(model, optimizer, groups={"first": ["0.weight"], "second": ["4.weight"]}, every=2)
    by_raw = watch(model, optimizer, groups={name: [name] for name in raw}, every=2)
    assert given.sizes == by_raw.sizes == (64 * 32, 32 * 16) and inner is not None
    steps(model, optimizer, 6)
    records_alike(by_raw, given, 1e-15)


# --- schedules of momentum ---


def cycled(cls, steps: int, wd: float, dim: int = 60):
    """(statuses, |r/r* − 1| for the r* of the present settings) along a cycle of learning rate and momentum."""
    generator = torch.Generator().manual_seed(0)
    model = OneTensor(np.ones(dim) * 0.2)
    optimizer = cls(model.parameters())
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=steps + 1, pct_start=0.3)
    gas = watch(model, optimizer, groups={"all": ["weight"]}, every=4, samples=4096)
    statuses, off = [], []
    w = model.weight.detach()
    for n, noise in enumerate(torch.randn((steps, dim), generator=generator, dtype=torch.float64)):
        model.weight.grad = (noise - (noise @ w) / (w @ w) * w) / w.norm()
        optimizer.step()
        cycle.step()
        if n % 50 == 49:
            group = optimizer.param_groups[0]
            star = float(SGD(group["lr"], wd, group["momentum"]).radius(dim, dim - 1.0))
            statuses.append(gas.groups()[0].status)
            off.append(abs(float(w.norm()) / star - 1))
    return statuses, np.array(off), gas


@pytest.mark.thorough
def test_momentum_that_is_cycled_gives_no_false_equilibrium() -> None:
    wd = 0.05
    statuses, off, gas = cycled(lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=wd), 2000, wd)
    momentum = gas.record["momentum"][:, 0]
    assert momentum.max() == pytest.approx(0.95, abs=1e-3) and momentum.min() == pytest.approx(0.85, abs=1e-3)
    false = [o for s, o in zip(statuses, off, strict=True) if s == Status.EQUILIBRIUM and o > 0.1]
    assert not false, (len(false), len(statuses))
    memory = 1 / (1 - gas.record["momentum"][states.since(gas.record) :, 0])
    assert 1 <= memory.max() / memory.min() < 1.06 and len(memory) < len(momentum) / 2


@pytest.mark.parametrize(
    ("make", "small", "large"),
    [
        (lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=1e-2), {"momentum": 0.902}, {"momentum": 0.93}),
        (lambda p: torch.optim.AdamW(p, 1e-3), {"betas": (0.902, 0.999)}, {"betas": (0.9, 0.9985)}),
    ],
    ids=["momentum", "betas"],
)
def test_samples_of_another_momentum_do_not_count(make, small, large) -> None:
    """By 5 % of 1 − α, not of α."""
    _, optimizer, gas = plain_run(make, 20)
    assert gas is not None and states.since(gas.record) == 0
    for setting, begin in ((small, 0), (large, 20)):
        optimizer.param_groups[0].update(setting)
        for _ in range(4):
            optimizer.step()
        assert gas.record.step[states.since(gas.record)] == begin + (4 if begin else 0)


@pytest.mark.thorough
@pytest.mark.parametrize("setting", ["momentum", "betas"])
def test_a_change_of_momentum_ends_the_samples_that_count(setting: str) -> None:
    dim, generator = 60, torch.Generator().manual_seed(1)
    if setting == "momentum":
        make, new = (lambda p: torch.optim.SGD(p, 0.1, momentum=0.5, weight_decay=0.01)), 0.8
        start = float(SGD(0.1, 0.01, 0.5).radius(dim, dim - 1.0))
    else:
        make, new = (lambda p: torch.optim.AdamW(p, 1e-2, weight_decay=1.0, betas=(0.5, 0.9))), (0.9, 0.9)
        start = (1e-2 * dim / 2) ** 0.5
    model = OneTensor(np.ones(dim) * start / dim**0.5)
    optimizer = make(model.parameters())
    gas = watch(model, optimizer, groups={"all": ["weight"]}, every=4, samples=4096)
    w = model.weight.detach()

    def further(count: int) -> None:
        for noise in torch.randn((count, dim), generator=generator, dtype=torch.float64):
            model.weight.grad = (noise - (noise @ w) / (w @ w) * w) / w.norm()
            optimizer.step()

    further(4000)
    assert gas.groups()[0].status == Status.EQUILIBRIUM, gas.groups()[0].reason
    optimizer.param_groups[0][setting] = new
    further(16)
    (state,) = gas.groups()
    assert state.status == Status.TOO_SHORT and "only samples since step 4000 count" in state.reason, state.reason
    further(6000)
    assert gas.groups()[0].status == Status.EQUILIBRIUM, gas.groups()[0].reason


def test_samples_of_an_older_checkpoint_have_no_momentum() -> None:
    make = lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=1e-2)  # noqa: E731
    _, optimizer, gas = plain_run(make, 20)
    model, other, again = plain_run(make, 0)
    assert gas is not None and again is not None and optimizer.param_groups
    state = gas.state_dict()
    for name in ("momentum", "second_beta", "decay_factor"):
        del state["record"][name]
    again.load_state_dict(state)
    steps(model, other, 10)
    assert np.isnan(again.record["momentum"][:10]).all() and (again.record["momentum"][10:] == 0.9).all()
    assert states.since(again.record) == 0 and len(again.groups()) == 2
