"""How often do the statistics err? Writes the tables of docs/statistics.md from 1000 simulated runs each.

Usage: `python studies/statistics_rates.py`. No data is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from parallax.plugin import plugin_root
from parallax.score.stats.crossed import crossed
from parallax.score.stats.inference import false_claim, holm, signed_rank
from parallax.score.stats.spread import bootstrap_interval

PAGE = plugin_root() / "docs" / "statistics.md"
RUNS = 1000
Values = NDArray[np.float64]

#: Differences with mean 0 and SD 1: symmetric, skewed, heavy-tailed.
SHAPES: dict[str, Callable[[np.random.Generator, int], Values]] = {
    "normal": lambda rng, n: rng.normal(0, 1, n),
    "skewed (gamma 2)": lambda rng, n: (rng.gamma(2, 1, n) - 2) / np.sqrt(2),
    "heavy tails (t, 4 df)": lambda rng, n: rng.standard_t(4, n) / np.sqrt(2),
}


def intervals(values: Values, rng: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    """Interval of the mean by three kinds of bootstrap, 1000 draws each."""
    for name in ("percentile", "BCa"):
        found = bootstrap((values,), np.mean, n_resamples=1000, method=name, rng=rng).confidence_interval
        yield name, found.low, found.high
    yield "studentised (used)", *bootstrap_interval(values[:, None], rng, 1000)


def coverage() -> list[str]:
    rng = np.random.default_rng(0)
    names = ("percentile", "BCa", "studentised (used)")
    lines = [f"| differences | cases | {' | '.join(names)} |", "|---|---|---|---|---|"]
    for shape, draw in SHAPES.items():
        for cases in (6, 10, 20):
            hits = dict.fromkeys(names, 0)
            for _ in range(RUNS):
                for name, low, high in intervals(draw(rng, cases), rng):
                    hits[name] += low <= 0 <= high
            rates = " | ".join(f"{100 * count / RUNS:.1f} %" for count in hits.values())
            lines.append(f"| {shape} | {cases} | {rates} |")
    return lines


def errors() -> list[str]:
    rng = np.random.default_rng(1)
    lines = ["| what is simulated | cases | rate | should be |", "|---|---|---|---|"]

    def add(what: str, cases: int, hits: list[bool], wanted: str) -> None:
        lines.append(f"| {what} | {cases} | {100 * float(np.mean(hits)):.1f} % | {wanted} |")

    for cases in (10, 20):
        same = rng.normal(0, 1, (RUNS, cases))
        add(
            "equal methods, signed-rank p at most 0.05",
            cases,
            [signed_rank(x).p <= 0.05 for x in same],
            "5 %",
        )
        far = rng.normal(1, 1, (RUNS, cases))
        found = [signed_rank(x).p <= 0.05 for x in far]
        wanted = {10: "about 80 %", 20: "about 99 %"}[cases]
        add("difference of one SD, signed-rank p at most 0.05", cases, found, wanted)
    family = rng.normal(0, 1, (RUNS // 4, 12, 7))
    wrong = [min(holm([signed_rank(x[:, k] - x[:, 0]).p for k in range(1, 7)])) <= 0.05 for x in family]
    add("six methods equal to the reference, any Holm p at most 0.05", 12, wrong, "at most 5 %")
    truth = rng.uniform(-2, 2, 4 * RUNS)
    samples = truth[:, None] + rng.normal(0, 1, (4 * RUNS, 10))
    told = np.array([false_claim(x) for x in samples])
    sure = told <= 0.05
    false = (np.sign(samples.mean(axis=1)) != np.sign(truth))[sure]
    add(
        "P(false claim) at most 5 %: claims that are false",
        10,
        list(false),
        f"{100 * told[sure].mean():.1f} %",
    )
    for cases, trainings, sd_run in ((10, 2, 0.1), (10, 3, 0.5), (10, 9, 0.5), (20, 3, 1.0)):
        hits = []
        for _ in range(RUNS):
            values = rng.normal(0, 1, (cases, 1)) + rng.normal(0, sd_run, trainings)
            low, high = crossed(values + rng.normal(0, 0.5, (cases, trainings))).interval()
            hits.append(bool(low <= 0 <= high))
        add(f"interval over cases and {trainings} trainings of SD {sd_run}, coverage", cases, hits, "95 %")
    return lines


def main() -> None:
    text = "\n".join(coverage()) + "\n\n" + "\n".join(errors())
    print(text)
    if PAGE.exists():
        head = PAGE.read_text(encoding="utf-8").split("<!-- tables -->")[0]
        PAGE.write_text(f"{head}<!-- tables -->\n\n{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
