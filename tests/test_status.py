import numpy as np
import pytest

from weightgas.status import Outcome, Status, flags, names


@pytest.mark.parametrize("status", Status)
def test_every_status_has_a_sentence_of_advice(status):
    assert status.advice[0].isupper()
    assert status.advice.endswith(".")


def test_the_list_is_the_one_of_the_design():
    words = ["equilibrium", "converging", "random_walk", "too_short", "diverged", "failed", "not_applicable"]
    assert [s.name.lower() for s in Status] == words
    assert [o.name.lower() for o in Outcome] == ["finished", "diverged", "failed", "interrupted"]


def test_codes_as_words_and_flags():
    assert names(np.array([[0, 3], [4, 5]], np.int8)).tolist() == [["equilibrium", "too_short"], ["diverged", "failed"]]
    assert flags(Outcome) == {"flag_values": [0, 1, 2, 3], "flag_meanings": "finished diverged failed interrupted"}
