"""`subnet statement`: an account over a period, for spreadsheets, bookkeepers, tax programs and people."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from subnet.cli.ledger import ledger_path
from subnet.cli.whose import one_account
from subnet.errors import RunError

if TYPE_CHECKING:
    from tokenomics.statement import Statement


def statement(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder, or its ledger.sqlite.")],
    whose: Annotated[
        str,
        typer.Argument(
            metavar="WHOSE",
            help="A participant's hotkey, or its first digits; or another account: owner, validator, wallet:COLDKEY, "
            "escrow:VALIDATOR:COLDKEY, keys by their first digits.",
        ),
    ],
    *,
    start: Annotated[
        str, typer.Option("--from", metavar="DAY|ROUND", help="The first day (UTC) or round.  [default: round 1]")
    ] = "",
    end: Annotated[
        str, typer.Option("--to", metavar="DAY|ROUND", help="The last day or round, included.  [default: the last]")
    ] = "",
    csv: Annotated[bool, typer.Option("--csv", help="A row a movement (RFC 4180).")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object, with the proofs in it.")] = False,
    pdf: Annotated[bool, typer.Option("--pdf", help="For people; needs the extra `statement`.")] = False,
    koinly: Annotated[
        bool, typer.Option("--koinly", help="Koinly's universal CSV: what vested, tagged Reward; nothing pending.")
    ] = False,
    beancount: Annotated[bool, typer.Option("--beancount", help="A Beancount file that stands alone.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write it.  [default: standard output]")
    ] = None,
    proofs: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder for the proof of each round; `subnet verify` checks them."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Write what somebody had, every credit, release and void of a period, and what it has; exact, with proofs.

    One of --csv, --json, --pdf, --koinly and --beancount says how.
    """
    from tokenomics.ledger import Ledger
    from tokenomics.statement import proofs_of, read_statement

    asked = {"csv": csv, "json": json_output, "pdf": pdf, "koinly": koinly, "beancount": beancount}
    form = _only([name for name, wanted in asked.items() if wanted])
    if form == "pdf" and out is None and sys.stdout.isatty():
        raise RunError("a PDF isn't for the terminal", remedy="name a file with --out")
    _refuse(out, force=force)
    with Ledger.open(ledger_path(folder), read_only=True) as ledger:
        found = read_statement(ledger, one_account(ledger, whose), start=start, end=end)
        kept = proofs_of(ledger, found) if proofs or form == "json" else {}
    names = {number: f"round-{number:06d}.json" for number in kept} if proofs else {}
    content = _writer(form, kept, names)(found)
    if proofs:
        _write_proofs(proofs, {names[number]: proof for number, proof in kept.items()}, force=force)
    if out is None:
        typer.echo(content, nl=False)
        return
    _write(out, content)
    moved = f"{len(found.lines)} movements of rounds {found.first} to {found.last}"
    typer.echo(f"{out}: {moved}" + (f"; proofs of {len(kept)} rounds in {proofs}" if proofs else ""))


def _only(asked: list[str]) -> str:
    if len(asked) != 1:
        given = " and ".join(f"--{name}" for name in asked) or "no form"
        raise RunError(f"{given} given", remedy="give one of --csv, --json, --pdf, --koinly and --beancount")
    return asked[0]


def _writer(form: str, proofs: dict[int, dict[str, Any]], names: dict[int, str]) -> Callable[["Statement"], bytes]:
    """Return what makes a statement's bytes in a form."""
    from tokenomics.statement.beancount import to_beancount
    from tokenomics.statement.document import to_json
    from tokenomics.statement.tables import to_csv, to_koinly

    if form == "pdf":
        try:
            from tokenomics.statement.pdf import to_pdf
        except ModuleNotFoundError as error:
            raise RunError(
                f"a PDF needs {error.name}, which isn't installed", remedy="pip install 'flower-subnet[statement]'"
            ) from error
        return to_pdf
    writers: dict[str, Callable[[Statement], str]] = {
        "csv": lambda found: to_csv(found, names),
        "json": lambda found: to_json(found, proofs),
        "koinly": to_koinly,
        "beancount": to_beancount,
    }
    return lambda found: writers[form](found).encode()


def _write_proofs(folder: Path, proofs: dict[str, dict[str, Any]], *, force: bool) -> None:
    for name in proofs:
        _refuse(folder / name, force=force)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder} can't be made: {error.strerror}", remedy="choose another folder") from error
    for name, proof in proofs.items():
        _write(folder / name, (json.dumps(proof, indent=1) + "\n").encode())


def _refuse(path: Path | None, *, force: bool) -> None:
    if path is not None and path.is_dir():
        raise RunError(f"{path} is a folder", remedy="name a file")
    if path is not None and path.exists() and not force:
        raise RunError(f"{path} is there already", remedy="choose another name, or replace it with --force")


def _write(path: Path, content: bytes) -> None:
    from subnet.store import write_atomically

    write_atomically(path, content)
