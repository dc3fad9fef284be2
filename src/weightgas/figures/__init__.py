"""Figures: measured points with error bars, and the predictions of theory; computed in ``analysis``, drawn here.

Every function takes a run, or several by name, and returns a ``matplotlib.figure.Figure``; matplotlib's settings are
not changed. A run is its Findings, its state, or the pair (trace, state) (:mod:`weightgas.figures.inputs`). The figures
of a report, with their captions, are in :mod:`weightgas.figures.registry`.

Every function takes ``width``: ``"column"`` (3.35 inches) or ``"page"`` (7 inches) for print, without a title and with
no text below 7 pt; None for the screen. It also takes ``ax``: axes to draw into, as many as there are panels, in the
order of their letters. Then the legend is in the first of them, and their figure is returned.
"""

from weightgas.figures.along import along_run
from weightgas.figures.cells import status_map
from weightgas.figures.diagnostics import configurational, fluctuation, gibbs_slope, group_temperatures
from weightgas.figures.entropies import energy_and_entropy, entropy
from weightgas.figures.entry import Figure
from weightgas.figures.equation_of_state import pressure, radius, radius_from_sphere
from weightgas.figures.estimators import entropies
from weightgas.figures.layers import layers
from weightgas.figures.paths import paths
from weightgas.figures.potentials import potential_maps
from weightgas.figures.reasons import anisotropy, finite_step, loss_dependence
from weightgas.figures.registry import CHAPTERS
from weightgas.figures.variables import energy, noise, temperature
from weightgas.figures.watched import watched

__all__ = [
    "CHAPTERS",
    "Figure",
    "radius",
    "pressure",
    "radius_from_sphere",
    "energy_and_entropy",
    "entropies",
    "entropy",
    "potential_maps",
    "temperature",
    "energy",
    "noise",
    "along_run",
    "configurational",
    "fluctuation",
    "gibbs_slope",
    "group_temperatures",
    "layers",
    "anisotropy",
    "loss_dependence",
    "finite_step",
    "paths",
    "status_map",
    "watched",
]
