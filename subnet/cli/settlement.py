"""`subnet settlement`: what participants earned, as claims for a distributor on an EVM chain."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from subnet.settlement import Export

app = typer.Typer(help="Export what participants earned as claims on an EVM chain.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command("open")
def choose(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    chain_id: Annotated[int, typer.Option(min=1, help="The chain to settle on, once and for all.")],
) -> None:
    """Choose the chain before the first export: from now on coldkeys can't move money in the run's ledger."""
    from subnet.settlement import choose_chain

    choose_chain(run, chain_id)
    typer.echo(f"{run} is settled on chain {chain_id}")


@app.command("export")
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file of claims to write.")],
    bindings: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="What `subnet wallet bind-evm` printed, a line each; may be given again."),
    ] = None,
    chain_id: Annotated[
        int | None,
        typer.Option(min=1, help="The chain to settle on, once and for all.  [default: that of the bindings]"),
    ] = None,
    json_output: Json = False,
) -> None:
    """Write every bound address's cumulative earnings as a Merkle tree, and show its root and who isn't in it.

    Bindings of earlier exports are remembered, and give way to newer ones. What isn't vested isn't claimable.
    """
    from subnet.settlement import export_claims, read_bindings

    done = export_claims(run, read_bindings(bindings or []), out=out, chain_id=chain_id)
    if json_output:
        typer.echo(json.dumps(_document(done, out)))
    else:
        _show(done, out)


@app.command("proof")
def proof(
    claims: Annotated[Path, typer.Argument(metavar="CLAIMS", help="The file that `export` wrote.")],
    address: Annotated[str, typer.Option(metavar="0x...", help="Whose claim.")],
    json_output: Json = False,
) -> None:
    """Show an address's claim: its amount, its proof, and the call data to send to the distributor."""
    from tokenomics.settlement import claim_call

    tree = _read(claims)
    claim, steps = tree.claim(address), tree.proof(address)
    call = claim_call(claim.account, claim.amount, steps)
    if json_output:
        document = {"account": claim.account, "amount": str(claim.amount), "proof": steps, "root": tree.root}
        typer.echo(json.dumps({**document, "calldata": call}))
        return
    typer.echo(f"account   {claim.account}")
    typer.echo(f"amount    {claim.amount} (units of 18 decimals, all that was ever earned)")
    typer.echo(f"root      {tree.root}")
    for step in steps:
        typer.echo(f"proof     {step}")
    typer.echo(f"calldata  {call}")


def _read(path: Path) -> Any:
    from tokenomics.errors import SettlementError
    from tokenomics.settlement import ClaimTree

    try:
        return ClaimTree.load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettlementError(f"{path} can't be read: {error}", remedy="name the file that `export` wrote") from error


def _document(done: "Export", out: Path) -> dict[str, Any]:
    from tokenomics.settlement import post_root_call

    return {
        "claims": str(out),
        "chain_id": done.chain_id,
        "round": done.round,
        "root": done.tree.root,
        "calldata": post_root_call(done.tree.root),
        "total": str(done.tree.total),
        "n_claims": len(done.tree.claims),
        "unclaimed": [{"hotkey": one.hotkey, "coldkey": one.coldkey, "units": one.units} for one in done.unclaimed],
        "unit": done.token.symbol,
        "decimals": done.token.decimals,
        "n_other_chain": done.n_other_chain,
    }


def _show(done: "Export", out: Path) -> None:
    from tokenomics import Amount
    from tokenomics.settlement import post_root_call

    left = sum(one.units for one in done.unclaimed)
    typer.echo(f"claims     {out}: {len(done.tree.claims)}, up to round {done.round}, for chain {done.chain_id}")
    typer.echo(f"root       {done.tree.root}")
    typer.echo(f"total      {done.tree.total} (units of 18 decimals)")
    typer.echo(f"calldata   {post_root_call(done.tree.root)}")
    typer.echo(f"unclaimed  {Amount(left, done.token)} of {len(done.unclaimed)} hotkeys")
    for one in done.unclaimed:
        why = f"coldkey {one.coldkey} has no binding" if one.coldkey else "no enrolment names its coldkey"
        typer.echo(f"  {one.hotkey}  {Amount(one.units, done.token)}: {why}")
    if done.n_other_chain:
        typer.echo(f"{done.n_other_chain} bindings are for other chains, and were left alone")
