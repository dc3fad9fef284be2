"""How much memory there is: of the machine, of a container or a job."""

import pytest

import synthetic
from weightgas import measurement
from weightgas.analysis import Findings
from weightgas.runs import memory


@pytest.fixture
def group(tmp_path, monkeypatch):
    """A group of processes with 10 GB of which 4 GB are used, 1 GB by files that can be dropped."""
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    for name, text in {
        "max": "10000000000",
        "current": "4000000000",
        "stat": "anon 3\ninactive_file 1000000000",
    }.items():
        (tmp_path / f"memory.{name}").write_text(text + "\n")
    return tmp_path


def test_the_smaller_of_machine_and_group_counts(group, monkeypatch):
    monkeypatch.setattr(memory, "_of_machine", lambda: 8e9)
    assert memory.available() == 7e9
    (group / "memory.max").write_text("max\n")
    assert memory.available() == 8e9
    (group / "memory.max").write_text("3000000000\n")
    assert memory.available() == 0
    (group / "memory.current").unlink()
    assert memory.available() == 8e9


def test_where_the_system_does_not_say_how_much_is_free(group, monkeypatch):
    (group / "memory.max").unlink()
    assert memory.available() > 1e6
    monkeypatch.setattr(memory.Path, "read_text", lambda self: "MemTotal: 1 kB")
    assert memory.available() == memory.os.sysconf("SC_PHYS_PAGES") * memory.os.sysconf("SC_PAGE_SIZE")
    monkeypatch.delattr(memory.os, "sysconf")
    assert memory.available() is None
    memory.foresee(1e30, "anything", "")


def test_what_does_not_fit_is_refused_before_it_is_taken(monkeypatch):
    trace = synthetic.make("fixed_lr", cells=3, samples=50)
    state = measurement.measure(trace)
    monkeypatch.setattr(memory, "available", lambda: 1e3)
    monkeypatch.setattr(measurement.state.batched, "level_one", lambda *_: pytest.fail("it was begun"))
    with pytest.raises(ValueError, match=r"memory: expected \S+ GB for the state of 3 cells, got '1e-06 GB'"):
        measurement.measure(trace)
    with pytest.raises(ValueError, match=r"memory: expected \S+ GB for the energies of 3 cells, got '1e-06 GB'"):
        _ = Findings(trace, state).gibbs_slope
