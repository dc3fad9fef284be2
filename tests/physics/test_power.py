"""The power of the diagnostic tests, end to end: seeds of the reference gases at d = 10 and an effective sample size of
2000.

Each seed goes through ``measure`` and ``verdict`` by itself.
"""

from __future__ import annotations

import numpy as np
import pytest

from weightgas.analysis import Key, verdict
from weightgas.experiments.controls import controls_at
from weightgas.measurement import measure

CHECKS = (Key.CONFIGURATIONAL, Key.FLUCTUATION, Key.GIBBS_SLOPE)


def judged(name, seeds, samples=2600):
    """Verdicts of the seeds, their three checks (seeds, 3), and the mean effective sample size."""
    control = controls_at(10, 0.01, samples * seeds, replicas=seeds, names=(name,))[name]
    verdicts, values, effective = [], [], []
    for seed in range(seeds):
        trace = control.trace.isel(replica=[seed])
        state = measure(trace)
        verdicts.append(verdict(trace, state))
        values.append([verdicts[-1].check(key).value for key in CHECKS])
        effective.append(state["ess"].values.mean())
    return verdicts, np.array(values), float(np.mean(effective))


def no(verdicts):
    return np.mean([v.levels[2].answer == "no" for v in verdicts])


@pytest.mark.thorough
def test_a_few_seeds():
    ideal, values, _ = judged("ideal", 6, samples=1200)
    assert no(ideal) == 0
    assert np.abs(values.mean(axis=0) - 1).max() < 0.04
    planted, values, _ = judged("anisotropic", 6, samples=1200)
    assert no(planted) == 1
    np.testing.assert_allclose(values.mean(axis=0), [1.524, 2.283, 0.456], rtol=0.06)


@pytest.mark.slow
def test_the_ideal_gas_reads_one_in_all_three_and_is_not_rejected():
    verdicts, values, effective = judged("ideal", 200)
    print(f"\nideal: ESS {effective:.0f}, {CHECKS} = {values.mean(axis=0)} ± {values.std(axis=0)}, no {no(verdicts)}")
    assert 1800 < effective < 2400
    assert np.abs(values.mean(axis=0) - 1).max() < 0.02
    assert no(verdicts) <= 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "expected"),
    [("anisotropic", [1.52, 2.28, 0.46]), ("hessian", [1.27, 1.26, 0.81]), ("loss-dependent", [0.92, 2.8, 0.42])],
)
def test_the_others_are_rejected(name, expected):
    verdicts, values, effective = judged(name, 200)
    print(f"\n{name}: ESS {effective:.0f}, {CHECKS} = {values.mean(axis=0)} ± {values.std(axis=0)}, no {no(verdicts)}")
    assert no(verdicts) >= 0.95
    assert all(v.levels[1].answer == "yes" for v in verdicts)  # the identities are satisfied all the same
    np.testing.assert_allclose(values.mean(axis=0), expected, rtol=0.06)
