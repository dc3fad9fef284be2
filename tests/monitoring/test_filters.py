"""Rows of a tensor as groups: the parts of the total, in everything that adds up."""

import numpy as np
import pytest
import torch
from torch import nn

from watched_runs import OPTIMIZERS, batches, network, run, steps
from weightgas.monitoring import watch
from weightgas.symmetry import Group, symmetries

ROWS = [Group(f"0.weight[{k}]", ("0.weight",), "single", (1.0,), 0.0, (k,)) for k in range(32)]


@pytest.mark.parametrize("kind", [k for k in OPTIMIZERS if k != "muon"])
def test_rows_add_up_to_the_tensor(kind: str) -> None:
    whole, parts = run(kind, 30)[2].record, run(kind, 30, groups=ROWS)[2].record
    assert np.array_equal(whole.step, parts.step)
    terms = ("decay", "alignment", "update")
    largest = (np.abs(whole["update"][:, 0]) + np.abs(np.nan_to_num(whole["decay"][:, 0]))).max()
    # In the first step the decay of some rows alone would make them grow, and is not split; NAdam's is not known.
    alike = (np.isnan(parts["decay"]) == np.isnan(whole["decay"][:, :1])).all(1)
    assert alike[1:].all()
    for name in terms:
        np.testing.assert_allclose(parts[name].sum(1)[alike], whole[name][alike, 0], rtol=1e-9, atol=1e-9 * largest)
    of_rows = sum(np.nan_to_num(parts[name]).sum(1) for name in terms)
    of_tensor = sum(np.nan_to_num(whole[name][:, 0]) for name in terms)
    np.testing.assert_allclose(of_rows, of_tensor, rtol=1e-9, atol=1e-9 * largest)
    np.testing.assert_allclose((parts["radius"] ** 2).sum(1), whole["radius"][:, 0] ** 2, rtol=1e-12)
    largest = np.max([np.abs(np.nan_to_num(parts[n])) for n in ("decay", "alignment", "update")], axis=0)
    assert (np.abs(parts["closure"]) < 1e-4 * largest).all()
    assert parts["radius"].shape == (6, 32) and parts["radius"].std(axis=1).min() > 0


def test_blocks_of_rows_of_several_tensors_and_of_no_group() -> None:
    """A group of rows 1 and 3 of two tensors; the other rows are nobody's."""
    torch.manual_seed(0)
    model = network()
    model.extra = nn.Parameter(torch.ones(5, 2))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=1e-2)
    group = Group("both", ("0.weight", "0.weight", "extra", "extra"), "joint", (1.0,) * 4, 0.0, (1, 3, 1, 3))
    gas = watch(model, optimizer, groups=[group], every=2)
    assert gas.sizes == (2 * 64 + 2 * 2,)
    expected = []
    for x, y in batches(9):
        expected.append(float(sum((t.detach()[[1, 3]] ** 2).sum() for t in (model[0].weight, model.extra)) ** 0.5))
        optimizer.zero_grad()
        (nn.functional.cross_entropy(model(x), y) + model.extra.sum()).backward()
        optimizer.step()
    np.testing.assert_allclose(gas.record["radius"][:, 0], np.array(expected)[gas.record.step], rtol=1e-6)


@pytest.mark.thorough
def test_filters_of_the_search() -> None:
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=1e-2)
    some = list(batches(4))
    found = symmetries(model, lambda m, b: nn.functional.cross_entropy(m(b[0]), b[1]), some, per_filter=True)
    gas = watch(model, optimizer, groups=found.filters, every=4)
    assert len(gas.names) == len(found.filters) == 48 and len(set(gas.names)) == 48
    steps(model, optimizer, 60)
    text = str(gas)
    assert "48 groups in 2 roles: " in text and "0.weight[*], median of 32" in text and len(text.splitlines()) < 40
    assert gas.table().row_count == 6 and len(gas.groups()) == 48 and gas.trace().sizes["group"] == 48


def test_rows_beside_the_whole_are_left_out_or_refused() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    gas = watch(model, optimizer, groups=[Group("all", ("0.weight",), "single", (1.0,), 0.0), *ROWS])
    assert gas.names == ("all",) and "0.weight[0] excluded: 0.weight is in all already" in str(gas)
    gas = watch(model, optimizer, groups=[*ROWS[:2], Group("all", ("0.weight",), "single", (1.0,), 0.0)])
    assert gas.names == ("0.weight[0]", "0.weight[1]") and "all excluded" in str(gas)
    beyond = Group("beyond", ("0.weight",), "single", (1.0,), 0.0, (32,))
    with pytest.raises(ValueError, match=r"rows of 0\.weight, which has 32"):
        watch(model, optimizer, groups=[beyond])


def test_buffers_of_many_groups_are_short() -> None:
    model = nn.Linear(2, 2000, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    rows = [Group(f"{k}", ("weight",), "single", (1.0,), 0.0, (k,)) for k in range(2000)]
    gas = watch(model, optimizer, groups=rows)
    assert gas.record._capacity == 131
