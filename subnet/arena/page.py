"""The arena as one HTML page that needs nothing else: a ranking, and a heat map for every division of the data."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from subnet.arena.cell import Stated
from subnet.arena.measures import MEASURES, N_LEVELS, Measure
from subnet.arena.table import Row, stated_numbers

_ACCURACY = MEASURES[0]
_PLAIN = {
    "mean_accuracy_percent": "mean, %",
    "calm_accuracy_percent": "no attack, %",
    "most_attack_success_percent": "attack success, %",
}
"""Columns of the ranking that aren't coloured, with their headings."""


def page(facts: dict[str, Any], *, table: Sequence[Row], ranked: Sequence[Row]) -> str:
    """Return the page.

    Args:
        facts: what was played, from `Choices.facts`.
        table: rows of `table.rows`.
        ranked: rows of `table.ranking`.
    """
    style, script = (files(__package__).joinpath(f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    title = f"Arena: {facts['n_strategies']} rules against {facts['n_attacks']} attacks"
    references = [measure.reference(table) for measure in MEASURES]
    return "".join(
        [
            "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
            "<meta name='viewport' content='width=device-width, initial-scale=1'>",
            f"<title>{escape(title)}</title><style>{style}</style></head><body><main><h1>{escape(title)}</h1>",
            _facts(facts),
            _ranking(ranked, references[0], truth=facts["n_byzantine"]),
            _switches(stated_numbers(table), references, truth=facts["n_byzantine"]),
            *_heat_maps(table, [row["strategy"] for row in ranked], references),
            f"</main><script>{script}</script></body></html>",
        ]
    )


def _facts(facts: dict[str, Any]) -> str:
    stated = ", ".join(str(number) for number in facts["stated_byzantine"])
    lines = {
        "task": f"{facts['subnet']} ({facts['task']}), spec {facts['spec'][:12]}",
        "clients": f"{facts['n_clients']}, {facts['n_byzantine']} of them attack",
        "rules told of": stated,
        "rounds": facts["n_rounds"],
        "seeds a cell": facts["n_seeds"],
        "version": f"flower-subnet {facts['version']}, arena {facts['arena_version']}",
    }
    items = "".join(f"<li>{escape(name)} <b>{escape(str(value))}</b></li>" for name, value in lines.items())
    return f"<ul class='facts'>{items}</ul>"


def _ranking(ranked: Sequence[Row], best: float, *, truth: int) -> str:
    numbers = list(dict.fromkeys(number for row in ranked for number in row["worst_by_stated"]))
    told = numbers if len(numbers) > 1 else []
    heads = [
        *(("rule", True), ("worst, %", False), ("against", True), ("data", True)),
        *((f"told {number}{' (true)' * (number == str(truth))}", False) for number in told),
        *((title, False) for title in _PLAIN.values()),
    ]
    head = "".join(
        f"<th scope='col'{' class=text' * text} aria-sort='{'descending' if name == 'worst, %' else 'none'}'>"
        f"<button type='button'>{escape(name)}</button></th>"
        for name, text in heads
    )
    body = "".join(_ranked(row, told, best) for row in ranked)
    note = (
        "Accuracy on test data after the last round. Worst is the lowest mean over the seeds of any attack, data "
        "division and stated number, with half the width of that mean's 95 % confidence interval; mean is over all of "
        "them. Attack success is the most that an attack got which wants particular answers: a rule can keep its "
        "accuracy and have a back door."
    )
    if told:
        note += " Told N: the worst when the rule is told of N attackers; slanted where it can't be told."
    return (
        f"<h2>Ranking by worst case</h2><p>{note}</p>"
        "<div class='wrap' tabindex='0' role='region' aria-label='Ranking'>"
        f"<table class='ranking'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _ranked(row: Row, told: Sequence[str], best: float) -> str:
    name = row["strategy"]
    return "".join(
        [
            f"<tr data-rule='{escape(name)}'><th scope='row' data-v='{escape(name)}'>{_breakable(name)}</th>",
            _worst(row, best),
            *(_text(row[column]) for column in ("worst_attack", "worst_partition")),
            *(_worst(row["worst_by_stated"][number], best, deaf=not row["takes_number"]) for number in told),
            *(_plain(row[column]) for column in _PLAIN),
            "</tr>",
        ]
    )


def _worst(row: Row, best: float, *, deaf: bool = False) -> str:
    value, width = row["worst_accuracy_percent"], row["worst_accuracy_percent_ci95"]
    kind = "deaf" if deaf else f"l{_ACCURACY.level(value, best)}"
    small = "" if width is None else f" <small>± {width:.1f}</small>"
    return f"<td class='{kind}' data-v='{value:.4f}'>{value:.1f}{small}</td>"


def _breakable(name: str) -> str:
    """Return a name that may go on in the next line after a `+`, `_`, `.` or `:`."""
    return re.sub(r"(?<=[+_.:])(?=.)", "<wbr>", escape(name))


def _text(value: str) -> str:
    return f"<td class='text' data-v='{escape(value)}'>{escape(value)}</td>"


def _plain(value: float | None) -> str:
    return "<td data-v='-1'>–</td>" if value is None else f"<td data-v='{value:.4f}'>{value:.1f}</td>"


def _switches(numbers: Sequence[int | str], references: Sequence[float], *, truth: int) -> str:
    """Return the bar that says what the heat maps show, with a legend a measurement."""
    switches = [_switch("measure", "show", [(str(index), one.name) for index, one in enumerate(MEASURES)])]
    if len(numbers) > 1:
        options = [(str(number), f"{number}{' (true)' * (number == truth)}") for number in numbers]
        switches.append(_switch("stated", "rules told of", options, chosen=str(truth)))
    legends = (
        f"<p class='legend' data-measure='{index}'{' hidden' * (index > 0)}><b>{escape(measure.title)}</b>"
        f"{escape(measure.scale)}{_reference(measure, reference)}: {_swatches(measure)}</p>"
        for index, (measure, reference) in enumerate(zip(MEASURES, references, strict=True))
    )
    return (
        f"<div class='bar'><h2>Every cell</h2><form class='switches'>{''.join(switches)}</form>{''.join(legends)}</div>"
    )


def _reference(measure: Measure, reference: float) -> str:
    return f" ({measure.written(reference)})" if reference else ""


def _swatches(measure: Measure) -> str:
    levels = range(N_LEVELS - 1, -1, -1)
    return "".join(
        f"<span class='l{level}'>{escape(label)}</span>" for level, label in zip(levels, measure.legend(), strict=True)
    )


def _switch(name: str, label: str, options: Sequence[tuple[str, str]], *, chosen: str = "") -> str:
    """Return radio buttons, the chosen one of them set if it is there, else the first."""
    first = chosen if chosen in {value for value, _ in options} else options[0][0]
    inputs = "".join(
        f"<label><input type='radio' name='{name}' value='{escape(value)}'{' checked' * (value == first)}>"
        f"<span>{escape(text)}</span></label>"
        for value, text in options
    )
    return f"<fieldset><legend>{label}</legend>{inputs}</fieldset>"


def _heat_maps(table: Sequence[Row], order: Sequence[str], references: Sequence[float]) -> Iterable[str]:
    numbers: list[Stated | None] = [*stated_numbers(table)] or [None]
    for partition in dict.fromkeys(row["partition"] for row in table):
        yield f"<h2>Data: {escape(partition)}</h2>"
        for number in numbers:
            chosen = [
                row for row in table if row["partition"] == partition and row["stated_byzantine"] in {number, None}
            ]
            title = f"<h3>rules told of {number}</h3>" if len(numbers) > 1 else ""
            yield (
                f"<div class='map' data-stated='{number}'>{title}"
                f"<div class='wrap' tabindex='0' role='region' aria-label='{escape(partition)}'>"
                f"{_heat_map(chosen, order, references)}</div>"
                "<p class='nothing' hidden>None of these attacks wants a particular answer.</p></div>"
            )


def _heat_map(rows: Sequence[Row], order: Sequence[str], references: Sequence[float]) -> str:
    attacks = list(dict.fromkeys(row["attack"] for row in rows))
    found = {(row["strategy"], row["attack"]): row for row in rows}
    head = "".join(f"<th scope='col'>{_breakable(attack)}</th>" for attack in attacks)
    body = "".join(
        f"<tr data-rule='{escape(strategy)}'><th scope='row'>{_breakable(strategy)}</th>"
        f"{''.join(_cell(found[strategy, attack], references) for attack in attacks)}</tr>"
        for strategy in order
    )
    return f"<table class='heat'><thead><tr><th scope='col'>rule</th>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(row: Row, references: Sequence[float]) -> str:
    """Return a cell with all measurements for the script, `text|small|level` each, and the accuracy for the eye."""
    shown = [_shown(measure, row, reference) for measure, reference in zip(MEASURES, references, strict=True)]
    text, small, level = shown[0]
    below = f"<small>{small}</small>" if small else ""
    return f"<td class='l{level}' data-m='{';'.join('|'.join(one) for one in shown)}'>{text}{below}</td>"


def _shown(measure: Measure, row: Row, reference: float) -> tuple[str, str, str]:
    value, width = row[measure.column], row[f"{measure.column}_ci95"]
    level = measure.level(value, reference)
    return (
        measure.missing if value is None else measure.written(value),
        "" if width is None else f"± {measure.written(width)}",
        "" if level is None else str(level),
    )
