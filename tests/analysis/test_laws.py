"""Laws over grids against exact states, each with a fault that must show."""

from __future__ import annotations

import numpy as np
import pytest

from gases import state as simulated
from weightgas.analysis.cells import evaluate, in_equilibrium, isotherms, plain_mean
from weightgas.analysis.compare import compare_isotropic, reference
from weightgas.analysis.equation_of_state import radius_from_partners, radius_from_sphere, radius_law, state_equation
from weightgas.analysis.findings import Findings
from weightgas.analysis.fluctuation import collect, fluctuation_response
from weightgas.analysis.maxwell import lacking, quadratic_fit, slopes
from weightgas.analysis.potentials import minima, potential_map
from weightgas.analysis.scores import model_scores
from weightgas.protocols import FixedLR, FixedSphere
from weightgas.status import Status


def test_maxwell_slopes_of_exact_states(elr_state, lr_state, sphere_state):
    (elr,) = slopes(elr_state)
    assert elr.value == pytest.approx(-1, abs=1e-10) and elr.theory == -1
    by_name = {s.name: s for s in slopes(lr_state)}
    difference = by_name["dS/dln η − dS/dln λ"]
    assert difference.value == pytest.approx(1, abs=1e-9) and difference.theory == 1
    (sphere,) = slopes(sphere_state)
    assert sphere.value == pytest.approx(2, abs=1e-10) and sphere.theory == 2


@pytest.mark.thorough
def test_maxwell_error_is_that_of_repeated_noise(elr_state):
    generator = np.random.default_rng(1)
    values = []
    for _ in range(300):
        noisy = elr_state.copy(deep=True)
        noisy["entropy"] = noisy["entropy"] + 1e-3 * generator.standard_normal(noisy.sizes["cell"])
        values.append(slopes(noisy)[0].value)
    assert np.std(values) == pytest.approx(slopes(elr_state)[0].error, rel=0.15)


def test_maxwell_cannot_see_a_wrong_entropy_of_the_direction(make_state, elr_state):
    from weightgas.protocols import FixedELR

    wrong = make_state(FixedELR(elr=np.logspace(-3, -1.5, 9), wd=np.logspace(-3, -1, 9)), entropy_scale=2.0)
    assert slopes(wrong)[0].value == pytest.approx(slopes(elr_state)[0].value, abs=1e-9)


def test_maxwell_sees_a_wrong_dependence_on_the_radius(elr_state):
    elr_state["entropy"] = elr_state["entropy"] + 0.1 * np.log(elr_state["radius"])
    assert abs(slopes(elr_state)[0].value + 1) > 20 * slopes(elr_state)[0].error


def test_correlated_entropies_take_their_error_from_the_draws(elr_state):
    generator = np.random.default_rng(0)
    common = generator.standard_normal(400)
    x = np.log(elr_state["wd_set"].values)
    draws = elr_state["entropy"].values[:, None] + 0.01 * (x - x.mean())[:, None] * common
    elr_state["entropy_direction_draws"] = (("cell", "draw"), draws)
    elr_state["log_radius_entropy_err"] = 0 * elr_state["log_radius_entropy_err"]
    assert slopes(elr_state)[0].error == pytest.approx(0.01, rel=0.1)


def test_quadratic_fit_recovers_a_plane(lr_state):
    fit = quadratic_fit(lr_state)
    assert fit is not None and fit.r_squared > 0.999
    assert np.allclose(fit.slope_first - fit.slope_second, 1, atol=0.02)
    one_rate = lr_state.isel(cell=slice(0, 9))
    assert quadratic_fit(one_rate) is None and lacking(one_rate) == "needs three values of η, has 1: add 2 to the grid"
    few = lr_state.copy(deep=True)
    few["status"][8:] = Status.TOO_SHORT
    some = f"needs an entropy in 9 cells in equilibrium, has 8 of {few.sizes['cell']}: add steps"
    assert quadratic_fit(few) is None and lacking(few) == some
    few["status"][8:12] = Status.EQUILIBRIUM
    assert lacking(few) == "the 12 cells with an entropy do not span the grid: add steps"


def test_the_minimum_is_at_the_cell_itself(elr_state, lr_state, sphere_state):
    for state in (elr_state, lr_state, sphere_state):
        assert np.nanmax(minima(state)["offset"].values) == 0, state.attrs["protocol"]


def test_the_minimum_moves_when_the_entropy_is_too_steep(make_state):
    protocol = FixedSphere(elr=np.logspace(-3, -1.5, 17), radius=1.0)
    off = minima(make_state(protocol, entropy_scale=1.2))["offset"].values
    assert np.median(off) >= 1


def test_potential_map_leaves_out_what_is_not_in_equilibrium(elr_state):
    elr_state["status"][5] = Status.TOO_SHORT
    values = potential_map(elr_state, 0)
    assert np.isnan(values[5]) and np.nanmin(values) == 0


def test_radius_law_and_state_equation(elr_state, lr_state, sphere_state):
    for state in (elr_state, lr_state):
        assert np.allclose(radius_law(state)["ratio_continuous"], 1, atol=1e-9)
        assert np.all(np.abs(radius_law(state)["ratio_discrete"] - 1) < 0.02)
        assert np.allclose(state_equation(state)["ratio"], 1, atol=0.02)
    assert np.isnan(radius_law(sphere_state)["ratio_discrete"]).all()
    found = state_equation(sphere_state)
    assert np.allclose(found["pressure_discrete"], found["pressure_continuous"], rtol=1e-9)


def test_radius_from_the_sphere_is_a_prediction(make_state):
    lr_state = make_state(FixedLR(lr=[0.01, 0.02], wd=[0.01, 0.03]))
    sphere = make_state(FixedSphere(elr=np.logspace(-4, -1, 7)))
    found = radius_from_sphere(lr_state, sphere)
    assert np.allclose(found["ratio"], 1, atol=2e-3)
    assert np.isnan(radius_from_sphere(lr_state, sphere.isel(cell=slice(0, 2)))["predicted"]).all()  # outside its range
    with pytest.raises(ValueError, match="at least two effective learning rates"):
        radius_from_sphere(lr_state, sphere.isel(cell=slice(0, 1)))


def test_radius_from_partners(make_state):
    lr_state = make_state(FixedLR(lr=[0.01, 0.02], wd=[0.01, 0.03]))
    partners = make_state(FixedSphere(elr=lr_state["elr"].values, radius=lr_state["radius"].values, paired=True))
    assert np.allclose(radius_from_partners(lr_state, partners)["ratio"], 1, atol=1e-3)
    partners["grad_sq"] = 1.5 * partners["grad_sq"]
    assert np.allclose(radius_from_partners(lr_state, partners)["ratio"], 1.5**-0.25, atol=1e-3)


def test_fluctuation_and_response_of_an_exact_gas_and_of_a_wrong_one(sphere_state):
    found = fluctuation_response(sphere_state, collect(sphere_state, 1))
    assert found.whole == pytest.approx(1, abs=1e-3) and np.allclose(found.ratio, 1, atol=1e-3)
    sphere_state["energy_variance"] = 1.3 * sphere_state["energy_variance"]
    assert fluctuation_response(sphere_state, collect(sphere_state, 1)).whole == pytest.approx(1.3, abs=2e-3)
    assert np.isnan(fluctuation_response(sphere_state.isel(cell=slice(0, 5))).whole)  # one temperature


def test_isotherms_pool_what_shares_a_temperature(lr_state, sphere_state):
    assert len(np.unique(isotherms(sphere_state))) == 9
    product = lr_state["lr_set"].values * lr_state["wd_set"].values
    number = isotherms(lr_state)
    for k in np.unique(number):
        assert np.ptp(np.log(product[number == k])) < 1e-8
    lr_state["status"][0] = Status.DIVERGED
    assert isotherms(lr_state)[0] == -1


def test_scores_of_the_model_and_a_planted_shift():
    data = simulated("fixed_elr")
    scores = {s.symbol: s for s in model_scores(data)}
    assert list(scores) == ["r", "U", "S"] and [s.symbol for s in model_scores(simulated("fixed_sphere"))] == [
        "U",
        "S",
    ]
    assert scores["r"].worst < 0.02 and scores["U"].cells == in_equilibrium(data).sum()
    assert "mean z" in str(scores["U"])
    before = scores["U"].mean_z
    data["energy"] = data["energy"] + 10 * data["energy_err"]
    assert {s.symbol: s for s in model_scores(data)}["U"].mean_z == pytest.approx(before + 10)


def test_comparison_with_the_published_figures(elr_state, lr_state):
    rows = {
        r.quantity: r
        for r in compare_isotropic({"fixed_elr": Findings(state=elr_state), "fixed_lr": Findings(state=lr_state)})
    }
    assert rows["dS/dln λ, fixed ELR"].published == -0.9989
    assert rows["dS/dln η − dS/dln λ, fixed LR"].published == 1.0008
    assert len(rows) == 4
    assert reference()["isotropic"]["setup"]["dim"] == 3


def test_small_pieces():
    assert plain_mean(np.array([1.0, np.nan, 3.0]), np.array([0.1, 1.0, np.sqrt(1.99)])) == pytest.approx(
        (2.0, 0.5**0.5)
    )
    assert np.isnan(plain_mean(np.array([np.nan]), np.array([1.0]))[0])
    out = evaluate(np.log, np.array([1.0, -1.0, np.nan, np.e]))
    assert out[0] == 0 and out[3] == pytest.approx(1) and np.isnan(out[1:3]).all()
