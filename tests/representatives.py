"""Parameters of a test that `make test` runs as representatives; with all others the test is thorough."""

from collections.abc import Collection, Mapping
from typing import Any

import pytest


def thorough_except(kept: Collection[str], values: Mapping[str, Any]) -> list[Any]:
    """The values by name, a tuple being several arguments; those of other names than ``kept`` are thorough."""
    assert set(kept) <= set(values), set(kept) - set(values)
    arguments = {name: value if isinstance(value, tuple) else (value,) for name, value in values.items()}
    return [
        pytest.param(*each, id=name, marks=() if name in kept else pytest.mark.thorough)
        for name, each in arguments.items()
    ]


def names_except(kept: Collection[Any], names: Collection[Any]) -> list[Any]:
    """The same of names themselves."""
    assert set(kept) <= set(names), set(kept) - set(names)
    return [pytest.param(name, marks=() if name in kept else pytest.mark.thorough) for name in names]
