"""Makes statistics.json: what scipy and statsmodels say, for the tests of `statistics`.

Run by hand: python make.py > statistics.json, with scipy 1.17 and statsmodels 0.15.
"""

from __future__ import annotations

import json
import warnings

import numpy
import scipy
import statsmodels
from scipy.optimize import brentq
from scipy.stats import binom, boschloo_exact, bootstrap, fisher_exact
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_confint, proportion_effectsize

warnings.simplefilter("ignore")
COUNTS = [(0, 24), (1, 24), (15, 24), (22, 24), (24, 24), (73, 96), (476, 500), (1922, 2000)]
SIDES = {"Lower": "less", "Higher": "greater", "Either": "two-sided"}
SAMPLES = [
    ((7, 20), (14, 20)),
    ((14, 20), (7, 20)),
    ((15, 24), (22, 24)),
    ((3, 10), (9, 17)),
    ((25, 50), (29, 50)),
    ((458, 500), (476, 500)),
    # The table before, laid the other way round: successes and failures in place of the arms.
    ((458, 934), (42, 66)),
]
PAIRS = [(300, 3, 12, 185), (80, 5, 5, 10), (20, 0, 4, 0), (900, 40, 22, 38), (0, 1, 0, 23)]


def intervals() -> list[dict]:
    """Clopper-Pearson's and Jeffreys' intervals."""
    rows = []
    for k, n in COUNTS:
        row = {"k": k, "n": n}
        for name, method in [("wilson", "wilson"), ("exact", "beta"), ("jeffreys", "jeffreys")]:
            row[name] = [float(end) for end in proportion_confint(k, n, 0.05, method)]
        rows.append(row)
    return rows


def unpaired() -> list[dict]:
    """Fisher's and Boschloo's p values; scipy wants the samples in columns."""
    rows = []
    for (k, n), (j, m) in SAMPLES:
        table = [[k, j], [n - k, m - j]]
        for side, alternative in SIDES.items():
            fisher = fisher_exact(table, alternative).pvalue
            boschloo = boschloo_exact(table, alternative, n=256).pvalue
            rows.append({"a": [k, n], "b": [j, m], "side": side})
            rows[-1].update({"fisher": float(fisher), "boschloo": float(boschloo)})
    return rows


def tango(both: int, only_a: int, only_b: int, neither: int) -> list[float]:
    """Tango's interval from its likelihood: no library of Python has it."""
    n = both + only_a + only_b + neither
    observed = (only_a - only_b) / n

    def score(delta: float) -> float:
        def slope(q: float) -> float:
            # The derivative of only_a log(q + delta) + only_b log(q) + rest log(1 - 2 q - delta).
            rest = n - only_a - only_b
            parts = [(only_a, 1, q + delta), (only_b, 1, q), (rest, -2, 1 - 2 * q - delta)]
            return sum(count * sign / max(base, 1e-300) for count, sign, base in parts)

        low, high = max(0.0, -delta) + 1e-15, (1 - delta) / 2 - 1e-15
        if slope(low) <= 0:
            q = low
        elif slope(high) >= 0:
            q = high
        else:
            q = brentq(slope, low, high, xtol=1e-16)
        return (observed - delta) / numpy.sqrt((2 * q + delta - delta**2) / n)

    z = 1.959963984540054
    edge = 1 - 1e-9
    low = -1.0 if score(-edge) < z else brentq(lambda d: score(d) - z, -edge, observed - 1e-9)
    high = 1.0 if score(edge) > -z else brentq(lambda d: score(d) + z, observed + 1e-9, edge)
    return [float(low), float(high)]


def paired() -> list[dict]:
    """McNemar's p values and Tango's interval."""
    rows = []
    for both, only_a, only_b, neither in PAIRS:
        p = mcnemar([[both, only_a], [only_b, neither]], exact=True).pvalue
        fewer, lonely = min(only_a, only_b), only_a + only_b
        mid = float(2 * binom.cdf(fewer, lonely, 0.5) - binom.pmf(fewer, lonely, 0.5))
        if only_a == only_b:
            mid = float(1 - binom.pmf(fewer, lonely, 0.5))
        row = {"pairs": [both, only_a, only_b, neither], "mcnemar": min(float(p), 1.0)}
        rows.append(row | {"mid_p": mid, "tango": tango(both, only_a, only_b, neither)})
    return rows


def lengths() -> list[dict]:
    """BCa intervals of average lengths with 100,000 resamples."""
    rows = []
    for counts in [[4, 12, 16, 16, 32, 420], [3, 4, 2, 5, 1, 9], [90, 5, 2, 1, 1, 1]]:
        data = numpy.repeat(numpy.arange(6), counts)
        found = bootstrap(
            (data,), numpy.mean, n_resamples=100_000, method="BCa", rng=1, batch=1000
        ).confidence_interval
        rows.append({"counts": counts, "low": float(found.low), "high": float(found.high)})
    return rows


def sizes() -> list[dict]:
    """Episodes per policy for a power."""
    rows = []
    for a, b, power in [(0.9, 0.95, 0.8), (0.5, 0.75, 0.9), (0.927, 0.937, 0.8)]:
        effect = proportion_effectsize(a, b)
        n = NormalIndPower().solve_power(effect, alpha=0.05, power=power)
        rows.append({"a": a, "b": b, "power": power, "n": int(numpy.ceil(n))})
    return rows


def main() -> None:
    """Prints all of them."""
    p = [0.01, 0.04, 0.03, 0.005, 0.6, 0.04]
    result = {
        "scipy": scipy.__version__,
        "statsmodels": statsmodels.__version__,
        "intervals": intervals(),
        "unpaired": unpaired(),
        "paired": paired(),
        "lengths": lengths(),
        "sizes": sizes(),
        "holm": {"p": p, "corrected": multipletests(p, method="holm")[1].tolist()},
    }
    print(json.dumps(result, indent=1))


main()
