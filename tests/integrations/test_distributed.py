"""``watch`` in two processes that train together: every process records what a single one would."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from integrations import two_processes

pytestmark = pytest.mark.integration
COUNT = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes wrote what they recorded."""
    path = tmp_path_factory.mktemp("two")
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, two_processes.__file__]
    processes = [
        subprocess.Popen([*command, str(rank), str(COUNT), str(path)], env=environment, stderr=subprocess.PIPE)
        for rank in range(COUNT)
    ]
    try:
        for process in processes:
            _, error = process.communicate(timeout=240)
            assert process.returncode == 0, error.decode()
    finally:
        for process in processes:
            process.kill()
    return path


@pytest.mark.parametrize("kind", two_processes.KINDS)
def test_two_processes_record_what_one_does(folder: Path, kind: str) -> None:
    expected = two_processes.watched(kind)
    assert len(expected["step"]) == two_processes.STEPS // 2
    for rank in range(COUNT):
        found = np.load(folder / f"{kind}-{rank}.npz")
        np.testing.assert_array_equal(found["step"], expected["step"])
        for name in ("radius", "grad_sq", "mean_grad_sq", "noise_trace", "angle", "decay", "update", "lr", "wd"):
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-8, atol=1e-12, err_msg=name)
