"""Geometry for charts that the server draws: numbers in, rectangles out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH = 720
HEIGHT = 160
BAR = 0.7
WIDEST_BAR = 44.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One rectangle; `series` is its place in the legend, from 1."""

    series: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Column:
    """The bars over one label, with their values in words for the table and the tooltip."""

    label: str
    values: list[str]
    text: str
    x: float
    pitch: float
    bars: list[Bar]


@dataclass(frozen=True, slots=True)
class BarChart:
    title: str
    series: list[str]
    columns: list[Column]
    peak: str
    lines: list[float]
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def first(self) -> str:
        return self.columns[0].label if self.columns else ""

    @property
    def last(self) -> str:
        return self.columns[-1].label if self.columns else ""


def bar_chart(
    title: str,
    series: Sequence[str],
    columns: Sequence[tuple[str, Sequence[int]]],
    form: Callable[[int], str] = str,
) -> BarChart:
    """Stacked bars: `columns` are (label, one value for each of `series`); `form` words a value."""
    highest = max((sum(values) for _, values in columns), default=0)
    pitch = WIDTH / max(len(columns), 1)
    return BarChart(
        title=title,
        series=list(series),
        columns=[
            _column(label, values, series, form, x=index * pitch, pitch=pitch, highest=highest)
            for index, (label, values) in enumerate(columns)
        ],
        peak=form(highest),
        lines=[0.5, HEIGHT / 2, HEIGHT - 0.5],
    )


def _column(
    label: str,
    values: Sequence[int],
    series: Sequence[str],
    form: Callable[[int], str],
    *,
    x: float,
    pitch: float,
    highest: int,
) -> Column:
    bars: list[Bar] = []
    top = float(HEIGHT)
    width = min(pitch * BAR, WIDEST_BAR)
    for place, value in enumerate(values, start=1):
        if not value:
            continue
        # A value that is there is seen: at least two units tall.
        height = max(HEIGHT * value / highest, 2.0)
        top -= height
        bars.append(
            Bar(
                place,
                round(x + (pitch - width) / 2, 2),
                round(max(top, 0.0), 2),
                round(width, 2),
                round(height, 2),
            )
        )
    words = [form(value) for value in values]
    said = ", ".join(f"{name} {word}" for name, word in zip(series, words, strict=True))
    return Column(label, words, f"{label}: {said}", round(x, 2), round(pitch, 2), bars)
