"""The arena as one HTML page that needs nothing else: a ranking and a heat map for every division of the data."""

from collections.abc import Sequence
from html import escape
from typing import Any

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; color: #1c1f23; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .55rem; text-align: right; white-space: nowrap; }
th { font-weight: 600; } th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #c8ccd1; vertical-align: bottom; }
.heat td { border: 1px solid #fff; min-width: 3.4rem; } .heat td:first-child { border: 0; }
.heat small { display: block; opacity: .7; font-size: .72rem; }
.wrap { overflow-x: auto; } p.note { color: #555c64; max-width: 60rem; }
"""


def page(*, title: str, facts: Sequence[str], table: Sequence[dict[str, Any]], ranked: Sequence[dict[str, Any]]) -> str:
    """Return the page.

    Args:
        title: its heading.
        facts: lines about what was played.
        table: rows of `table.rows`.
        ranked: rows of `table.ranking`.
    """
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>",
        *(f"<p class='note'>{escape(fact)}</p>" for fact in facts),
        "<h2>Ranking by worst case</h2><div class='wrap'>",
        _ranking(ranked),
        "</div>",
    ]
    groups = dict.fromkeys((row["partition"], row["stated_byzantine"]) for row in table)
    for partition, stated in groups:
        chosen = [row for row in table if (row["partition"], row["stated_byzantine"]) == (partition, stated)]
        parts.append(f"<h2>{escape(partition)}, rule told of {stated} attackers: held-out accuracy, %</h2>")
        parts.append(f"<div class='wrap'>{_heat_map(chosen, [row['strategy'] for row in ranked])}</div>")
    parts.append("</body></html>")
    return "".join(parts)


def colour(percent: float) -> str:
    """Return the background of a cell: from dark red at 0 % over pale yellow to green at 100 %.

    >>> colour(0.0), colour(100.0)
    ('hsl(5 70% 62%)', 'hsl(135 70% 74%)')
    """
    share = min(max(percent / 100, 0.0), 1.0)
    return f"hsl({5 + 130 * share:.0f} 70% {62 + 12 * share:.0f}%)"


def _ranking(ranked: Sequence[dict[str, Any]]) -> str:
    heads = ("strategy", "worst, %", "against", "data", "mean over attacks, %", "no attack, %")
    body = "".join(
        f"<tr><td>{escape(row['strategy'])}</td><td style='background:{colour(row['worst_accuracy_percent'])}'>"
        f"{row['worst_accuracy_percent']:.1f}</td><td>{escape(row['worst_attack'])}</td>"
        f"<td>{escape(row['worst_partition'])}</td><td>{row['mean_accuracy_percent']:.1f}</td>"
        f"<td>{_number(row['calm_accuracy_percent'])}</td></tr>"
        for row in ranked
    )
    return (
        f"<table><thead><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr></thead><tbody>{body}</tbody></table>"
    )


def _heat_map(rows: Sequence[dict[str, Any]], order: Sequence[str]) -> str:
    attacks = list(dict.fromkeys(row["attack"] for row in rows))
    found = {(row["strategy"], row["attack"]): row for row in rows}
    head = "".join(f"<th>{escape(attack.replace('_', ' '))}</th>" for attack in attacks)
    body = "".join(
        f"<tr><td>{escape(strategy)}</td>{''.join(_cell(found.get((strategy, attack))) for attack in attacks)}</tr>"
        for strategy in order
    )
    return f"<table class='heat'><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(row: dict[str, Any] | None) -> str:
    if row is None or row["accuracy_percent"] is None:
        return "<td>-</td>"
    accuracy, width = row["accuracy_percent"], row["accuracy_percent_ci95"]
    small = [f"&plusmn; {width:.1f}"] if width is not None else []
    if row["attack_success_percent"] is not None:
        small.append(f"attack {row['attack_success_percent']:.0f}")
    title = f"distance to the honest mean {row['distance_to_honest_mean']:.3g}"
    lines = "".join(f"<small>{line}</small>" for line in small)
    return f"<td style='background:{colour(accuracy)}' title='{escape(title)}'>{accuracy:.1f}{lines}</td>"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
