"""What a measurement is, and what several of them come to."""

import random
import statistics
from dataclasses import dataclass, field


@dataclass
class Sample:
    """One peer in one round of one row."""

    figure: float  # in the row's unit
    rps: float | None = None
    p99_ms: float | None = None
    extra: dict = field(default_factory=dict)  # further numbers, for the row's note
    faults: list = field(default_factory=list)  # why this must not count
    facts: dict = field(default_factory=dict)  # what was negotiated and the like
    foreign: float = 0.0  # cores used by others meanwhile
    steal: float = 0.0
    noisy: bool = False


def _median(values):
    known = [v for v in values if v is not None]
    return statistics.median(known) if known else None


@dataclass
class Summary:
    """One peer in one row: medians over the rounds."""

    figure: float | None
    spread: float | None  # (highest - lowest) / median
    rps: float | None
    p99_ms: float | None
    extra: dict
    faults: list
    noisy: int  # rounds with too much else going on
    rounds: int
    facts: dict
    against: dict = field(default_factory=dict)  # name: (ratio, lowest, highest) of a pair, round by round


def summarise(samples):
    """Medians, each of its own. A fault in any round is a fault of the whole: nothing is dropped silently."""
    figures = [s.figure for s in samples if s.figure == s.figure]
    figure = _median(figures)
    keys = {key for s in samples for key in s.extra}
    faults = []
    for s in samples:
        faults += [f for f in s.faults if f not in faults]
    return Summary(
        figure=figure,
        spread=(max(figures) - min(figures)) / figure if figure else None,
        rps=_median(s.rps for s in samples),
        p99_ms=_median(s.p99_ms for s in samples),
        extra={key: _median(s.extra.get(key) for s in samples) for key in sorted(keys)},
        faults=faults,
        noisy=sum(s.noisy for s in samples),
        rounds=len(samples),
        facts=samples[-1].facts if samples else {},
    )


RESAMPLES = 2000


def paired(ours, theirs):
    """(ratio, lowest, highest likely one) of two peers that were measured in turn; None with too few rounds.

    Each round gives one ratio, so what changes from round to round falls out. Of these the median of all means of two
    (Hodges and Lehmann), which one odd round does not move; and the range that holds it in 95 of 100 drawings of as many
    rounds from these.
    """
    ratios = [a.figure / b.figure for a, b in zip(ours, theirs) if a.figure > 0 and b.figure > 0]
    if len(ratios) < 3:
        return None
    drawn = random.Random(1)  # the same figures give the same range
    means = sorted(_middle(drawn.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    return _middle(ratios), means[RESAMPLES // 40], means[-RESAMPLES // 40]


def _middle(values):
    return statistics.median((a + b) / 2 for n, a in enumerate(values) for b in values[n:])


def ratio(row, name="seawall"):
    """(figure of `name` over the best other figure, who that is), counting only peers without faults."""
    others = {n: s.figure for n, s in row.items() if n != name and not s.faults and s.figure}
    ours = row.get(name)
    if not others or not ours or ours.faults or ours.figure is None:
        return None, None
    best = min(others, key=others.get)
    return ours.figure / others[best], best
