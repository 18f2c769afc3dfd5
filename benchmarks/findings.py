"""What a benchmark finds: figures, curves and timelines."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

OURS = "tokenward"


@dataclass(frozen=True, slots=True)
class Result:
    """One figure beside its bar.

    Attributes:
        row: What was measured.
        figure: The ratio, count or size; ``None``: it could not be measured, and ``detail`` says
            why.
        unit: What the figure is of.
        bar: What it must not miss; ``None``: there is nothing to miss, or it is somebody else's.
        side: Whether the figure must be at most or at least the bar.
        detail: The absolute values behind the ratio.
        by: Whose figure it is: ``tokenward``, or a peer with its release and what it does; ours
            may go on after a comma. Short, for it stands beside the bar.
        topic: The plot that it is drawn in. Empty: it stands in the table only.
        case: The panel of the plot. Results of one topic, case and unit are drawn beside each
            other, and so must share their floor.
        spread: The quartiles of the rounds, first and third; ``None``: there was one round, or it
            is a count.
    """

    row: str
    figure: float | None
    unit: str
    bar: float | None
    side: Literal["<=", ">="] = "<="
    detail: str = ""
    by: str = OURS
    topic: str = ""
    spread: tuple[float, float] | None = None
    case: str = ""

    @property
    def ours(self) -> bool:
        """Whether it is tokenward's own figure."""
        return self.by.split(",")[0] == OURS

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; ``None``: there is nothing to tell."""
        if self.figure is None or self.bar is None:
            return None
        return self.figure <= self.bar if self.side == "<=" else self.figure >= self.bar

    def as_dict(self) -> dict[str, Any]:
        """Return every field and the verdict."""
        return asdict(self) | {"met": self.met}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Return what `as_dict` was called on; what is reckoned may be missing."""
        given = {name: value for name, value in fields.items() if name != "met"}
        return cls(**given | {"spread": _pair(fields.get("spread"))})


@dataclass(frozen=True, slots=True)
class Point:
    """A value at a size, with the quartiles of its rounds where there were some."""

    x: float
    y: float
    spread: tuple[float, float] | None = None

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Return the point of these fields."""
        return cls(fields["x"], fields["y"], _pair(fields.get("spread")))


@dataclass(frozen=True, slots=True)
class Line:
    """One candidate's points.

    Attributes:
        name: Who, or what; in the legend.
        points: At least two, in order of their ``x``.
    """

    name: str
    points: Sequence[Point]

    @property
    def slope(self) -> float:
        """The exponent of growth: ``y`` goes with ``x`` to this power; 0 is flat, 1 is linear.

        It is the slope of the straight line through the logarithms (least squares); ``nan`` where
        there is none: of fewer than two sizes, or with a value that is not above zero.
        """
        xs, ys = [point.x for point in self.points], [point.y for point in self.points]
        if len(set(xs)) < 2 or min(*xs, *ys) <= 0:
            return math.nan
        return statistics.linear_regression([*map(math.log, xs)], [*map(math.log, ys)]).slope

    @property
    def factor(self) -> float:
        """The last value over the first: what the whole growth costs; ``nan`` if that is zero."""
        first, last = self.points[0].y, self.points[-1].y
        return last / first if first else math.nan

    def as_dict(self) -> dict[str, Any]:
        """Return every field, the slope and the factor; ``None`` where there is none."""
        reckoned = {"slope": self.slope, "factor": self.factor}
        return asdict(self) | {
            name: None if math.isnan(value) else value for name, value in reckoned.items()
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Return what `as_dict` was called on."""
        return cls(fields["name"], tuple(Point.from_dict(one) for one in fields["points"]))


@dataclass(frozen=True, slots=True)
class Curve:
    """How a cost grows: lines over one size; a plot of its own.

    Attributes:
        name: Of the file: letters, digits and hyphens.
        title: What is shown, as a sentence that says what was found.
        x: What the horizontal axis counts.
        y: What the vertical axis measures, with its unit.
        lines: Ours first.
        detail: How it was measured, in a sentence.
    """

    name: str
    title: str
    x: str
    y: str
    lines: Sequence[Line]
    detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return every field, and each line's slope and factor."""
        return asdict(self) | {"lines": [line.as_dict() for line in self.lines]}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Return what `as_dict` was called on."""
        lines = tuple(Line.from_dict(line) for line in fields["lines"])
        return cls(**{**fields, "lines": lines})


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened: ``start`` and ``end`` in seconds of the timeline."""

    start: float
    end: float
    label: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """What happened second by second; a plot of its own.

    Attributes:
        name: Of the file: letters, digits and hyphens.
        title: What is shown, as a sentence that says what was found.
        y: What the vertical axis counts or measures, with its unit.
        seconds: When each value was taken, or began to be counted.
        kinds: The values of each kind, as many as there are ``seconds``.
        marks: What was done to whom meanwhile.
        stacked: Whether the kinds add up to a whole, such as answers by status.
        detail: How it was measured, in a sentence.
    """

    name: str
    title: str
    y: str
    seconds: Sequence[float]
    kinds: Mapping[str, Sequence[float]]
    marks: Sequence[Mark] = field(default_factory=tuple)
    stacked: bool = False
    detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return every field."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Return what `as_dict` was called on."""
        return cls(**{**fields, "marks": tuple(Mark(**mark) for mark in fields["marks"])})


Finding = Result | Curve | Timeline


def _pair(values: Sequence[float] | None) -> tuple[float, float] | None:
    if values is None:
        return None
    first, third = values
    return first, third
