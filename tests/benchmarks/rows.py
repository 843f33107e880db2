"""What a benchmark finds out: samples, rows, and the table of them."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import monotonic

Samples = list[float]
# Takes the measurements of one side once: samples by the name of what was measured.
Side = Callable[[], dict[str, Samples]]


class Wrong(Exception):
    """A side failed, or the sides gave different answers: there is nothing to compare."""


class OutOfTime(Exception):
    """The time that is allowed is used up."""


@dataclass
class Row:
    """One line of the table. `here` and `reference` are samples; none means that the side cannot be measured here."""

    what: str
    unit: str
    here: Samples | None = None
    reference: Samples | None = None
    goal: float | None = None
    more_is_better: bool = False
    note: str | None = None

    def ratio(self) -> float | None:
        """How many times better it is here."""
        if not self.here or not self.reference:
            return None
        here, reference = median(self.here), median(self.reference)
        over, under = (here, reference) if self.more_is_better else (reference, here)
        return over / under if under > 0 else None

    def met(self) -> bool | None:
        """Whether the median here reaches the goal."""
        if self.goal is None or not self.here:
            return None
        return median(self.here) >= self.goal if self.more_is_better else median(self.here) <= self.goal

    def as_json(self) -> dict:
        """The row for machines; values are medians, ranges are the least and the greatest sample."""
        return {
            "what": self.what,
            "unit": self.unit,
            "here": rounded(median(self.here)) if self.here else None,
            "here_range": [rounded(min(self.here)), rounded(max(self.here))] if self.here else None,
            "reference": rounded(median(self.reference)) if self.reference else None,
            "reference_range": [rounded(min(self.reference)), rounded(max(self.reference))] if self.reference else None,
            "ratio": rounded(self.ratio()),
            "better": "more" if self.more_is_better else "less",
            "goal": self.goal,
            "met": self.met(),
            "note": self.note,
        }

    def cells(self) -> list[str]:
        """The row for people."""
        goal = "" if self.goal is None else f"{'>=' if self.more_is_better else '<='} {shown(self.goal)}"
        ratio = self.ratio()
        met = {None: "", True: "yes", False: "no"}[self.met()]
        return [self.what, self.unit, spread(self.here), spread(self.reference), f"{shown(ratio)} x" if ratio else "-", goal, met]


def paired(here: Side, reference: Side | None, rounds: int, seconds: float) -> tuple[dict[str, Samples], dict[str, Samples]]:
    """Measures both sides in turn, so that what else the machine does falls on both: so many rounds, or fewer when time is up."""
    sides = [(here, {}), (reference, {})]
    try:
        for side, _ in sides:
            if side:
                side()  # The first time pays for cold caches; it does not count.
        give_up = monotonic() + seconds
        for number in range(rounds):
            if number and monotonic() > give_up:
                break
            for side, samples in sides:
                for name, taken in (side() if side else {}).items():
                    samples.setdefault(name, []).extend(taken)
    except OutOfTime:
        # What was measured until then is worth having.
        if not sides[0][1]:
            raise
    return sides[0][1], sides[1][1]


def table(rows: list[Row]) -> str:
    """All rows, aligned, and the notes below."""
    head = ["what", "unit", "here", "reference", "ratio", "goal", "met"]
    lines = [head] + [row.cells() for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    text.append("Median (least..greatest); ratio: how many times better here; -: not measured: that side is not here, or there was no time left.")
    text += [f"{row.what}: {row.note}" for row in rows if row.note]
    return "\n".join(text)


def spread(samples: Samples | None) -> str:
    """Median, and what it lies between."""
    if not samples:
        return "-"
    if len(samples) == 1:
        return shown(samples[0])
    return f"{shown(median(samples))} ({shown(min(samples))}..{shown(max(samples))})"


def shown(number: float) -> str:
    """Three digits that matter."""
    if number == 0 or abs(number) >= 100:
        return f"{number:.0f}"
    return f"{number:.3g}"


def rounded(number: float | None) -> float | None:
    """Without digits that nobody measured."""
    return None if number is None else float(f"{number:.5g}")
