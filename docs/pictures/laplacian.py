"""How to measure the Laplacian of a network's loss: the study behind docs/explanation/laplacian.md.

    .venv/bin/python docs/pictures/laplacian.py

Trains small networks on the digits, measures the Laplacian along them in several ways, for about three minutes on one
core, draws ``laplacian.png`` alongside itself and writes the tables of the page between their marks.
"""

import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from matplotlib.figure import Figure
from torch import Tensor

import weightgas as wg
from weightgas import networks, probes
from weightgas.networks import Network
from weightgas.probes.laplacian import FAR, NEAR, tangents
from weightgas.training.engine import Engine

HERE = Path(__file__).resolve().parent
DATA = wg.datasets.digits()
INPUTS, LABELS = torch.tensor(DATA.inputs, dtype=torch.float64), torch.tensor(DATA.labels)
ELR = (0.01, 0.05)
BATCH = 128
ANGLES = np.array([1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0])
WEIGHTS, ROUNDS = 60, 6
"""Snapshots of the weights that are looked at, and batches with a probe each for every one of them."""

Rows = list[list[str]]


def trained(network: Network) -> xr.Dataset:
    """A stationary run on the sphere of radius 1 at both effective learning rates."""
    protocol = wg.FixedSphere(elr=ELR, radius=1.0)
    return wg.train(
        protocol,
        network,
        DATA,
        30_000,
        record=wg.Record(warmup=15_000, samples=300, curvature_batches=4, snapshots=WEIGHTS, snapshot_every=500),
        run=wg.Run(progress=False),
    )


def draw(generator: np.random.Generator, count: int, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, labels and signs, of each of ``count`` networks its own."""
    index = torch.tensor(generator.integers(len(DATA), size=(count, BATCH)))
    return INPUTS[index], LABELS[index], torch.tensor(generator.integers(2, size=(count, dim)) * 2 - 1)


def sweep(network: Network, weights: Tensor) -> dict[object, np.ndarray]:
    """Estimates at all ``weights``, from the same batches and probes: by angle and type, by autograd, from losses."""
    sizes = tuple(network.groups(DATA).values())
    gradients = partial(networks.gradients, network)
    generator = np.random.default_rng(0)
    found: dict[object, list[Tensor]] = {}

    def keep(key: object, value: Tensor) -> None:
        found.setdefault(key, []).append(value)

    for _ in range(ROUNDS):
        x, y, signs = draw(generator, *weights.shape)
        pair = [gradients(weights, *draw(generator, *weights.shape)[:2]) for _ in range(2)]

        def exact(u: Tensor, x: Tensor = x, y: Tensor = y) -> Tensor:
            return probes.hessian_products(network.losses, weights, u, x, y)

        groups = probes.laplacians(exact, weights, signs, sizes)
        keep("autograd", probes.whole(groups, weights, sizes))
        keep("sum, autograd", groups.sum(-1))
        keep("noise, autograd", probes.noise_curvature(exact, weights, pair[0] - pair[1]))
        for dtype in (torch.float64, torch.float32):
            w, inputs = weights.to(dtype), x.to(dtype)
            for angle in ANGLES:
                product = partial(probes.turned, gradients, w, inputs=inputs, labels=y, angle=angle)
                groups = probes.laplacians(product, w, signs, sizes)
                keep((dtype, angle), probes.whole(groups, w, sizes))
                keep(("sum", dtype, angle), groups.sum(-1))
                keep(("noise", dtype, angle), probes.noise_curvature(product, w, pair[0] - pair[1]))
        keep("sum, losses", from_losses(network, weights, x, y, signs, sizes, FAR))
    return {key: torch.stack(values).double().numpy() for key, values in found.items()}


def from_losses(
    network: Network, w: Tensor, x: Tensor, y: Tensor, signs: Tensor, sizes: tuple[int, ...], angle: float
) -> Tensor:
    """Σ_i Δ_i L without gradients, by (L(θ) + L(−θ) − 2 L(0))/θ²: needs groups of one size, on average."""
    across, lengths = tangents(signs, w, sizes)
    c, s = np.cos(angle), np.sin(angle)
    with torch.no_grad():
        ends = network.losses(c * w + s * across, x, y) + network.losses(c * w - s * across, x, y)
        return lengths.mean(-1) * (ends - 2 * network.losses(w, x, y)) / angle**2


def mean(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard error of estimates (rounds, weights) of independent batches and probes."""
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(values.size))


def pm(value: float, error: float, unit: str = "") -> str:
    """A value with its error, both to the second digit of the error."""
    digits = int(np.clip(1 - np.floor(np.log10(error)), 0, 4)) if error > 0 else 0
    return f"{value:.{digits}f} ± {error:.{digits}f}{unit}"


def all_coordinates(network: Network, w: Tensor, x: Tensor, y: Tensor) -> float:
    """Tr H at one ``w`` (dim,) and batch by autograd, a Hessian product for every weight: no probes, no error."""
    total, basis = 0.0, torch.eye(len(w), dtype=w.dtype)
    for vectors in basis.split(128):
        stack = (w.expand(len(vectors), -1), vectors, x.expand(len(vectors), *x.shape), y.expand(len(vectors), -1))
        products = probes.hessian_products(network.losses, *stack)
        total += (products * vectors).sum().item()
    return total


def scatter(network: Network, w: Tensor, count: int = 400) -> list[str]:
    """At one w: tr H without probes over the disjoint batches, and where the scatter of an estimate comes from."""
    sizes = tuple(network.groups(DATA).values())
    batches = torch.tensor(probes.disjoint_batches(len(DATA), BATCH))[:6]
    truth = np.array([all_coordinates(network, w, INPUTS[b], LABELS[b]) for b in batches])
    generator = np.random.default_rng(1)
    stack = w.expand(count, -1)
    estimates = {}
    for name, index in {
        "probe": batches[0].expand(count, -1),
        "both": torch.tensor(generator.integers(len(DATA), size=(count, BATCH))),
    }.items():
        signs = torch.tensor(generator.integers(2, size=stack.shape) * 2 - 1)
        x, y = INPUTS[index], LABELS[index]

        def exact(u: Tensor, x: Tensor = x, y: Tensor = y) -> Tensor:
            return probes.hessian_products(network.losses, stack, u, x, y)

        estimates[name] = probes.whole(probes.laplacians(exact, stack, signs, sizes), stack, sizes).numpy()
    value, error = mean(estimates["probe"])
    relative = [estimates["probe"].std() / truth[0], truth.std(ddof=1) / truth.mean(), estimates["both"].std() / value]
    return [f"{truth[0]:.0f}", pm(value, error), *(f"{100 * r:.0f} %" for r in relative)]


def seconds(call: partial, repeats: int = 12) -> float:
    """The shortest of some repeats."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return min(times)


def costs(network: Network, weights: Tensor) -> Rows:
    """Time of one estimate for a stack, in gradients; and of a sample alongside the steps between two."""
    w = weights[:35].float()
    sizes = tuple(network.groups(DATA).values())
    x, y, signs = draw(np.random.default_rng(2), *w.shape)
    x = x.float()
    gradients = partial(networks.gradients, network)
    one = seconds(partial(gradients, w, x, y))
    product = partial(probes.turned, gradients, w, inputs=x, labels=y, angle=NEAR)
    twice = partial(lambda u: probes.hessian_products(network.losses, w, u, x, y))
    rows = [["one gradient of 35 networks (float32)", f"{1e3 * one:.1f} ms", "1"]]
    for name, how in (("estimate from two gradients", product), ("estimate by autograd", twice)):
        each = seconds(partial(probes.laplacians, how, w, signs, sizes))
        rows.append([name, f"{1e3 * each:.1f} ms", f"{each / one:.1f}"])
    protocol = wg.FixedSphere(elr=np.logspace(-2.5, -1, 7), radius=1.0)
    engine = Engine(protocol, network, DATA, replicas=1, seed=0, batch_size=BATCH, dtype=torch.float32, device=w.device)
    state = engine.advance(engine.initial(), 100)
    noise = engine.noise_gradients(state.weights, 1, 8)
    steps = seconds(partial(engine.advance, state, 50)) * 4
    sample = seconds(partial(engine.curvature, state.weights, noise, 1, 2))
    rows.append(["200 steps of 7 networks", f"{1e3 * steps:.0f} ms", ""])
    rows.append(
        ["the curvature of a sample, 2 batches", f"{1e3 * sample:.1f} ms", f"{100 * sample / steps:.0f} % more"]
    )
    return rows


def ratio(top: np.ndarray, bottom: np.ndarray, blocks: int = 20) -> tuple[float, float]:
    """Ratio of averages of two series, and its error from leaving out one of 20 blocks at a time."""
    t, b = (np.array([part.mean() for part in np.array_split(x, blocks)]) for x in (top, bottom))
    left = (t.sum() - t) / (b.sum() - b)
    return float(t.mean() / b.mean()), float(np.sqrt((blocks - 1) ** 2 / blocks * left.var(ddof=1) / (blocks - 1)))


def temperatures(name: str, trace: xr.Dataset) -> Rows:
    """T_conf/T_g in all and by layer, T_conf/T_g from the noise alone, and how many effective rank of the noise
    covariance."""
    rows = []
    layers = np.array([group.split(".")[0] for group in trace.attrs["group_names"]])
    sizes = np.array(trace.attrs["group_sizes"])
    for c, elr in enumerate(ELR):
        cell = {n: v.values[c, 0] for n, v in trace.data_vars.items() if "sample" in v.dims and "replica" in v.dims}
        squares, parts = cell["group_radius"] ** 2, []
        # On the sphere of radius 1 gradients and Hessian of a layer are those at w: divide by r_i² what is carried to
        # the sphere of a group.
        for layer in np.unique(layers):
            own = layers == layer
            drift, noise, laplacian = (
                (cell[f"group_{n}"] / squares)[:, own].sum(1) for n in ("mean_grad_sq", "noise_trace", "laplacian")
            )
            value, error = ratio(drift, laplacian * noise.mean() * elr / (2 * (sizes[own] - 1).sum()))
            parts.append(pm(value, error))
        dof, noise = trace.attrs["dof"], cell["noise_trace"]
        conf = ratio(cell["mean_grad_sq"], cell["laplacian"] * noise.mean() * elr / (2 * dof))
        aligned = ratio(cell["noise_curvature"], cell["laplacian"] * noise.mean() / dof)
        balance = ratio(cell["mean_grad_sq"], cell["noise_curvature"] * elr / 2)
        deff = ratio(cell["noise_trace_sq"], cell["noise_cov_sq"])
        step = ratio(cell["noise_curvature"] * elr / 2, noise)
        numbers = [pm(*pair) for pair in (conf, aligned, balance)]
        more = [f"{pm(*deff)} of {dof}", pm(*step)]
        rows.append(
            [name, f"{elr}", numbers[0], "; ".join(parts) if len(parts) > 1 else "one layer", *numbers[1:], *more]
        )
    return rows


def plateau(name: str, elr: float, found: dict[object, np.ndarray]) -> Rows:
    """One row for each way at the two angles and beyond."""
    auto, unit = found["autograd"], mean(found["autograd"])[0]
    rows = []
    for angle in (1e-4, 1e-3, NEAR, FAR, 0.1, 0.3):
        ours, rough = found[torch.float64, angle], found[torch.float32, angle]
        value, error = mean(ours)
        apart, its_error = mean(ours - auto)
        rounding = np.sqrt(((rough - ours) ** 2).mean()) / value
        along, its_own = mean(found["noise", torch.float64, angle])
        rows.append([
            name, f"{elr}", f"{angle:g}", pm(value, error),
            pm(100 * apart / unit, 100 * its_error / unit, " %"), f"{100 * ours.std() / value:.0f} %",
            f"{rounding:.0e}", pm(along, its_own),
        ])  # fmt: skip
    value, error = mean(auto)
    along, its_own = mean(found["noise, autograd"])
    rows.append([name, f"{elr}", "autograd", pm(value, error), "", f"{100 * auto.std() / value:.0f} %", "",
                 pm(along, its_own)])  # fmt: skip
    return rows


def losses_against_gradients(name: str, elr: float, found: dict[object, np.ndarray]) -> list[str]:
    """Σ_i Δ_i L from losses alone, from gradients and by autograd, and how far the first two are apart."""
    ways = [found["sum, losses"], found["sum", torch.float64, FAR], found["sum, autograd"]]
    unit, (apart, error) = mean(ways[1])[0], mean(ways[0] - ways[1])
    return [name, f"{elr}", *(pm(*mean(way)) for way in ways), pm(100 * apart / unit, 100 * error / unit, " %")]


def figure(results: dict[tuple[str, float], dict[object, np.ndarray]]) -> Figure:
    """The Laplacian over the angle, in units of that at FAR, and the scatter of one estimate."""
    drawing = Figure(figsize=(6.3, 4.6), dpi=200, layout="constrained")
    axes = drawing.subplots(2, 2, sharex=True, sharey="row")
    for (name, elr), found in results.items():
        upper, lower = axes[:, ("relu", "tanh").index(name)]
        color, marker = (("#0072B2", "o"), ("#D55E00", "s"))[ELR.index(elr)]
        unit = mean(found[torch.float64, FAR])[0]
        values = np.array([mean(found[torch.float64, a]) for a in ANGLES]).T / unit
        upper.errorbar(
            ANGLES * (1.0, 1.2)[ELR.index(elr)],
            *values,
            fmt=marker,
            ms=3.5,
            lw=0.9,
            color=color,
            label=rf"$\eta_e = {elr}$",
        )
        upper.axhline(mean(found["autograd"])[0] / unit, color=color, ls="--", lw=0.9)
        one = [found[torch.float64, a].std() / unit for a in ANGLES]
        rounding = [(found[torch.float32, a] - found[torch.float64, a]).std() / unit for a in ANGLES]
        lower.loglog(ANGLES, one, marker=marker, ms=3.5, lw=0.9, color=color)
        lower.loglog(ANGLES, rounding, marker=marker, ms=3.5, lw=0.9, mfc="none", ls=":", color=color)
        upper.set_title(f"{name}, 64-20-10")
        lower.set_xlabel(r"angle $\theta$ (rad)")
    for ax in axes.flat:
        ax.axvspan(NEAR, FAR, color="0.9", lw=0)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set(ylim=(0.5, 1.6), xscale="log", ylabel=rf"$\Delta L$ over that at $\theta = {FAR}$")
    axes[0, 0].legend(frameon=False, fontsize=8, title="dashed: autograd", title_fontsize=8)
    axes[1, 0].set_ylabel("scatter of one estimate,\nrelative")
    axes[1, 1].text(1.2e-5, 1e-7, "dotted: rounding in float32", fontsize=8)
    axes[1, 1].text(1.2e-5, 0.6, "solid: batch and probe", fontsize=8)
    return drawing


def write(tables: dict[str, tuple[str, Rows]]) -> None:
    """Put tables, each with its heads joined by |, into the page between ``<!-- NAME -->`` and ``<!-- end -->``."""
    page = HERE.parent / "explanation" / "laplacian.md"
    text = page.read_text(encoding="utf-8")
    for name, (heads, rows) in tables.items():
        lines = [f"| {heads} |", "|" + "---|" * (heads.count("|") + 1), *(f"| {' | '.join(row)} |" for row in rows)]
        before, rest = text.split(f"<!-- {name} -->\n")
        text = f"{before}<!-- {name} -->\n\n" + "\n".join(lines) + "\n\n" + rest[rest.index("<!-- end -->") :]
    page.write_text(text, encoding="utf-8")


def main() -> None:
    """Train, measure, draw, write."""
    torch.set_num_threads(1)
    results, flat, apart, single, hot, cost = {}, [], [], [], [], []
    for name in ("relu", "tanh"):
        network = wg.networks.mlp((20,), activation=name)
        trace = trained(network)
        directions = torch.tensor(trace["directions"].values[:, 0].astype(float))
        for elr, weights in zip(ELR, directions, strict=True):
            found = results[name, elr] = sweep(network, weights)
            flat += plateau(name, elr, found)
            apart.append(losses_against_gradients(name, elr, found))
            spread = (weights - weights.mean(0)).square().sum(1).mean().sqrt().item()
            single.append([name, f"{elr}", *scatter(network, weights[-1]), f"{spread:.3f}"])
        cost = cost or costs(network, directions[0])
        hot += temperatures(f"64-20-10, {name}", trace)
        hot += temperatures(f"64-6-6-10, {name}", trained(wg.networks.mlp((6, 6), activation=name)))
    figure(results).savefig(HERE / "laplacian.png")
    write(
        {
            "plateau": (
                "activation | η_e | angle θ | ΔL | above autograd | scatter of one estimate | float32 | tr HΣ",
                flat,
            ),
            "losses": (
                f"activation | η_e | losses, θ = {FAR} | gradients, θ = {FAR} | autograd | first above second",
                apart,
            ),
            "scatter": (
                "activation | η_e | one batch, all coordinates | the same, mean of 400 probes | scatter by the probe | "
                "by the batch | by both | spread of the weights, rad",
                single,
            ),
            "cost": ("what | time | in gradients", cost),
            "temperatures": (
                "network | η_e | T_conf/T_g in all | by layer | alignment | energy balance | d_eff | "
                "η_e tr HΣ/(2 tr Σ)",
                hot,
            ),
        }
    )


if __name__ == "__main__":
    main()
