"""What paired differences [cases] can carry: a test, its correction, an effect size, the risk of an error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from parallax.score.stats.spread import Values

#: Level of every test and of every claim.
ALPHA = 0.05

#: Differences closer to zero than this are ties: what is left of equal values after averaging.
_TIE = 1e-12


@dataclass(frozen=True)
class SignedRank:
    """Wilcoxon's signed-rank test of paired differences, two-sided.

    `p` is 1 where no difference is left; `zeros` were left out of the ranks; `effect` is the matched-pairs
    rank-biserial correlation, from -1 (all ranks below zero) to 1 (all above).
    """

    p: float
    effect: float
    zeros: int


def signed_rank(differences: Values) -> SignedRank:
    """The test on differences [cases]: exact up to 50 cases without ties, else scipy's approximation.

    Zeros are left out before ranking (Wilcoxon 1945), which is why they are counted. The effect size is
    (W+ - W-) / (W+ + W-) (Kerby 2014).
    """
    from scipy.stats import rankdata, wilcoxon

    kept = differences[np.abs(differences) > _TIE]
    zeros = len(differences) - len(kept)
    if len(kept) == 0:
        return SignedRank(1.0 if zeros else math.nan, 0.0 if zeros else math.nan, zeros)
    ranks = rankdata(np.abs(kept))
    exact = len(kept) <= 50 and len(np.unique(ranks)) == len(ranks)
    p = wilcoxon(kept, method="exact" if exact else "auto").pvalue
    return SignedRank(float(p), float((np.sign(kept) * ranks).sum() / ranks.sum()), zeros)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected after Holm (1979) over all that are finite; the others stay NaN."""
    from statsmodels.stats.multitest import multipletests

    p = np.asarray(p_values, dtype=np.float64)
    finite = np.isfinite(p)
    if finite.sum() > 1:  # one p value is its own family
        p[finite] = multipletests(p[finite], method="holm")[1]
    return [float(value) for value in p]


def false_claim(differences: Values) -> float:
    """Probability that "the one with the higher mean is better" is false, from differences [cases].

    Posterior probability, under the uninformative prior 1/sigma for normal differences, that the expected
    difference has the other sign than the mean of the sample: a t distribution with cases - 1 degrees of
    freedom around the mean (Gelman et al. 2013, 3.2). At most 0.5. NaN below two cases.

    The aim is that of arXiv 2505.04720 ("False Promises"), which starts from published means. Its public
    repository (IMSY-DKFZ/probability-of-false-claims@808fd51) holds no code of it, so this one is ours.
    """
    from scipy.stats import t

    n = len(differences)
    if n < 2:
        return math.nan
    mean, error = float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(n)
    if error <= _TIE:
        return 0.0 if abs(mean) > _TIE else 0.5
    return float(t.sf(abs(mean) / error, n - 1))


def cases_needed(comparisons: int, alpha: float = ALPHA) -> int:
    """Least number of cases at which Holm's strictest step can be passed at all.

    The smallest two-sided p value of the signed-rank test with n cases is 2 / 2^n, and the smallest of
    `comparisons` p values is multiplied by their number: 6 cases for one comparison, 9 for ten.
    """
    return math.ceil(math.log2(2 * max(comparisons, 1) / alpha) - 1e-9)


def equivalent(differences: Values, margin: float) -> float:
    """p value of two one-sided t tests that the expected difference lies within -margin to margin (TOST).

    Schuirmann 1987: the larger of the two p values. 0 where all differences are equal and inside.
    """
    from scipy.stats import t

    n = len(differences)
    if n < 2:
        return math.nan
    mean, error = float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(n)
    if error <= _TIE:
        return 0.0 if abs(mean) < margin else 1.0
    return float(max(t.sf((mean + margin) / error, n - 1), t.sf((margin - mean) / error, n - 1)))
