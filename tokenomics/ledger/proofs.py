"""Proofs that somebody without the ledger can check: a payment, an order, and that one checkpoint extends another.

A proof is a plain JSON document. Checking it needs nothing but the validator's key for its log, as
`Ledger.key` gives it and the validator publishes it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from tokenomics.canonical import canonical_json
from tokenomics.errors import CanonicalError, LedgerError, ProofError
from tokenomics.ledger.log import leaf_fields
from tokenomics.ledger.order import Order, SignedOrder
from tokenomics.ledger.store import Ledger
from tokenomics.ledger.vesting import PARTICIPANT_PREFIX, PENDING_PREFIX
from tokenomics.merkle import consistency_proof, inclusion_proof, leaf_hash, verify_consistency, verify_inclusion
from tokenomics.note import TreeHead, VerifierKey

PAYMENT: Final = "flower-subnet-payment-proof"
ACCOUNT: Final = "flower-subnet-account-proof"
ORDER: Final = "flower-subnet-order-proof"
GROWTH: Final = "flower-subnet-consistency-proof"

_PAYMENT_FIELDS: Final = {"format", "version", "hotkey", "checkpoint", "round", "path", "receipt", "postings"}
_ACCOUNT_FIELDS: Final = {"format", "version", "account", "checkpoint", "round", "path", "postings"}
_ORDER_FIELDS: Final = {"format", "version", "checkpoint", "round", "path", "order"}
_GROWTH_FIELDS: Final = {"format", "version", "earlier", "later", "path"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentFacts:
    """What a payment's proof shows."""

    subnet: str
    """The log's origin."""
    hotkey: str
    round: int
    settled_at: int
    """Unix time in seconds."""
    status: str
    """What became of the contribution."""
    score: int
    receipt_hash: str
    """Content hash of the receipt that says why."""
    movements: tuple[tuple[str, str, int], ...]
    """Account, kind and signed base units of each posting shown; who made the proof chose which to show."""
    size: int
    """Leaves of the log at the checkpoint: its last round is one less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFacts:
    """What the proof of an account's postings shows."""

    subnet: str
    """The log's origin."""
    account: str
    round: int
    settled_at: int
    """Unix time in seconds."""
    movements: tuple[tuple[str, str, int], ...]
    """Account, kind and signed base units of each posting shown; who made the proof chose which to show."""
    size: int
    """Leaves of the log at the checkpoint: its last round is one less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFacts:
    """What an order's proof shows: that its coldkey signed it, and that a round moved the money."""

    subnet: str
    """The log's origin."""
    round: int
    settled_at: int
    """Unix time in seconds."""
    order: Order
    size: int
    """Leaves of the log at the checkpoint: its last round is one less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthFacts:
    """What a consistency proof shows: the later checkpoint's log begins with all of the earlier one's."""

    subnet: str
    earlier: int
    """Rounds at the earlier checkpoint."""
    later: int
    """Rounds at the later one."""


def prove_payment(ledger: Ledger, number: int, hotkey: str, *, leaves: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the proof of what a round recorded of, and moved for, a participant.

    Args:
        ledger: to be read.
        number: a settled round.
        hotkey: who took part in it, or had pay released in it.
        leaves: what `Ledger.leaf_hashes` gave up to a settled round, for many proofs against that round's checkpoint;
            None for the last one.

    Raises:
        LedgerError: the round isn't settled, or has nothing of this hotkey.
    """
    leaves = ledger.leaf_hashes(until=ledger.height) if leaves is None else leaves
    placed = _placed(ledger, number, leaves)
    entries = ledger.receipts(number)
    own = [place for place, one in enumerate(entries) if one.hotkey == hotkey]
    moved = _moved(ledger, number, {f"{PENDING_PREFIX}{hotkey}", f"{PARTICIPANT_PREFIX}{hotkey}"})
    if not own and not moved:
        raise LedgerError(f"round {number} has nothing of {hotkey[:12]}", remedy="look for its rounds in the ledger")
    receipt_hashes = [leaf_hash(one.leaf) for one in entries]
    return {
        "format": PAYMENT,
        "version": 1,
        "hotkey": hotkey,
        **placed,
        "receipt": _part(asdict(entries[own[0]]), own[0], receipt_hashes) if own else None,
        "postings": moved,
    }


def prove_account(ledger: Ledger, number: int, account: str, *, leaves: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the proof of what a round posted to an account that isn't a participant's.

    Args:
        ledger: to be read.
        number: a settled round.
        account: such as `owner:ID` or `wallet:COLDKEY`, in full.
        leaves: as `prove_payment` takes them.

    Raises:
        LedgerError: the round isn't settled, or posted nothing to the account.
    """
    leaves = ledger.leaf_hashes(until=ledger.height) if leaves is None else leaves
    placed = _placed(ledger, number, leaves)
    moved = _moved(ledger, number, {account})
    if not moved:
        raise LedgerError(f"round {number} posted nothing to {account}", remedy="look for its rounds in the ledger")
    return {"format": ACCOUNT, "version": 1, "account": account, **placed, "postings": moved}


def prove_order(ledger: Ledger, coldkey: str, nonce: int) -> dict[str, Any]:
    """Return the proof that a coldkey's order of a nonce was settled, for whoever was paid by it.

    Raises:
        LedgerError: no round has settled one.
    """
    found = ledger.find_order(coldkey, nonce)
    if found is None:
        message = f"no order {nonce} of coldkey {coldkey[:12]} is settled"
        raise LedgerError(message, remedy="`subnet ledger orders` shows what became of orders")
    number, signed = found
    leaves = ledger.leaf_hashes(until=ledger.height)
    placed = _placed(ledger, number, leaves)
    orders = ledger.orders(number)
    part = _part(signed.to_dict(), orders.index(signed), [leaf_hash(one.leaf) for one in orders])
    return {"format": ORDER, "version": 1, **placed, "order": part}


def prove_growth(ledger: Ledger, earlier: int, later: int | None = None) -> dict[str, Any]:
    """Return the proof that the log at one round begins with all of the log at an earlier one.

    Args:
        ledger: to be read.
        earlier: a settled round, or 0 for the genesis.
        later: another that isn't before it; the last when None.

    Raises:
        LedgerError: one isn't settled, or they are the wrong way round.
    """
    last = ledger.height if later is None else later
    if earlier > last:
        raise LedgerError(f"round {earlier} is after round {last}", remedy="name the earlier one first")
    notes = {number: ledger.checkpoint_of(number).note for number in (earlier, last)}
    path = consistency_proof(ledger.leaf_hashes(until=last), earlier + 1)
    return {"format": GROWTH, "version": 1, "earlier": notes[earlier], "later": notes[last], "path": path}


def verify_proof(document: object, key: VerifierKey) -> PaymentFacts | AccountFacts | OrderFacts | GrowthFacts:
    """Check a proof with nothing but the validator's key.

    Args:
        document: what one of the functions above gave; nothing in it is trusted.
        key: of the log.

    Returns:
        What it shows.

    Raises:
        ProofError: it isn't a proof, isn't of this log, or doesn't hold; says which part.
    """
    kind = document.get("format") if isinstance(document, Mapping) else None
    known = {PAYMENT: _PAYMENT_FIELDS, ACCOUNT: _ACCOUNT_FIELDS, ORDER: _ORDER_FIELDS, GROWTH: _GROWTH_FIELDS}
    fields = known.get(kind if isinstance(kind, str) else "")
    if not isinstance(document, Mapping) or set(document) != fields or document["version"] != 1:
        raise ProofError("this isn't a proof of version 1", remedy="give the file that `subnet ledger prove` wrote")
    if kind == PAYMENT:
        return _payment(document, key)
    if kind == ACCOUNT:
        return _account(document, key)
    return _order(document, key) if kind == ORDER else _growth(document, key)


def _placed(ledger: Ledger, number: int, leaves: Sequence[str]) -> dict[str, Any]:
    """Return a round's leaf, and what shows that it is in the log of the checkpoint that these leaves end with."""
    height = len(leaves) - 1
    row = next((one for one in ledger.rounds(number) if one.round == number), None)
    if row is None or number > height:
        raise LedgerError(f"round {number} isn't settled", remedy=f"name a round from 1 to {height}")
    note = ledger.checkpoint_of(height).note
    return {"checkpoint": note, "round": leaf_fields(row), "path": inclusion_proof(leaves, number)}


def _moved(ledger: Ledger, number: int, accounts: Collection[str]) -> list[dict[str, Any]]:
    """Return a round's postings to some accounts, each with its place in the round's tree."""
    postings = ledger.postings(number)
    places = [place for place, one in enumerate(postings) if one.account in accounts]
    hashes = [leaf_hash(one.leaf) for one in postings] if places else []
    return [_part(asdict(postings[place]), place, hashes) for place in places]


def _part(entry: Mapping[str, Any], place: int, hashes: list[str]) -> dict[str, Any]:
    """Return a receipt entry, posting or order with its place in its round's tree."""
    return {"entry": dict(entry), "index": place, "size": len(hashes), "path": inclusion_proof(hashes, place)}


def _payment(document: Mapping[str, Any], key: VerifierKey) -> PaymentFacts:
    tree, row = _round(document, key)
    hotkey, receipt = document["hotkey"], document["receipt"]
    entry = _entry(receipt, row["receipts_root"], "receipt") if receipt is not None else {}
    movements = _movements(document, row)
    accounts = {f"{PENDING_PREFIX}{hotkey}", f"{PARTICIPANT_PREFIX}{hotkey}"}
    if entry.get("hotkey", hotkey) != hotkey or any(account not in accounts for account, _, _ in movements):
        raise ProofError(f"the proof shows somebody else's entries, not those of {hotkey!r:.20}", remedy="distrust it")
    return PaymentFacts(
        subnet=tree.origin,
        hotkey=str(hotkey),
        round=row["round"],
        settled_at=row["settled_at"],
        status=entry.get("status", ""),
        score=entry.get("score", 0),
        receipt_hash=entry.get("receipt_hash", ""),
        movements=movements,
        size=tree.size,
    )


def _account(document: Mapping[str, Any], key: VerifierKey) -> AccountFacts:
    tree, row = _round(document, key)
    account, movements = document["account"], _movements(document, row)
    if not movements or any(whose != account for whose, _, _ in movements):
        raise ProofError(f"the proof shows other postings than those of {account!r:.80}", remedy="distrust it")
    settled_at: int = row["settled_at"]
    return AccountFacts(
        subnet=tree.origin,
        account=str(account),
        round=row["round"],
        settled_at=settled_at,
        movements=movements,
        size=tree.size,
    )


def _movements(document: Mapping[str, Any], row: Mapping[str, Any]) -> tuple[tuple[str, str, int], ...]:
    """Return account, kind and amount of the postings that a proof shows, once they are shown to be in their round."""
    postings = document["postings"] if isinstance(document["postings"], list) else [None]
    found = [_entry(one, row["postings_root"], "posting") for one in postings]
    return tuple((one["account"], one["kind"], one["amount"]) for one in found)


def _order(document: Mapping[str, Any], key: VerifierKey) -> OrderFacts:
    tree, row = _round(document, key)
    entry = _entry(document["order"], row.get("orders_root", ""), "order")
    try:
        signed = SignedOrder.from_dict(entry)
    except LedgerError as error:
        raise ProofError(f"the proof shows no order: {error.message}", remedy="distrust it") from error
    if not signed.is_signed:
        raise ProofError("its coldkey hasn't signed the order", remedy="distrust the validator that settled it")
    settled_at: int = row["settled_at"]
    return OrderFacts(subnet=tree.origin, round=row["round"], settled_at=settled_at, order=signed.order, size=tree.size)


def _round(document: Mapping[str, Any], key: VerifierKey) -> tuple[TreeHead, Mapping[str, Any]]:
    """Return the log's checkpoint and a round's leaf, once that is shown to be in it."""
    tree = TreeHead.open(_text(document["checkpoint"]), key)
    row = document["round"]
    number = row.get("round") if isinstance(row, Mapping) else None
    if not isinstance(number, int) or not _is_in(row, number, tree.size, document["path"], tree.root):
        raise ProofError("the round isn't in the log of this checkpoint", remedy="distrust this proof")
    return tree, row


def _growth(document: Mapping[str, Any], key: VerifierKey) -> GrowthFacts:
    earlier, later = (TreeHead.open(_text(document[name]), key) for name in ("earlier", "later"))
    path = document["path"]
    holds = isinstance(path, list) and verify_consistency(
        earlier=earlier.size, earlier_root=earlier.root, later=later.size, later_root=later.root, proof=path
    )
    if not holds:
        raise ProofError(
            f"the log of {later.size} leaves isn't shown to extend that of {earlier.size}",
            remedy="ask the validator for a proof; if there is none, it has rewritten its history",
        )
    return GrowthFacts(subnet=key.name, earlier=earlier.size - 1, later=later.size - 1)


def _entry(part: object, root: str, what: str) -> Mapping[str, Any]:
    """Return a receipt entry, posting or order once it is shown to be in its round's tree."""
    whole = isinstance(part, Mapping) and set(part) == {"entry", "index", "size", "path"}
    entry = part["entry"] if isinstance(part, Mapping) and whole else None
    if not isinstance(part, Mapping) or not isinstance(entry, Mapping):
        raise ProofError(f"the proof's {what} is malformed", remedy="give the file as it was written")
    if not _is_in(entry, part["index"], part["size"], part["path"], root):
        raise ProofError(f"the {what} isn't in its round", remedy="distrust this proof: it was altered")
    return entry


def _is_in(content: object, index: object, size: object, path: object, root: str) -> bool:
    """Whether plain data is a leaf of a tree; anything malformed isn't."""
    integers = all(isinstance(one, int) and not isinstance(one, bool) for one in (index, size))
    if not integers or not isinstance(path, list):
        return False
    try:
        leaf = leaf_hash(canonical_json(content))
    except CanonicalError:
        return False
    return verify_inclusion(leaf, index=index, size=size, proof=path, root=root)  # type: ignore[arg-type]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ProofError("the proof's checkpoint isn't text", remedy="give the file as it was written")
    return value
