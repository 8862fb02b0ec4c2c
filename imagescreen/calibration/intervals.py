"""How far the true rate behind a threshold may be from the one that was promised."""

import math

import msgspec

_TINY = 1e-300
_RELATIVE = 1e-12
_MOST_TERMS = 100_000
_HALVINGS = 60


class Interval(msgspec.Struct, frozen=True):
    """From `low` to `high`, e.g. shares."""

    low: float
    high: float


def rate_interval(above: int, packages: int, *, thresholds: int = 1, confidence: float = 0.95) -> Interval:
    """Where the true share of ordinary packages above thresholds lies, when `above` of the `packages` (n) that the
    thresholds were measured on are above.

    A threshold that is one of the measured values, with `above` others over it, is exceeded by a share that is
    distributed as Beta(above + 1, n - above), whatever the distribution of scores (Vovk, Conditional validity of
    inductive conformal predictors, 2012; Angelopoulos and Bates, 2021, section 3.2): its quantiles are the
    interval. For what exceeds any of several `thresholds`, each of which is one of the measured values, the interval is
    wider: its upper end gives each threshold a statistically equivalent block of its own (Tukey, Non-parametric
    estimation II, 1947), its lower end is that of Clopper and Pearson (1934).
    """
    tail = (1 - confidence) / 2
    low = above + 1 if thresholds == 1 else above
    high = above + thresholds
    return Interval(
        beta_quantile(tail, low, packages + 1 - low) if low else 0.0,
        beta_quantile(1 - tail, high, packages + 1 - high) if high <= packages else 1.0,
    )


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The value that a Beta(a, b) variable is at or below with that probability, found by halving."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if incomplete_beta(a, b, middle) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b) for a, b > 0: the distribution function of Beta(a, b)."""
    if not 0 < x < 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        # The fraction converges fast on the other side only; I_x(a, b) = 1 - I_(1-x)(b, a), DLMF 8.17.4.
        return 1 - incomplete_beta(b, a, 1 - x)
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(logarithm) / (a * _fraction(a, b, x))


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction 1 + d1/(1 + d2/(1 + ...)) of DLMF 8.17.22, by the modified method of Lentz."""
    value, c, d = 1.0, 1.0, 0.0
    for term in range(1, _MOST_TERMS):
        m = term // 2
        if term % 2:
            coefficient = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            coefficient = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / _nonzero(1 + coefficient * d)
        c = _nonzero(1 + coefficient / c)
        value *= c * d
        if abs(c * d - 1) < _RELATIVE:
            break
    return value


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
