"""The published analysis of the entropy against code written apart from its formulas, on equal input."""

from __future__ import annotations

import numpy as np
import pytest

from weightgas.analysis.compare import NETWORKS, compare_networks
from weightgas.analysis.findings import Findings
from weightgas.analysis.smoothing import smoothings
from weightgas.protocols import FixedELR, FixedLR, FixedSphere
from weightgas.report import tables
from weightgas.status import Status

DIM, GROUPS = 50, 5
GRIDS = {
    "fixed_lr": FixedLR(lr=np.logspace(-3, -1, 7), wd=np.logspace(-3, -1, 5)),
    "fixed_elr": FixedELR(elr=np.logspace(-4, -2, 7), wd=np.logspace(-3, -1, 5)),
    "fixed_sphere": FixedSphere(elr=np.logspace(-4, -2, 7), radius=[0.25, 0.5, 1, 2, 4]),
}


def state_of(make_state, kind, seed=0):
    """A state of a network of 50 weights in 5 groups: entropies by every estimator, not the same, with scatter."""
    generator, protocol = np.random.default_rng(seed), GRIDS[kind]
    state = make_state(protocol)
    state.attrs |= {"dim": DIM, "dof": DIM - GROUPS, "producer": "train", "network": "small", "data": "few"}
    del state.attrs["loss"]
    first, second = (np.log(v) for v in protocol.cells().values())
    bent = 0.1 * first**2 - 0.05 * first * second + 0.02 * second**2
    slope = {"fixed_lr": (1.1, 0.05), "fixed_elr": (2.0, -0.9), "fixed_sphere": (1.0, 2.1)}[kind]
    for k, name in enumerate(("published", "knn", "quasi_harmonic", "integration")):
        r = (DIM - 1) / 2 if name == "published" else (DIM - GROUPS) / 2
        value = r * (slope[0] * first + slope[1] * second) * (1 + 0.1 * k) + bent
        value += generator.standard_normal(len(first))
        if name == "published":
            state["entropy_published"] = ("cell", value)
        else:
            state[f"entropy_{name}"] = ("cell", value - state["log_radius_entropy"].values)
        state[f"entropy_{name}_err"] = ("cell", np.full(len(first), 0.1))
    return state


def apart(kind, cells, s, r):
    """R², largest Maxwell error and (a₁ − a₂)/R from the formulas of the sheet, by numpy alone."""
    x, y = (np.log(v) for v in cells)
    columns = np.column_stack((np.ones(len(x)), x, y, x**2, x * y, y**2))
    a = np.linalg.lstsq(columns, s, rcond=None)[0]
    r2 = 1 - ((s - columns @ a) ** 2).sum() / ((s - s.mean()) ** 2).sum()
    in_x, in_y = a[1] + 2 * a[3] * x + a[4] * y, a[2] + a[4] * x + 2 * a[5] * y
    ratio = {"fixed_lr": (in_x - in_y) / r, "fixed_elr": -in_y / r, "fixed_sphere": in_y / (2 * r)}[kind]
    return r2, np.abs(ratio - 1).max(), (a[1] - a[2]) / r


@pytest.mark.parametrize("kind", GRIDS)
def test_fit_maxwell_error_and_slope_are_those_of_code_written_apart(make_state, kind):
    state = state_of(make_state, kind)
    state["status"][3] = Status.TOO_SHORT  # as published, it counts; for the others it does not
    used = state["status"].values == Status.EQUILIBRIUM
    found, cells = smoothings(state), list(GRIDS[kind].cells().values())
    for name, one in found.items():
        radial = 0 if name == "published" else state["log_radius_entropy"].values
        s, r = state[f"entropy_{name}"].values + radial, (DIM - (1 if name == "published" else GROUPS)) / 2
        here = np.ones(len(s), bool) if name == "published" else used
        r2, maxwell, slope = apart(kind, [v[here] for v in cells], s[here], r)
        print(f"\n{kind}, {name}: R² {one.fit.r_squared:.8f} {r2:.8f}; Maxwell {one.maxwell_error:.8f} {maxwell:.8f}; "
              f"(a1 − a2)/R {one.intercept_slope:.8f} {slope:.8f}")  # fmt: skip
        assert one.fit.r_squared == pytest.approx(r2, rel=1e-6)
        assert one.maxwell_error == pytest.approx(maxwell, rel=1e-6)
        if kind == "fixed_lr":
            assert one.intercept_slope == pytest.approx(slope, rel=1e-6)
        else:
            assert np.isnan(one.intercept_slope)
    assert list(found) == ["published", "knn", "quasi_harmonic", "integration"]


def test_the_published_radial_term_and_gas_constant_are_of_one_vector(make_state):
    """A planted fault: R of the groups in place of (d − 1)/2 changes the slope by a tenth."""
    state = state_of(make_state, "fixed_lr")
    one = smoothings(state)["published"]
    assert one.entropies.r == (DIM - 1) / 2
    wrong = apart("fixed_lr", GRIDS["fixed_lr"].cells().values(), one.entropies.value, (DIM - GROUPS) / 2)[2]
    assert wrong / one.intercept_slope == pytest.approx((DIM - 1) / (DIM - GROUPS), rel=1e-6)


def test_a_missing_fit_has_its_true_reason(make_state):
    state = state_of(make_state, "fixed_lr")
    state["entropy_knn"][:] = np.nan
    state["status"][:-4] = Status.TOO_SHORT
    found = smoothings(state)
    assert found["published"].fit is not None and not found["published"].lacking
    assert found["knn"].lacking == "needs an entropy in 9 cells in equilibrium, has 0 of 35: add snapshots"
    assert found["integration"].lacking.endswith("in equilibrium, has 4 of 35: add steps")
    state["entropy_integration"][:], state["entropy_published"][8:] = np.nan, np.nan
    found = smoothings(state)
    assert "add temperatures" in found["integration"].lacking
    assert found["published"].lacking == "needs an entropy in 9 cells, has 8 of 35: add snapshots"
    state = state_of(make_state, "fixed_lr")
    one_decay = smoothings(state.where(state["wd_set"] < 2e-3, drop=True))["published"]
    assert one_decay.lacking == "needs three values of λ, has 1: add 2 to the grid"


def test_four_published_networks_are_four_columns(make_state):
    runs = {kind: Findings(state=state_of(make_state, kind)) for kind in GRIDS}
    rows = {row.quantity: row for row in compare_networks(runs)}
    row = rows["R² of the quadratic fit of S, fixed LR"]
    assert list(row.published) == list(NETWORKS) and row.published["convnet_cifar100"] == 0.84117
    assert row.measured["published"][0] == runs["fixed_lr"].smoothings["published"].fit.r_squared
    assert rows["largest Maxwell error of the fit, fixed ELR"].published["convnet_cifar10"] == 0.0652
    assert rows["(a₁ − a₂)/R of the fit, fixed LR"].published["resnet18_cifar100"] == 1.0751
    assert "(a₁ − a₂)/R of the fit, fixed ELR" not in rows
    assert np.isfinite(rows["mean slope of S along isotherms / ideal (no fit), fixed sphere"].measured["knn"][1])
    compared, by_estimator = tables.paper(runs)
    assert compared.columns[1:5] == tuple(NETWORKS.values()) and "this run, as published" in compared.columns
    assert len(by_estimator.rows) == 12
