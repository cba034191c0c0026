"""The rewards arena as one HTML page that needs nothing else: what each cheat earned under each scorer."""

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from subnet.arena.rewards.cell import NO_CHEAT
from subnet.arena.rewards.table import Row

_BOUNDS = (0.01, 0.1, 0.25, 0.5, 1.0, 2.0)
"""From which profit on the next worse colour begins."""
_ROW, _LEFT, _WIDTH = 20, 170, 720
"""Of the plots, in pixels: height of a cheat's row, room for its name, and whole width."""
_CLIP = 2.0
"""Profits above this are drawn at the plot's edge."""


def page(facts: dict[str, Any], *, table: Sequence[Row], scorers: Sequence[Row]) -> str:
    """Return the page.

    Args:
        facts: what was played.
        table: rows of `table.rows`.
        scorers: rows of `table.summary`.
    """
    style = files("subnet.arena").joinpath("page.css").read_text(encoding="utf-8")
    title = f"What cheating earns: {facts['n_cheats']} cheats under {facts['n_scorers']} scorers"
    partitions = dict.fromkeys(row["partition"] for row in table)
    return "".join(
        [
            "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
            "<meta name='viewport' content='width=device-width, initial-scale=1'>",
            f"<title>{escape(title)}</title><style>{style}</style></head><body><main><h1>{escape(title)}</h1>",
            _facts(facts),
            _summary(scorers),
            *(_division(name, [row for row in table if row["partition"] == name]) for name in partitions),
            "</main></body></html>",
        ]
    )


def _facts(facts: dict[str, Any]) -> str:
    lines = {
        "task": f"{facts['subnet']} ({facts['task']}), spec {facts['spec'][:12]}",
        "participants": f"{facts['n_clients']}, {facts['n_cheating']} of them cheat, one kind at a time",
        "rounds": facts["n_rounds"],
        "seeds a cell": facts["n_seeds"],
        "version": f"flower-subnet {facts['version']}, rewards arena {facts['arena_version']}",
    }
    items = "".join(f"<li>{escape(name)} <b>{escape(str(value))}</b></li>" for name, value in lines.items())
    return f"<ul class='facts'>{items}</ul>"


def _summary(scorers: Sequence[Row]) -> str:
    heads = ("scorer", "data", "by", "worst profit", "cheats' share, %", "accuracy lost, points", "honest struck")
    head = _row("th", heads, n_text=3)
    body = "".join(
        _row(
            "td",
            [
                row["scorer"],
                row["partition"],
                row["worst_cheat"] or "–",
                _number(row["worst_profit_ratio"], 2),
                _number(row["cheat_share_percent"], 2),
                _number(row["most_accuracy_loss_points"], 1),
                str(row["n_honest_struck"]),
            ],
            n_text=3,
        )
        for row in scorers
    )
    note = (
        "Every cheat plays alone against the honest. Share: of all that participants keep, the mean over the "
        "cheats. Profit: a cheat's pay over an honest participant's; 1 is as much as honest work, 0 is nothing."
    )
    return (
        f"<h2>Scorers</h2><p>{note}</p><div class='wrap'><table class='ranking'><thead>{head}</thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _division(name: str, rows: Sequence[Row]) -> str:
    scorers = list(dict.fromkeys(row["scorer"] for row in rows))
    cheats = [one for one in dict.fromkeys(row["cheat"] for row in rows) if one != NO_CHEAT]
    found = {(row["scorer"], row["cheat"]): row for row in rows}
    plots = (
        f"<h3>{escape(scorer)}: profit of each cheat, with 95 % confidence intervals</h3>"
        f"{_plot([found[scorer, cheat] for cheat in cheats if (scorer, cheat) in found])}"
        for scorer in scorers
    )
    return f"<h2>Data: {escape(name)}</h2>{_heat_map(cheats, scorers, found)}{''.join(plots)}"


def _heat_map(cheats: Sequence[str], scorers: Sequence[str], found: dict[tuple[str, str], Row]) -> str:
    head = _row("th", ["cheat", *scorers], n_text=1)
    body = "".join(
        f"<tr><th scope='row'>{escape(cheat)}</th>"
        f"{''.join(_cell(found.get((scorer, cheat))) for scorer in scorers)}</tr>"
        for cheat in cheats
    )
    return (
        "<p>Profit, and below it the cheats' share of the pay and the points of accuracy lost against the field of the "
        "honest alone.</p>"
        f"<div class='wrap'><table class='heat'><thead>{head}</thead><tbody>{body}</tbody></table></div>"
    )


def _cell(row: Row | None) -> str:
    if row is None:
        return "<td>–</td>"
    profit = row["profit_ratio"]
    level = "" if profit is None else f" class='l{len(_BOUNDS) - sum(profit >= bound for bound in _BOUNDS)}'"
    lost = _number(row["accuracy_loss_points"], 1)
    return (
        f"<td{level}>{_number(profit, 2)}{_interval(row['profit_ratio_ci95'])}"
        f"<small>{_number(row['cheat_share_percent'], 1)} % · {lost}</small></td>"
    )


def _plot(rows: Sequence[Row]) -> str:
    """Return a bar a cheat as SVG: its mean profit, a whisker for the interval, and a line where honest pay is."""
    height = _ROW * (len(rows) + 1)
    axis = "".join(
        f"<line x1='{_x(mark)}' x2='{_x(mark)}' y1='0' y2='{height - _ROW}' "
        f"stroke='{'#b03a2e' if mark == 1 else '#ddd'}'/>"
        f"<text x='{_x(mark)}' y='{height - 5}' text-anchor='middle'>{mark:g}{'+' * (mark == _CLIP)}</text>"
        for mark in (0, 0.5, 1.0, 1.5, _CLIP)
    )
    bars = "".join(_bar(place, row) for place, row in enumerate(rows))
    return (
        f"<div class='wrap'><svg role='img' aria-label='profit by cheat' width='{_WIDTH}' height='{height}' "
        f"viewBox='0 0 {_WIDTH} {height}' font-size='12' fill='#1c1f23'>{axis}{bars}</svg></div>"
    )


def _bar(place: int, row: Row) -> str:
    top, profit = place * _ROW, row["profit_ratio"]
    name = f"<text x='{_LEFT - 8}' y='{top + 14}' text-anchor='end'>{escape(row['cheat'])}</text>"
    if profit is None:
        return f"{name}<text x='{_LEFT + 4}' y='{top + 14}' fill='#4a525b'>nobody was paid</text>"
    whisker = ""
    if row["profit_ratio_ci95"] is not None:
        low, high = profit - row["profit_ratio_ci95"], profit + row["profit_ratio_ci95"]
        whisker = f"<line x1='{_x(low)}' x2='{_x(high)}' y1='{top + 10}' y2='{top + 10}' stroke='#1c1f23'/>"
    bar = f"<rect x='{_LEFT}' y='{top + 4}' width='{max(1.0, _x(profit) - _LEFT):.1f}' height='12' fill='#5b8db8'/>"
    return f"{name}{bar}{whisker}"


def _x(profit: float) -> float:
    return round(_LEFT + (_WIDTH - _LEFT - 20) * min(max(profit, 0.0), _CLIP) / _CLIP, 1)


def _row(tag: str, values: Iterable[str], *, n_text: int) -> str:
    """Return a table's row, the first `n_text` of it aligned as text."""
    cells = (f"<{tag}{' class=text' * (place < n_text)}>{escape(value)}</{tag}>" for place, value in enumerate(values))
    return f"<tr>{''.join(cells)}</tr>"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _interval(value: float | None) -> str:
    return "" if value is None else f" ± {value:.2f}"
