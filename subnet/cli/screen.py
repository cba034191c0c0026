"""What a person sees of a run: a line a round as it is settled, then the leaderboard and the supply."""

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from clients.cast import kind
from subnet.engine.companion import Companion
from subnet.engine.simulate import Scenario
from subnet.report import RoundReport, read_round
from subnet.state import Fixture, State
from tokenomics import Amount, Token

_N_EARNERS = 2
_BAR_WIDTH = 16


class Quiet:
    """Shows nothing; keeps the companion in step."""

    def __init__(self, companion: Companion | None) -> None:
        self._companion = companion

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._companion:
            self._companion.close()

    def began(self, fixture: Fixture, state: State, n_rounds: int) -> None:
        """Begin the companion."""
        del fixture, n_rounds
        if self._companion:
            self._companion.begin()
            self._companion.advance(state.round)

    def replied(self, n_done: int, n_total: int) -> None:
        """Show nothing."""

    def settled(self, fixture: Fixture, state: State) -> None:
        """Play the companion's round."""
        del fixture
        if self._companion:
            self._companion.advance(state.round)

    def summary(self, result: Mapping[str, Any]) -> None:
        """Show nothing."""


class Screen(Quiet):
    """Shows a run on the terminal.

    Args:
        folder: the run's folder.
        scenario: what is played.
        kinds: kind of client by hotkey, in the order of the cast.
        companion: the run beside it, if any.
    """

    def __init__(self, folder: Path, scenario: Scenario, kinds: Mapping[str, str], companion: Companion | None) -> None:
        super().__init__(companion)
        self._folder = folder
        self._scenario = scenario
        self._names = name_clients(kinds)
        self._console = Console(highlight=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._bar = self._progress.add_task("starting", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._progress.stop()
        super().__exit__(*details)

    def began(self, fixture: Fixture, state: State, n_rounds: int) -> None:
        """Show what is played, and after which round it goes on."""
        self._head()
        super().began(fixture, state, n_rounds)
        beside = f"{self._companion.strategy:>8.7}" if self._companion else ""
        head = f"{'round':>6} {'era':>3} {'loss':>7} {'accuracy':>8}{beside} {'minted':>8}"
        self._console.print(f"[bold]{head}  to[/]")
        if state.round >= n_rounds:
            self._console.print(f"  [dim]all {n_rounds} rounds are settled already[/]")
        elif state.round:
            self._console.print(f"  [dim]goes on after round {state.round}, the last one settled[/]")
        self._progress.update(self._bar, description=f"round {state.round + 1}", total=len(self._names), completed=0)

    def replied(self, n_done: int, n_total: int) -> None:
        """Move the bar."""
        self._progress.update(self._bar, completed=n_done, total=n_total)

    def settled(self, fixture: Fixture, state: State) -> None:
        """Print the round's line."""
        self._progress.update(self._bar, description="settling")
        super().settled(fixture, state)
        [row] = fixture.ledger.rounds(start=state.round)
        self._round_line(read_round(fixture.ledger, fixture.store, row), fixture.ledger.genesis.token)
        self._progress.update(self._bar, description=f"round {state.round + 1}", completed=0)

    def summary(self, result: Mapping[str, Any]) -> None:
        """Print leaderboard, comparison, supply and where the folder is."""
        token = Token(symbol=result["supply"]["unit"], decimals=result["supply"]["decimals"])
        self._leaderboard(result, token)
        final, supply = result["final"], result["supply"]
        cap = Amount(supply["cap"], token)
        lines = {
            "model": f"held-out accuracy [bold]{_percent(final['val_accuracy'])}[/], loss {final['val_loss']:.4f}",
            "supply": f"{Amount(supply['minted'], token)} minted of at most {cap}",
            "ledger": "[green]verified[/]" if result["ledger"]["ok"] else "[bold red]NOT IN ORDER[/]",
            "folder": f"{self._folder}  ({result['seconds']:.0f} s)",
            "why": f"subnet explain {self._folder} {len(result['rounds'])} {result['participants'][0]['hotkey'][:12]}",
        }
        if "compare" in result:
            other = result["compare"]
            accuracy = _percent(other["final"]["val_accuracy"])
            lines["model"] += f"; {other['strategy']} beside it: [bold]{accuracy}[/]"
        halving = supply["next_halving"]
        when = halving.get("after_round")
        at = f"after round {when}" if when is not None else f"at {Amount(halving['at_minted'], token)}"
        lines["supply"] += f"; next halving {at}"
        lines["ledger"] += f", {len(result['rounds'])} rounds, head {result['ledger']['head'][:16]}"
        for heading, text in lines.items():
            self._console.print(f"  {heading:<9} {text}")

    def _head(self) -> None:
        counts = Counter(kind(role) for role in self._scenario.roles)
        cast = ", ".join(f"{count} {name}" for name, count in counts.items())
        spec = self._scenario.spec
        self._console.print(f"[bold]{spec.subnet.name}[/]  {escape(spec.subnet.description)}")
        self._console.print(f"  clients   {cast}")
        self._console.print(f"  data      {self._scenario.partition}, seed {self._scenario.seed}")
        self._console.print(
            f"  rules     strategy {spec.strategy.name}, scorer {spec.scoring.scorer}, spec {spec.hash[:12]}"
        )
        self._console.print(f"  folder    {self._folder}\n")

    def _round_line(self, played: RoundReport, token: Token) -> None:
        record, row = played.record, played.row
        paid = sorted(played.rewards.items(), key=lambda item: -item[1])
        shown = [f"{self._names[hotkey]} {_money(reward, token)}" for hotkey, reward in paid[:_N_EARNERS]]
        shown += [f"+{len(paid) - _N_EARNERS}"] if len(paid) > _N_EARNERS else []
        if not row.pays:
            text = f"[yellow]nobody: refused, {record['proposed']['why']}[/]"
        elif not row.minted:
            text = "nobody: no score is payable" if row.emission else "nobody: the emission has run out"
        else:
            text = ", ".join(shown)
        beside = f" {_percent(self._companion.accuracy):>7}" if self._companion else ""
        self._console.print(
            f"{row.round:>6} {row.era:>3} {record['val_loss_after']:>7.4f} {_percent(record['val_accuracy_after']):>8}"
            f"{beside} {_money(row.minted, token):>8}  {text}"
        )
        left_out = ", ".join(self._names[hotkey] for hotkey in played.left_out)
        rejected = ", ".join(f"{self._names[entry['hotkey']]} {entry['reason']}" for entry in played.rejected)
        details = [f"{len(played.accepted)} accepted"]
        details += [f"rejected: {rejected}"] if rejected else []
        details += [f"not in the model: {left_out}"] if left_out else []
        self._console.print(Padding(f"[dim]{'; '.join(details)}[/]", (0, 0, 0, 8)), soft_wrap=False)

    def _leaderboard(self, result: Mapping[str, Any], token: Token) -> None:
        table = Table(box=None, pad_edge=True, header_style="bold")
        shown = [name for name in ("pending", "voided") if any(one[name] for one in result["participants"])]
        for title in ("client", "hotkey", "earned", *shown, "share", ""):
            table.add_column(title, justify="right" if title in {"earned", *shown, "share"} else "left")
        top = max((one["share"] for one in result["participants"]), default=0.0) or 1.0
        for one in result["participants"]:
            cheat = one["kind"] != "honest"
            style = "red" if cheat and one["reward"] else "dim" if cheat else ""
            bar = "█" * round(_BAR_WIDTH * one["share"] / top)
            earned = f"{_money(one['reward'], token)} {token.symbol}"
            rest = [_money(one[name], token) for name in shown]
            name, share = self._names[one["hotkey"]], f"{one['share']:.1%}"
            table.add_row(name, one["hotkey"][:12], earned, *rest, share, bar, style=style)
        self._console.print()
        self._console.print(table)
        if shown:
            self._console.print(f"  [dim]pay is pending for {result['vesting']} rounds; a strike voids what is[/]")
        self._console.print()


def name_clients(kinds: Mapping[str, str]) -> dict[str, str]:
    """Return a short name by hotkey: the kind, numbered where there are several of it."""
    counts = Counter(kinds.values())
    seen: Counter[str] = Counter()
    names: dict[str, str] = {}
    for hotkey, name in kinds.items():
        seen[name] += 1
        names[hotkey] = f"{name}-{seen[name]}" if counts[name] > 1 else name
    return names


def _money(base_units: int, token: Token) -> str:
    """Return an amount to two decimals, for the eye."""
    return f"{Decimal(base_units).scaleb(-token.decimals):,.2f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
