"""`subnet arena ...` plays strategies against attacks, `subnet arena rewards ...` cheats against scorers."""

import typer
from typer.core import TyperGroup

from subnet.cli import arena, rewards

_DEFAULT = "strategies"


class _WithDefault(TyperGroup):
    """A group in which everything that isn't a command's name belongs to the default command."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Put the default command's name in front where no command is named."""
        if not args or args[0] not in self.commands:
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_WithDefault, help="Play strategies against attacks; `subnet arena rewards`: cheats against scorers."
)
app.command(_DEFAULT)(arena.arena)
app.command("rewards")(rewards.rewards)
