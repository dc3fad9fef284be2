"""Every figure, on every kind of state: what is drawn is what was measured, named, and inside the page."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from gases import KINDS, PROTOCOLS, control, network, state, trace
from representatives import thorough_except
from weightgas import figures
from weightgas.analysis.equation_of_state import radius_from_sphere
from weightgas.analysis.findings import Findings
from weightgas.errors import TraceError, is_refusal
from weightgas.measurement import measure
from weightgas.protocols import FixedELR, FixedSphere
from weightgas.settings import Record, Run
from weightgas.simulation import simulate
from weightgas.status import Status

ALL = {
    "radius elr": lambda: figures.radius(state("fixed_elr")),
    "radius lr": lambda: figures.radius(state("fixed_lr"), over="lr"),
    "radius network": lambda: figures.radius(network("fixed_lr")[1]),
    "pressure": lambda: figures.pressure(state("fixed_sphere")),
    "pressure network": lambda: figures.pressure(network("fixed_sphere")[1]),
    "radius from sphere": lambda: figures.radius_from_sphere(
        state("fixed_lr"), radius_from_sphere(state("fixed_lr"), state("fixed_sphere"))
    ),
    "energy and entropy": lambda: figures.energy_and_entropy({k: state(k) for k in KINDS}),
    "energy and entropy, z": lambda: figures.energy_and_entropy(state("fixed_lr"), residual="standard errors"),
    "energy and entropy, network": lambda: figures.energy_and_entropy({k: network(k)[1] for k in KINDS}),
    **{f"entropy {k}": (lambda k=k: figures.entropy(state(k))) for k in KINDS},
    **{f"entropy lr {k}": (lambda k=k: figures.entropy(state(k), over="lr", smoothing=True)) for k in KINDS},
    "entropies": lambda: figures.entropies(network("fixed_elr")),
    "entropy product": lambda: figures.entropy(state("fixed_lr"), across="product"),
    "entropy network": lambda: figures.entropy(network("fixed_elr")[1], smoothing=True),
    **{f"maps {k}": (lambda k=k: figures.potential_maps(state(k))) for k in KINDS},
    **{f"temperature {k}": (lambda k=k: figures.temperature(state(k))) for k in KINDS},
    "temperature network": lambda: figures.temperature(network("fixed_lr")[1]),
    "energy": lambda: figures.energy(state("fixed_lr"), over="product"),
    "energy network": lambda: figures.energy(network("fixed_lr")[1]),
    "noise": lambda: figures.noise(state("fixed_lr")),
    "noise network": lambda: figures.noise(network("fixed_sphere")[1]),
    "along run": lambda: figures.along_run(network("fixed_lr")[0]),
    "along run, model": lambda: figures.along_run(trace("fixed_sphere")),
    "fluctuation": lambda: figures.fluctuation(state("fixed_lr"), controls={"anisotropic": control("anisotropic")[1]}),
    "gibbs slope": lambda: figures.gibbs_slope(
        {"ideal": control("ideal")}, controls={"anisotropic": control("anisotropic")}
    ),
    "configurational": lambda: figures.configurational(
        {"ideal": control("ideal")[1]}, controls={"anisotropic": control("anisotropic")[1]}
    ),
    "configurational, network": lambda: figures.configurational(network("fixed_lr")[1]),
    "layers": lambda: figures.layers({"fixed_lr": network("fixed_lr")}),
    "layers, every protocol": lambda: figures.layers({k: network(k) for k in KINDS}),
    "group temperatures": lambda: figures.group_temperatures(network("fixed_lr")[1]),
    "anisotropy": lambda: figures.anisotropy(network("fixed_lr"), controls={"anisotropic": control("anisotropic")}),
    "anisotropy, every protocol": lambda: figures.anisotropy(
        {k: network(k) for k in KINDS}, controls={"anisotropic": control("anisotropic")}
    ),
    "loss dependence": lambda: figures.loss_dependence({"fixed_lr": network("fixed_lr"), "ideal": control("ideal")}),
    "finite step": lambda: figures.finite_step({"fixed_lr": network("fixed_lr")}, controls={"ideal": control("ideal")}),
    "status": lambda: figures.status_map(state("fixed_elr")),
}


AGAIN = {f"{name} {k}" for name in ("entropy", "entropy lr", "maps", "temperature") for k in KINDS if k != "fixed_lr"}
AGAIN |= {"along run", "along run, model", "energy and entropy", "entropies", "maps fixed_lr", "radius elr"}
AGAIN |= {"layers, every protocol", "anisotropy, every protocol", "energy and entropy, network", "entropy network"}
AGAIN |= {"pressure network", "noise network", "entropy product", "energy and entropy, z", "entropy fixed_lr"}
AGAIN |= {"temperature network", "energy network", "configurational, network"}
"""Figures that another protocol has too, and those that take seconds."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.thorough if n in AGAIN else ()) for n in ALL])
def test_every_figure_is_named_inside_the_page_and_leaves_the_settings_alone(name: str) -> None:
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "black", "text.usetex": True, "xtick.color": "white"}):
        before = dict(mpl.rcParams)
        figure = ALL[name]()
        assert dict(mpl.rcParams) == before
        assert isinstance(figure, Figure)
        figure.draw_without_rendering()
    texts = [t for ax in figure.axes for t in (ax.get_xlabel(), ax.get_ylabel())]
    texts += [figure.get_supxlabel(), figure.get_supylabel()]
    assert sum("$" in t or "(%)" in t or "nats" in t for t in texts) >= 2, texts
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 > -0.02 and box.y0 > -0.02 and box.x1 < width + 0.02 and box.y1 < height + 0.02
    for ax in figure.axes:
        if ax.get_visible():
            assert all(label.get_fontsize() >= 8 for label in (*ax.get_xticklabels(), *ax.get_yticklabels()))
            assert ax.get_facecolor() == to_rgba("white")


def bars(ax: mpl.axes.Axes) -> list[ErrorbarContainer]:
    return [c for c in ax.containers if isinstance(c, ErrorbarContainer)]


def points(ax: mpl.axes.Axes) -> np.ndarray:
    """All points with error bars, sorted by x and y: (n, 2)."""
    xy = np.concatenate([c.lines[0].get_xydata() for c in bars(ax)])
    return xy[np.lexsort(xy.T[::-1])]


def sorted_pairs(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack([x, y], axis=1)[np.lexsort((y, x))]


@pytest.mark.parametrize(
    ("draw", "kind", "x", "y"),
    [
        pytest.param(figures.radius, "fixed_elr", "wd_set", "radius", marks=pytest.mark.thorough),
        (figures.radius, "fixed_lr", "wd_set", "radius"),
        (figures.pressure, "fixed_sphere", "radius_set", "pressure"),
        (figures.entropy, "fixed_sphere", "radius_set", "entropy"),
        (figures.temperature, "fixed_lr", "lr_set", "temperature"),
        (figures.energy, "fixed_elr", "elr_set", "energy"),
        (figures.noise, "fixed_sphere", "elr_set", "noise_var"),
    ],
)
def test_points_and_error_bars_are_those_of_the_state(draw, kind: str, x: str, y: str) -> None:
    data = state(kind)
    ax = draw(data, lines=20).axes[0]
    np.testing.assert_allclose(points(ax), sorted_pairs(data[x].values, data[y].values))
    segments = np.concatenate([np.array(c.lines[2][0].get_segments()) for c in bars(ax)])
    lengths = np.sort(np.ptp(segments[..., 1], axis=1))
    np.testing.assert_allclose(lengths, np.sort(2 * data[f"{y}_err"].values), rtol=1e-6, atol=1e-9)


@pytest.mark.thorough
def test_energy_and_entropy_draw_every_cell_of_every_protocol() -> None:
    states = {k: state(k) for k in KINDS}
    figure = figures.energy_and_entropy(states)
    for ax, quantity in zip(figure.axes, ("energy", "entropy_direction"), strict=False):
        both = [np.concatenate([s[n].values for s in states.values()]) for n in ("temperature", quantity)]
        np.testing.assert_allclose(points(ax), sorted_pairs(*both))


def test_the_residual_shows_a_planted_deviation() -> None:
    data = state("fixed_elr")
    data["radius"] *= 1.05
    below = figures.radius(data, lines=20).axes[1]
    assert np.all(np.abs(points(below)[:, 1] - 5) < 2)
    assert np.all(np.abs(points(figures.radius(state("fixed_elr"), lines=20).axes[1])[:, 1]) < 2)


def test_about_five_lines_of_a_family_with_a_colour_bar() -> None:
    wide = PROTOCOLS["fixed_elr"]
    figure = figures.radius(state("fixed_elr"), lines=3)
    assert len(points(figure.axes[0])) == 3 * len(wide.wd)
    assert [t.get_text() for t in figure.axes[-1].get_yticklabels()] == ["0.0032", "0.01", "0.032"]


def legend_texts(figure: Figure) -> list[str]:
    return [t.get_text() for legend in figure.legends for t in legend.get_texts()]


@pytest.mark.thorough
def test_cells_out_of_equilibrium_are_hollow_and_cells_without_values_are_counted() -> None:
    data = state("fixed_elr")
    data["status"][3] = Status.CONVERGING
    data["status"][5] = Status.DIVERGED
    for name in ("radius", "radius_err", "temperature", "energy", "entropy", "entropy_direction", "grad_sq"):
        data[name][5] = np.nan
    for draw in (figures.radius, figures.entropy, figures.temperature, figures.energy):
        figure = draw(data, lines=20)
        assert "hollow: 1 converging" in legend_texts(figure)
        assert "no value, not drawn: 1 diverged" in legend_texts(figure)
        hollow = [c for c in bars(figure.axes[0]) if c.lines[0].get_markerfacecolor() == "none"]
        assert sum(len(c.lines[0].get_xdata()) for c in hollow) == 1
        assert len(points(figure.axes[0])) == data.sizes["cell"] - 1
    text = " ".join(legend_texts(figures.energy_and_entropy(data)))
    assert "hollow: not in equilibrium, 1 cells" in text and "not drawn: no energy, 1 cells" in text
    for draw in (figures.potential_maps, figures.status_map, figures.fluctuation):
        draw(data).draw_without_rendering()


@pytest.mark.thorough
@pytest.mark.parametrize(
    "protocol",
    [
        FixedELR(elr=0.01, wd=0.05),
        FixedELR(elr=0.01, wd=[0.05, 0.1]),
        FixedELR(elr=[0.01, 0.02, 0.03], wd=[0.05, 0.1, 0.2], paired=True),
        FixedSphere(elr=[0.01, 0.011]),
    ],
    ids=["one cell", "one row", "paired", "sphere"],
)
def test_small_and_odd_grids(protocol) -> None:
    ran = simulate(protocol, 3, 4000, record=Record(samples=40), run=Run(threads=1))
    data = measure(ran)
    sphere = isinstance(protocol, FixedSphere)
    drawn = [figures.pressure(data) if sphere else figures.radius(data)]
    drawn += [f(data) for f in (figures.entropy, figures.energy, figures.noise, figures.temperature)]
    drawn += [figures.energy_and_entropy(data), figures.fluctuation(data), figures.along_run(ran)]
    drawn.append(figures.gibbs_slope({"run": (ran, data)}))
    if not getattr(protocol, "paired", False):
        drawn.append(figures.status_map(data))
    for figure in drawn:
        figure.draw_without_rendering()


def test_refusals_say_what_to_do() -> None:
    paired = measure(
        simulate(
            FixedELR(elr=[0.01, 0.02], wd=[0.05, 0.1], paired=True),
            3,
            4000,
            record=Record(samples=40),
            run=Run(threads=1),
        )
    )
    for draw in (figures.potential_maps, figures.status_map):
        with pytest.raises(ValueError, match="product of two hyperparameters"):
            draw(paired)
    with pytest.raises(ValueError, match="draw pressure"):
        figures.radius(state("fixed_sphere"))
    with pytest.raises(ValueError, match="draw radius"):
        figures.pressure(state("fixed_lr"))
    with pytest.raises(ValueError, match="expected one of lr, product, wd"):
        figures.energy(state("fixed_lr"), over="radius")
    with pytest.raises(ValueError, match="across"):
        figures.entropy(state("fixed_elr"), across="product")
    with pytest.raises(ValueError, match="relative"):
        figures.energy_and_entropy(state("fixed_lr"), residual="none")
    with pytest.raises(ValueError, match="at least one run"):
        figures.fluctuation({})
    with pytest.raises(ValueError, match="at least one run"):
        figures.gibbs_slope({})
    with pytest.raises(ValueError, match="expected one of"):
        figures.along_run(trace("fixed_elr"), at=3.0)
    nothing = state("fixed_elr")
    nothing["status"][:] = Status.TOO_SHORT
    with pytest.raises(ValueError, match="in equilibrium with an entropy"):
        figures.potential_maps(nothing)


OF_A_STATE = (
    "radius", "pressure", "entropy", "energy_and_entropy", "temperature", "energy", "noise", "potential_maps",
    "fluctuation", "configurational", "group_temperatures", "status_map",
)  # fmt: skip
OF_ITS_ENTROPY = ("entropy", "energy_and_entropy", "potential_maps", "fluctuation")
LOST = ("entropy", "everything")


@pytest.mark.parametrize(
    ("of", "kind", "lost"),
    thorough_except(
        ["model-fixed_lr-entropy"],
        {f"{of}-{kind}-{lost}": (of, kind, lost) for of in ("model", "network") for kind in KINDS for lost in LOST},
    ),
)
def test_a_state_without_values_is_drawn_or_refused(of: str, kind: str, lost: str) -> None:
    data = state(kind) if of == "model" else network(kind)[1].copy(deep=True)
    for name, variable in data.data_vars.items():
        if lost in (name, "everything") or str(name).startswith(f"{lost}_"):
            variable.values = np.full_like(variable.values, np.nan if variable.dtype.kind == "f" else 0)
    data["status"][:] = Status.TOO_SHORT
    # The others draw the same without it, all cells hollow, which one protocol shows.
    for name in OF_ITS_ENTROPY if lost == "entropy" and kind != "fixed_lr" else OF_A_STATE:
        try:
            figure = getattr(figures, name)(data)
        except ValueError as error:
            assert is_refusal(error), name
        else:
            figure.draw_without_rendering()
    with pytest.raises(ValueError, match="a cell with a finite entropy"):
        figures.entropy(data)


def test_the_diagnostic_figures_tell_the_controls_apart() -> None:
    figure = figures.fluctuation({"ideal": control("ideal")[1]}, controls={"not ideal": control("anisotropic")[1]})
    title, references = figure.axes[0].get_title(loc="left"), legend_texts(figure)[0]
    values = [float(text.split(" ±")[0]) for text in (title.split("\n")[1], references.split(": ")[1])]
    assert abs(values[0] - 1) < 0.15 and values[1] > 1.6
    faces = [bars(ax)[0].lines[0].get_markerfacecolor() for ax in figure.axes]
    assert faces[1] == "none" != faces[0]


def test_the_minimum_is_marked_where_the_potential_is_least() -> None:
    data = state("fixed_elr")
    figure = figures.potential_maps(data, targets=1)
    ring, star = (line.get_xydata()[0] - 0.5 for line in figure.axes[0].lines)
    row, column = np.round(ring[::-1]).astype(int)
    assert (row, column) == (2, 2)
    assert np.abs(star - ring).max() <= 1


def test_a_diverged_learning_rate_is_said_along_the_run() -> None:
    ran = simulate(FixedELR(elr=[0.01, 3.0], wd=0.1), 3, 4000, record=Record(samples=40), run=Run(threads=1))
    labels = [t.get_text() for t in figures.along_run(ran).axes[-1].get_yticklabels()]
    assert labels == ["0.01", "3\ndiverged"]


@pytest.mark.thorough
def test_the_entropies_show_the_published_one_with_its_null_and_why_a_fit_is_missing() -> None:
    trace_, state_ = network("fixed_lr")
    figure = figures.entropies((trace_, state_))
    found = Findings(trace_, state_).smoothings
    titles = legend_texts(figure)[-len(found) :]
    assert titles[0].startswith("as published: ") and "temporal neighbours" in titles[0] and len(titles) == len(found)
    for title, one in zip((" ".join(t.split()) for t in titles), found.values(), strict=True):
        assert (one.lacking.rpartition(": ")[0] in title) if one.fit is None else f"{one.fit.r_squared:.5f}" in title
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    given, d = found["published"].entropies, state_.attrs["dim"]
    null = state_["entropy_published_null"].values + (d - 1) * state_["log_radius"].values
    expected = np.sort((null - np.nanmean(given.value)) / given.r)
    drawn = np.concatenate([line.get_ydata() for line in crosses])
    assert np.isin(np.round(drawn, 9), np.round(expected, 9)).all() and len(drawn) > 0
    with pytest.raises(TraceError, match="entropy of one of as published"):
        figures.entropies(state_.drop_vars([n for n in state_ if str(n).startswith("entropy_")]))


def test_each_reference_has_a_legend_entry_even_where_colours_repeat() -> None:
    """Nine looks, of which two of the references share theirs, but for being hollow, with protocols."""
    gases = {f"gas {k}": control("anisotropic") for k in range(7)}
    runs = {kind: network(kind) for kind in KINDS}
    runs |= {f"other {kind}": (trace, state.assign_attrs(network="mlp()")) for kind, (trace, state) in runs.items()}
    for draw in (figures.anisotropy, figures.finite_step):
        texts = legend_texts(draw(runs, controls=gases))
        assert [name for name in gases if not any(name in text for text in texts)] == []


def test_both_reference_gases_are_explained_at_every_temperature() -> None:
    figure = figures.anisotropy({"ideal": control("ideal")}, controls={"anisotropic": control("anisotropic")})
    xy = np.concatenate([points(ax) for ax in figure.axes])
    assert len(xy) == 8
    known = np.concatenate([control(name)[1]["temperature"].values for name in ("ideal", "anisotropic")])
    assert all(np.isclose(known, x, rtol=1e-9).any() for x in xy[:, 0])
    assert np.ptp(np.log(xy[:, 0])) > 0.5 * np.log(1.35)
    assert np.abs(np.log(xy[:, 1])).max() < 0.3


def test_a_state_without_groups_has_no_group_temperatures() -> None:
    with pytest.raises(ValueError, match="state: expected temperatures of two scale-invariant groups or more"):
        figures.group_temperatures(state("fixed_lr"))
    with pytest.raises(ValueError, match="runs: expected at least one run by name"):
        figures.finite_step({})
