"""Figures and how they are printed."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Iterable


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    key: str
    what: str
    unit: str
    #: Whether more is better; none if it is only for information.
    more_is_better: bool | None = None
    goal: str = ""


@dataclass
class Report:
    """All figures of a sitting, by line and by system."""

    systems: list[str]
    lines: dict[str, Figure] = field(default_factory=dict)
    values: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)

    def add(self, system: str, figure: Figure, value: float) -> None:
        """Notes one measurement."""
        self.lines.setdefault(figure.key, figure)
        self.values[figure.key, system].append(value)

    def note(self, text: str) -> None:
        """Something that a reader has to know."""
        self.notes.append(text)

    def news(self, known: dict[tuple[str, str], int]) -> list[str]:
        """What was added since there were so many values of each, for those who watch."""
        return [
            f"{self.lines[key].what}: {', '.join(number(value) for value in values[known.get((key, system), 0):])} {self.lines[key].unit}"
            for (key, system), values in self.values.items()
            if len(values) > known.get((key, system), 0)
        ]

    def table(self) -> str:
        """Everything, as a table in Markdown."""
        head = ["figure", *self.systems]
        both = len(self.systems) == 2
        if both:
            head.append("times better")
        head.append("goal")
        rows = [head]
        for key, figure in self.lines.items():
            cells = [f"{figure.what} ({figure.unit})"]
            medians: list[float | None] = []
            for system in self.systems:
                values = self.values.get((key, system), [])
                cells.append(spread(values))
                medians.append(statistics.median(values) if values else None)
            if both:
                cells.append(ratio(figure, medians[0], medians[1]))
            cells.append(figure.goal)
            rows.append(cells)
        return "\n".join([*align(rows), "", *(f"- {note}" for note in self.notes)])


def spread(values: list[float]) -> str:
    """Median, with smallest and largest value where there are several."""
    if not values:
        return ""
    text = number(statistics.median(values))
    if len(values) > 1 and max(values) - min(values) > 0.005 * abs(statistics.median(values)):
        text += f" ({number(min(values))} – {number(max(values))})"
    return text


def number(value: float) -> str:
    """Three digits, or all before the point."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    if abs(value) >= 1:
        return f"{value:.2f}"
    return f"{value:.3f}" if abs(value) >= 0.01 else f"{value:.2g}"


def ratio(figure: Figure, ours: float | None, theirs: float | None) -> str:
    """How many times better the first system is."""
    if figure.more_is_better is None or not ours or not theirs:
        return ""
    return number(ours / theirs if figure.more_is_better else theirs / ours)


def align(rows: list[list[str]]) -> Iterable[str]:
    """A Markdown table whose columns stand below each other."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for index, row in enumerate(rows):
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        if index == 0:
            yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"
