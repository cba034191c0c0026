"""From a run's ledger to claims on an EVM chain: hotkeys to coldkeys by enrolment, coldkeys to addresses by binding.

Only what lies on `participant:HOTKEY` is claimable: not what hasn't vested, nor the owner's and the validator's parts.
The bindings taken up, and what was exported, are kept in the run's `settlement/book.json`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from subnet.enrolments import Enrolments
from subnet.errors import StoreError
from subnet.orders import BOOK_PATH
from subnet.run import locked
from subnet.run_files import find_ledger
from subnet.store import write_atomically
from tokenomics import Token
from tokenomics.canonical import canonical_json
from tokenomics.errors import SettlementError
from tokenomics.ledger import Ledger, verify_ledger
from tokenomics.settlement import Book, Claim, ClaimTree, EvmBinding, scale

_ACCOUNT: Final = "participant:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclaimed:
    """What a hotkey earned and nobody can claim yet.

    Attributes:
        hotkey: who earned it.
        coldkey: whose it is; None where no enrolment says so.
        units: base units.
    """

    hotkey: str
    coldkey: str | None
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """An export of a run's claims.

    Attributes:
        token: what the ledger counts in.
        round: the last round that is in it.
        chain_id: where it is to be paid.
        tree: the claims, addresses ascending.
        unclaimed: those left out, hotkeys ascending.
        n_other_chain: bindings given that are for other chains, and were left alone.
    """

    token: Token
    round: int
    chain_id: int
    tree: ClaimTree
    unclaimed: tuple[Unclaimed, ...]
    n_other_chain: int


def export_claims(folder: Path, bindings: Sequence[EvmBinding], *, out: Path, chain_id: int | None = None) -> Export:
    """Write a run's claims to a file.

    Args:
        folder: the run's folder; a validator may be at work in it.
        bindings: new ones; those of earlier exports are known.
        out: the file to write.
        chain_id: the chain to settle on; None for the run's own, or for that of the bindings.

    Raises:
        RunError: no run there, or another export at work.
        StoreError: the run's enrolments or book can't be read, or a file can't be written.
        LedgerError: the ledger can't be read, or doesn't verify.
        SettlementError: no chain or two are named, a binding can't be taken up, a claim would shrink, there is none, or
            orders have moved money in the ledger.
    """
    path = find_ledger(folder)
    height = _verified(path)
    with locked(folder / BOOK_PATH.parent):
        kept = folder / BOOK_PATH
        book = _open_book(kept, bindings, chain_id)
        _refuse_where_money_moves(path)
        mine = [binding for binding in bindings if binding.chain_id == book.chain_id]
        book = book.bind(mine)
        with Ledger.open(path, read_only=True) as ledger:
            token, balances = ledger.genesis.token, _balances_at(ledger, height)
        totals, unclaimed = by_coldkey(balances, Enrolments(folder).coldkeys(), bound=frozenset(book.stretches))
        book, earned = book.export(totals)
        if not earned:
            raise SettlementError(
                f"nobody with a binding for chain {book.chain_id} has earned anything in {folder} yet",
                remedy="give participants' bindings with --bindings: `subnet wallet bind-evm` prints them",
            )
        tree = ClaimTree.of(
            Claim(account=address, amount=scale(units, token.decimals)) for address, units in earned.items()
        )
        # the book first: whatever is published later, what it says was exported can't be given to another address
        write_atomically(kept, canonical_json(book.to_dict()))
        write_atomically(out, tree.dump().encode())
    return Export(
        token=token,
        round=height,
        chain_id=book.chain_id,
        tree=tree,
        unclaimed=unclaimed,
        n_other_chain=len(bindings) - len(mine),
    )


def choose_chain(folder: Path, chain_id: int) -> None:
    """Choose the chain that a run is settled on, before anything is exported: its ledger settles no orders any more.

    Args:
        folder: the run's folder.
        chain_id: the chain's number (EIP-155).

    Raises:
        RunError: no run there, or an export or a round is at work.
        SettlementError: another chain was chosen before, or orders have moved money in the ledger.
        StoreError: the choice can't be written down.
    """
    path = find_ledger(folder)
    with locked(folder / BOOK_PATH.parent):
        _refuse_where_money_moves(path)
        book = _open_book(folder / BOOK_PATH, [], chain_id)
        write_atomically(folder / BOOK_PATH, canonical_json(book.to_dict()))


def by_coldkey(
    balances: Mapping[str, int], coldkeys: Mapping[str, str], *, bound: frozenset[str]
) -> tuple[dict[str, int], tuple[Unclaimed, ...]]:
    """Sum participants' balances by coldkey, and list those that nobody can claim.

    Args:
        balances: base units by account; other accounts than `participant:HOTKEY` are left out.
        coldkeys: coldkey by hotkey.
        bound: coldkeys that have bound an address.

    Returns:
        Base units by bound coldkey, and the rest by hotkey; none of 0.
    """
    totals: dict[str, int] = {}
    unclaimed = []
    for account, units in sorted(balances.items()):
        if not account.startswith(_ACCOUNT) or not units:
            continue
        hotkey = account.removeprefix(_ACCOUNT)
        coldkey = coldkeys.get(hotkey)
        if coldkey in bound:
            totals[coldkey] = totals.get(coldkey, 0) + units
        else:
            unclaimed.append(Unclaimed(hotkey=hotkey, coldkey=coldkey, units=units))
    return totals, tuple(unclaimed)


def read_bindings(files: Sequence[Path]) -> list[EvmBinding]:
    """Read files of bindings, one JSON object a line.

    Raises:
        SettlementError: a file can't be read, or a line in it isn't a binding; the message names both.
    """
    found: list[EvmBinding] = []
    for file in files:
        try:
            found += EvmBinding.read_lines(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise SettlementError(f"{file} can't be read: {error}", remedy="check the path") from error
        except SettlementError as error:
            raise SettlementError(f"{file}: {error.message}", remedy=error.remedy) from error
    return found


def _verified(path: Path) -> int:
    """Return the last round of a ledger in which nothing was altered."""
    checked = verify_ledger(path)
    if not checked.ok:
        raise SettlementError(
            f"ledger {path} doesn't verify: {checked.errors[0]}",
            remedy="see `subnet ledger verify`; nothing is exported",
        )
    return checked.rounds


def _refuse_where_money_moves(path: Path) -> None:
    """Refuse to export the claims of a ledger in which money has been spent: it could be claimed a second time."""
    with Ledger.open(path, read_only=True) as ledger:
        first = next((row.round for row in ledger.rounds() if row.orders_root), None)
    if first is not None:
        raise SettlementError(
            f"coldkeys have moved money in this ledger since round {first}: what was spent could be claimed again",
            remedy="a run is either settled on a chain or moves its money in its ledger; see docs/settlement.md",
        )


def _balances_at(ledger: Ledger, height: int) -> dict[str, int]:
    """Return the balances after a round, though later ones may have been settled since it was verified."""
    balances: dict[str, int] = {}
    for row in ledger.rounds():
        if row.round > height:
            break
        for posting in ledger.postings(row.round):
            balances[posting.account] = balances.get(posting.account, 0) + posting.amount
    return balances


def _open_book(path: Path, bindings: Sequence[EvmBinding], chain_id: int | None) -> Book:
    """Return the run's book, or a new one for the chain that is named or the only one that is bound."""
    if path.exists():
        try:
            book = Book.from_dict(json.loads(path.read_bytes()))
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} can't be read: {error}", remedy="restore it from a copy") from error
        if chain_id not in {None, book.chain_id}:
            raise SettlementError(
                f"the run is settled on chain {book.chain_id}, not {chain_id}: a second one would pay everything twice",
                remedy=f"export for chain {book.chain_id}",
            )
        return book
    chains = sorted({binding.chain_id for binding in bindings})
    if chain_id is None and len(chains) != 1:
        named = f"chains {', '.join(map(str, chains[:5]))}" if chains else "no chain"
        raise SettlementError(
            f"the bindings are for {named}, and a run is settled on one",
            remedy="choose it with --chain-id, and give bindings for it with --bindings",
        )
    return Book(chain_id=chains[0] if chain_id is None else chain_id)
