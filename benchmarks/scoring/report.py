"""What a measurement says: tables in Markdown, rows for JSON, and the bars."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Bar", "Part", "Table", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table, all of whose cells are text."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """Return it in Markdown."""
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        body = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        return f"**{self.title}**\n\n{body}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Something that has to hold: `value` at most or at least `limit`; a value of None doesn't hold."""

    text: str
    value: float | None
    limit: float
    at_most: bool

    @property
    def met(self) -> bool:
        """Whether it holds."""
        if self.value is None:
            return False
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def line(self) -> str:
        """Return it in words."""
        value = "none" if self.value is None else f"{self.value:.3f}"
        return f"{'met ' if self.met else 'MISS'}  {self.text}: {value}, at {self._side()} {self.limit:g} wanted"

    def _side(self) -> str:
        return "most" if self.at_most else "least"

    def to_json(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"bar": self.text, "value": self.value, "limit": self.limit, "at": self._side(), "met": self.met}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of the benchmark's measurements: its figures, each with its unit in its name, as rows and as tables."""

    name: str
    tables: Sequence[Table]
    rows: Sequence[dict[str, Any]]
    bars: Sequence[Bar]

    def to_json(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"part": self.name, "rows": list(self.rows), "bars": [bar.to_json() for bar in self.bars]}


def text(part: Part) -> str:
    """Return a part's tables, and its bars below them."""
    return "\n".join([*(table.text() for table in part.tables), *(bar.line() for bar in part.bars), ""])
