"""Write ``vmf_table.json``: the von Mises-Fisher gas by quadrature to 25 digits, independent of any Bessel function.

Run ``python tests/theory/vmf_table.py`` (mpmath, some minutes). With the polar angle theta about the mean direction and
u = 1 - cos(theta) = 2 sin(theta/2)^2 the energy, the density is proportional to exp(-kappa u) sin(theta)^(dim-2); its
integral, mean and variance are taken over 30 widths to either side of its peak, all in 60-digit arithmetic.
"""

import json
from pathlib import Path

from mpmath import asin, inf, linspace, log, loggamma, mp, mpf, nstr, pi, quad, sin, sqrt

TABLE = Path(__file__).with_name("vmf_table.json")
COLUMNS = ["dim", "temperature", "energy", "entropy", "log_partition", "helmholtz", "energy_variance", "heat_capacity"]
DIMS = [2, 3, 4, 5, 10, 31, 33, 34, 35, 36, 100, 1000, 43692, 97200, 2790240, 3000000]
KAPPAS = [1e-300, 1e-12, 1e-3, 0.1, 1.0, 3.0, 10.0, 100.0, 1e4, 1e6, 2e9, 1e12, 1e300]
KAPPAS_OVER_DIM = [1e-3, 0.1, 0.5, 1.0, 2.0, 10.0, 1e3]
KAPPAS_OVER_DIM_SQUARED = [0.1, 1.0, 10.0]


def row(dim: int, temperature: float) -> list:
    """One row of the table, in the order of ``COLUMNS``."""
    kappa, power = 1 / mpf(temperature), mpf(dim - 2)
    root = sqrt(power**2 + 4 * kappa**2)
    peak_gap = (power + power**2 / (root + 2 * kappa)) / (power + root)  # 1 - cos(theta) at the peak
    peak = 2 * asin(sqrt(peak_gap / 2))
    curvature = kappa * (1 - peak_gap) + (power / sin(peak) ** 2 if power else 0)
    width = 1 / sqrt(curvature)
    pieces = linspace(max(-peak / width, mpf(-30)), min((pi - peak) / width, mpf(30)), 25)
    unit = peak_gap + min(width, 1) ** 2  # the size of the energy: quad's error goal is absolute

    def gap(x):
        return 2 * sin((peak + width * x) / 2) ** 2

    def log_weight(x):
        sine = sin(peak + width * x)
        shape = power * log(sine) if sine > 0 else (-inf if power else mpf(0))
        return -kappa * gap(x) + shape

    height = log_weight(mpf(0))

    def mean(function):
        return quad(lambda x: function(x) * mp.exp(log_weight(x) - height), pieces, method="gauss-legendre")

    total = mean(lambda x: mpf(1))
    energy = unit * mean(lambda x: gap(x) / unit) / total
    variance = energy**2 * mean(lambda x: (gap(x) / energy - 1) ** 2) / total
    half = mpf(dim - 1) / 2
    log_area = log(2) + half * log(pi) - loggamma(half)  # of the sphere S^(dim-2)
    log_partition_minus_kappa = log_area + log(total * width) + height
    entropy = log_partition_minus_kappa + kappa * energy
    log_partition = log_partition_minus_kappa + kappa
    helmholtz = -log_partition_minus_kappa / kappa
    values = energy, entropy, log_partition, helmholtz, variance, variance * kappa**2
    return [dim, temperature, *(nstr(value, 25) for value in values)]


def main() -> None:
    """Write the table, one line per row."""
    mp.dps = 60
    rows = []
    for dim in DIMS:
        scaled = [c * dim for c in KAPPAS_OVER_DIM] + [c * dim**2 for c in KAPPAS_OVER_DIM_SQUARED]
        rows += [row(dim, 1 / kappa) for kappa in sorted({*KAPPAS, *scaled})]
        print(dim, flush=True)
    lines = ",\n".join(json.dumps(line) for line in rows)
    TABLE.write_text(f'{{"columns": {json.dumps(COLUMNS)},\n"rows": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
