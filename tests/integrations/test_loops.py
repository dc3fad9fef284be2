"""``watch`` in loops of all kinds has the numbers of the plain single process, and leaves the weights alone."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from integrations import loops

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),  # of torch.compile's own imports
    pytest.mark.filterwarnings("ignore:Dynamo does not know how to trace"),
]
COUNT = 2
COMPARED = ("radius", "angle", "decay", "alignment", "update", "grad_sq", "mean_grad_sq", "noise_trace", "lr", "wd")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes wrote what they recorded."""
    path = tmp_path_factory.mktemp("two")
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, loops.__file__]
    processes = [
        subprocess.Popen([*command, str(rank), str(COUNT), str(path)], env=environment, stderr=subprocess.PIPE)
        for rank in range(COUNT)
    ]
    try:
        for process in processes:
            _, error = process.communicate(timeout=400)
            assert process.returncode == 0, error.decode()
    finally:
        for process in processes:
            process.kill()
    return path


@cache
def plain(kind: str, width: int) -> dict[str, Any]:
    """The plain loop in this process."""
    loop = next(one for one in ("plain", "fsdp uneven") if loops.width_of(one) == width)
    if loop == "plain":
        return loops.trained("plain", kind)
    keep, loops.width_of = loops.width_of, lambda _: width
    try:
        return loops.trained("plain", kind)
    finally:
        loops.width_of = keep


def check(found: dict[str, Any], loop: str, kind: str) -> None:
    """Against what the loop saw itself, and, where the weights are those of the plain loop, against that."""
    at = found["step"]
    assert len(at) >= loops.STEPS // 2 - 1
    for name in ("radius", "angle"):
        np.testing.assert_allclose(found[name], found[f"own_{name}"][at], rtol=1e-6, err_msg=name)
    budget = found["decay"] + found["alignment"] + found["update"]
    scale = np.abs(found["decay"]).max()
    np.testing.assert_allclose(budget, found["own_change"][at], atol=1e-6 * scale, rtol=1e-6)
    if loop not in loops.SAME_WEIGHTS:
        return
    expected = plain(kind, loops.width_of(loop))
    near = np.allclose(found["weights"], expected["weights"], rtol=1e-8, atol=1e-10)
    if (loop, kind) == ("compiled step", "adamw"):  # torch itself, unwatched too: bias corrections in float32
        np.testing.assert_allclose(found["radius"], expected["radius"], rtol=1e-5)
        np.testing.assert_allclose(found["radius_star"], expected["radius_star"], rtol=1e-3)
        return
    assert near or kind == "muon", "the loop is not the plain one"
    if near:  # Muon rounds to bfloat16: its runs part where a sum has another order
        np.testing.assert_array_equal(at, expected["step"])
        for name in COMPARED:
            scale = np.abs(expected[name]).max()
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, atol=1e-9 * scale, err_msg=name)
        np.testing.assert_allclose(found["radius_star"], expected["radius_star"], rtol=1e-6)


@pytest.mark.parametrize("kind", loops.OPTIMIZERS)
@pytest.mark.parametrize("loop", loops.ONE)
def test_a_loop_of_one_process(loop: str, kind: str) -> None:
    found = loops.trained(loop, kind)
    check(found, loop, kind)
    np.testing.assert_array_equal(found["weights"], loops.trained(loop, kind, watched=False)["weights"])


@pytest.mark.parametrize("kind", loops.OPTIMIZERS)
@pytest.mark.parametrize("loop", loops.TWO)
def test_two_processes(folder: Path, loop: str, kind: str) -> None:
    ranks = [dict(np.load(folder / f"{loop}-{kind}-{rank}.npz")) for rank in range(COUNT)]
    for found in ranks:
        check(found, loop, kind)
        np.testing.assert_array_equal(found["weights"], found["unwatched"])
        assert str(found["table"]) == str(ranks[0]["table"])


def test_a_state_that_another_process_has_is_refused_by_name(folder: Path) -> None:
    reason = "decay of Adam needs its state, which for some tensors is in other processes only"
    for rank in range(COUNT):
        table, seen = json.loads((folder / f"refused-{rank}.json").read_text())
        assert reason in table and any(reason in warning for warning in seen)
