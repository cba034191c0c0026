"""What goes into the ledger and what comes out: plain records that check themselves."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from json.encoder import encode_basestring
from typing import Any, Final, Literal, Self

from tokenomics._checks import check_hex, check_integer, check_text
from tokenomics.amount import Token
from tokenomics.emission import HeightSchedule, Schedule, SupplySchedule, schedule_from_dict, schedule_to_dict
from tokenomics.errors import AmountError, LedgerError
from tokenomics.ledger.order import MAX_ORDERS, SignedOrder
from tokenomics.split import Shares

Status = Literal["accepted", "rejected", "missing"]
"""What became of a participant's contribution to a round."""

STATUSES: Final = ("accepted", "rejected", "missing")
ISSUANCE: Final = "issuance"
"""The account that every new base unit comes from; its balance is minus what was minted."""
MAX_VESTING: Final = 10_000
"""The most rounds for which pay can be pending."""
_GENESIS_VERSION: Final = 3

_GENESIS_FIELDS: Final = {
    "version",
    "subnet",
    "spec_hash",
    "validator",
    "owner",
    "token",
    "schedule",
    "shares",
    "vesting",
    "model_hash",
    "validation_root",
    "nonce_commitment",
    "created_at",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """A ledger's first row: everything that later amounts are computed from. It never changes.

    Args:
        subnet: the subnet's name, 1 to 128 printable characters.
        spec_hash: content hash of its spec.
        validator: the hotkey that signs every round.
        owner: the owner's id or name, 1 to 128 printable characters.
        token: what is paid.
        schedule: what each round may mint; its cap must fit 64 bits.
        shares: how that is divided before scores matter.
        vesting: rounds after which participants' pay is theirs, 0 to 10,000; 0 pays at once.
        model_hash: hash of the model that round 1 starts from.
        validation_root: Merkle root of the secret validation data.
        nonce_commitment: hash of the nonce by which round 1 is drawn; `""` where nothing is drawn.
        created_at: Unix time in seconds.

    Raises:
        AmountError: the schedule's cap is more than 2**63 - 1 base units.
        LedgerError: another field is out of range.
    """

    subnet: str
    spec_hash: str
    validator: str
    owner: str
    token: Token
    schedule: Schedule
    shares: Shares
    vesting: int
    model_hash: str
    validation_root: str
    nonce_commitment: str = ""
    created_at: int

    def __post_init__(self) -> None:
        for name in ("subnet", "owner"):
            check_text(name, getattr(self, name), error=LedgerError)
        for name in ("spec_hash", "validator", "model_hash", "validation_root"):
            check_hex(name, getattr(self, name), error=LedgerError)
        if self.nonce_commitment:
            check_hex("nonce_commitment", self.nonce_commitment, error=LedgerError)
        for name, kind in (("token", Token), ("schedule", HeightSchedule | SupplySchedule), ("shares", Shares)):
            if not isinstance(getattr(self, name), kind):
                raise LedgerError(f"{name} is {getattr(self, name)!r:.80}, not a {name}", remedy="see `Genesis`")
        check_integer("vesting", self.vesting, maximum=MAX_VESTING, error=LedgerError)
        check_integer("created_at", self.created_at, error=LedgerError)
        check_integer("the schedule's cap", self.schedule.cap, error=AmountError)

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain data, whose canonical bytes are hashed and stored."""
        return {
            "version": _GENESIS_VERSION,
            **{name: getattr(self, name) for name in _GENESIS_FIELDS - {"version", "token", "schedule", "shares"}},
            "token": asdict(self.token),
            "schedule": schedule_to_dict(self.schedule),
            "shares": asdict(self.shares),
        }

    @classmethod
    def from_dict(cls, data: object) -> Self:
        """Return the genesis that `to_dict` wrote down.

        Raises:
            TokenomicsError: a field is missing, unknown or out of range.
        """
        if not isinstance(data, dict) or set(data) != _GENESIS_FIELDS or data["version"] != _GENESIS_VERSION:
            message = f"the genesis hasn't exactly the fields of version {_GENESIS_VERSION}"
            raise LedgerError(message, remedy="restore it from a backup")
        parts = {"token": {"symbol", "decimals"}, "shares": {"owner", "validator", "participants"}}
        for name, fields in parts.items():
            if not isinstance(data[name], dict) or set(data[name]) != fields:
                raise LedgerError(f"the genesis names no proper {name}", remedy="restore it from a backup")
        if not isinstance(data["schedule"], dict):
            raise LedgerError("the genesis names no proper schedule", remedy="restore it from a backup")
        given = {name: value for name, value in data.items() if name != "version"}
        given["token"] = Token(**data["token"])
        given["shares"] = Shares(**data["shares"])
        given["schedule"] = schedule_from_dict(data["schedule"])
        return cls(**given)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptEntry:
    """One participant's line of a round.

    Args:
        hotkey: who.
        receipt_hash: content hash of the receipt that explains the score.
        status: what became of the contribution.
        score: the payable score, 0 to 2**63 - 1; positive only for an accepted contribution.
        struck: whether the contribution was a strike, which voids the hotkey's pending pay; such a one has no score.

    Raises:
        LedgerError: a field is out of range.
    """

    hotkey: str
    receipt_hash: str
    status: Status
    score: int
    struck: bool

    def __post_init__(self) -> None:
        check_hex("hotkey", self.hotkey, error=LedgerError)
        check_hex("receipt_hash", self.receipt_hash, error=LedgerError)
        if self.status not in STATUSES:
            raise LedgerError(f"status is {self.status!r:.80}", remedy=f"use one of {', '.join(STATUSES)}")
        check_integer("score", self.score, error=LedgerError)
        if self.score and self.status != "accepted":
            raise LedgerError(
                f"hotkey {self.hotkey[:12]} has score {self.score}, but its contribution is {self.status}",
                remedy="give a score of 0, or accept the contribution",
            )
        if not isinstance(self.struck, bool):
            raise LedgerError(f"struck is {self.struck!r:.80}, neither True nor False", remedy="give a bool")
        if self.struck and self.score:
            raise LedgerError(
                f"hotkey {self.hotkey[:12]} is struck, but has score {self.score}",
                remedy="a strike earns nothing: give a score of 0",
            )

    @property
    def leaf(self) -> bytes:
        """The entry's canonical bytes: what `canonical_json` gives of its fields, which are all checked and plain."""
        struck = "true" if self.struck else "false"
        return (
            f'{{"hotkey":"{self.hotkey}","receipt_hash":"{self.receipt_hash}","score":{self.score},'
            f'"status":"{self.status}","struck":{struck}}}'
        ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What a validator asks the ledger to settle. It names scores, never amounts: those the ledger computes itself.

    Args:
        round: 1 or more.
        base_hash: hash of the model that the round started from.
        model_hash: hash of the model that it ended with.
        record_hash: content hash of the round's record.
        settled_at: Unix time in seconds.
        entries: one for each participant, in any order; each hotkey once.
        unpaid_score: score above somebody's cap, whose part isn't minted; 0 or more.
        pays: False where the round's model was refused: then nothing is minted.
        orders: what coldkeys want moved, at most `MAX_ORDERS`, in any order; those that don't apply are left out.

    Raises:
        LedgerError: a field is out of range, or a hotkey is there twice.
    """

    round: int
    base_hash: str
    model_hash: str
    record_hash: str
    settled_at: int
    entries: tuple[ReceiptEntry, ...]
    unpaid_score: int
    pays: bool
    orders: tuple[SignedOrder, ...] = ()

    def __post_init__(self) -> None:
        check_integer("round", self.round, minimum=1, error=LedgerError)
        if len(self.orders) > MAX_ORDERS:
            message = f"round {self.round} has {len(self.orders)} orders, more than {MAX_ORDERS}"
            raise LedgerError(message, remedy="leave some for the next round")
        for name in ("base_hash", "model_hash", "record_hash"):
            check_hex(name, getattr(self, name), error=LedgerError)
        for name in ("settled_at", "unpaid_score"):
            check_integer(name, getattr(self, name), error=LedgerError)
        if not isinstance(self.pays, bool):
            raise LedgerError(f"pays is {self.pays!r:.80}, neither True nor False", remedy="give a bool")
        seen: set[str] = set()
        for entry in self.entries:
            if entry.hotkey in seen:
                message = f"hotkey {entry.hotkey} has two entries in round {self.round}"
                raise LedgerError(message, remedy="give each hotkey one entry")
            seen.add(entry.hotkey)


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One side of a movement of base units.

    `amount` is signed: what an account receives is positive. A round's postings sum to zero.
    """

    position: int
    """0, 1, ... within the round."""
    account: str
    """See `tokenomics.ledger.accounts`."""
    kind: str
    """What it is for: `emission`, `release` of what was pending, `void`, or the kind of an order."""
    amount: int
    """Base units."""

    def __post_init__(self) -> None:
        check_integer("position", self.position, error=LedgerError)
        check_text("account", self.account, max_length=160, error=LedgerError)
        check_text("kind", self.kind, max_length=32, error=LedgerError)
        check_integer("amount", self.amount, minimum=-(2**63), error=LedgerError)

    @property
    def leaf(self) -> bytes:
        """The posting's canonical bytes: what `canonical_json` gives of its fields."""
        (leaf,) = leaves_of([(self.account, self.kind, self.amount)], first=self.position)
        return leaf


def leaves_of(movements: Iterable[tuple[str, str, int]], *, first: int = 0) -> list[bytes]:
    """Return the canonical bytes of postings that follow one another, for whoever has no records of them.

    Args:
        movements: account, kind and amount of each.
        first: the first one's position.
    """
    quote = encode_basestring
    return [
        f'{{"account":{quote(account)},"amount":{amount},"kind":{quote(kind)},"position":{position}}}'.encode()
        for position, (account, kind, amount) in enumerate(movements, start=first)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRow:
    """A settled round, as the ledger holds it. Amounts are base units."""

    round: int
    era: int
    emission: int
    """What the schedule allowed."""
    minted: int
    """What this round brought into being."""
    unminted: int
    """`emission - minted`."""
    supply: int
    """All that was minted up to and with this round."""
    pays: bool
    unpaid_score: int
    base_hash: str
    model_hash: str
    record_hash: str
    settled_at: int
    """Unix time in seconds."""
    receipts_root: str
    """Merkle root (RFC 6962) of the canonical receipt entries, by hotkey."""
    postings_root: str
    """Merkle root of the canonical postings, by position."""
    orders_root: str
    """Merkle root of the canonical signed orders, by coldkey and nonce; empty where there are none."""
    head: str
    """Hash of all of the above, the receipts, the postings and the head before."""
    log_root: str
    """Merkle root of the log that ends with this round: the genesis and every round's row up to its head."""
    signature: str
    """The validator's signature over the round's checkpoint."""

    def __post_init__(self) -> None:
        for name in ("round", "era", "emission", "minted", "unminted", "supply", "unpaid_score", "settled_at"):
            check_integer(name, getattr(self, name), error=LedgerError)
        for name in ("base_hash", "model_hash", "record_hash", "receipts_root", "postings_root", "head", "log_root"):
            check_hex(name, getattr(self, name), error=LedgerError)
        if self.orders_root != "":
            check_hex("orders_root", self.orders_root, error=LedgerError)
        if not isinstance(self.pays, bool):
            raise LedgerError(f"pays is {self.pays!r:.80}, neither True nor False", remedy="restore the ledger")

    @property
    def content(self) -> dict[str, Any]:
        """What the chain hashes of the row: all but head, log root and signature; no root of orders without any."""
        left_out = {"head", "log_root", "signature"} | (set() if self.orders_root else {"orders_root"})
        return {name: value for name, value in asdict(self).items() if name not in left_out}
