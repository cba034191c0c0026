"""A coldkey's signed order to move what is its own: to transfer, stake, unstake or burn it."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Self

from tokenomics._checks import INT64_MAX, check_hex, check_integer, check_text
from tokenomics.canonical import canonical_json, sha256_hex
from tokenomics.errors import OrderError
from tokenomics.keys import Keypair, verify
from tokenomics.ledger.accounts import BURN, ESCROW_PREFIX, escrow_account, hotkey_of, is_escrow_of, wallet_account
from tokenomics.ledger.title import Title

OrderKind = Literal["transfer", "stake", "unstake", "burn"]
"""What an order does, and the kind of its two postings."""

ORDER_KINDS: Final = ("transfer", "stake", "unstake", "burn")
DOMAIN: Final = "ledger-order"
"""Domain in which a coldkey signs the canonical JSON of an order."""
MAX_ORDERS: Final = 1_000
"""The most that a round settles."""
MAX_ORDER_BYTES: Final = 16_384
"""No signed order is longer; checked before it is parsed."""

_FORMAT: Final = "flower-subnet-order"
_FIELDS: Final = {"format", "version", "order", "signature", "title"}
_ORDER_FIELDS: Final = {"subnet", "kind", "coldkey", "source", "destination", "amount", "nonce", "expires"}
_REMEDY: Final = "give the file that `subnet wallet transfer` and its like wrote"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a coldkey wants moved, and where.

    Args:
        subnet: the ledger that it is for: the head of its genesis, 64 hexadecimal digits.
        kind: `transfer`, `stake`, `unstake` or `burn`.
        coldkey: who orders it, 64 hexadecimal digits.
        source: the account that pays; for `unstake` an `escrow:VALIDATOR:COLDKEY`.
        destination: the account that receives; `burn` for a burn, the coldkey's escrow for a stake, its wallet for an
            unstake.
        amount: base units, 1 to 2**63 - 1.
        nonce: one more than that of the coldkey's order before, in this ledger; from 1.
        expires: the last round that may settle it, from 1.

    Raises:
        OrderError: a field is out of range, or the accounts don't fit the kind.
    """

    subnet: str
    kind: OrderKind
    coldkey: str
    source: str
    destination: str
    amount: int
    nonce: int
    expires: int

    def __post_init__(self) -> None:
        check_hex("subnet", self.subnet, error=OrderError)
        check_hex("coldkey", self.coldkey, error=OrderError)
        if self.kind not in ORDER_KINDS:
            raise OrderError(f"kind is {self.kind!r:.80}", remedy=f"use one of {', '.join(ORDER_KINDS)}")
        for name in ("source", "destination"):
            check_text(name, getattr(self, name), max_length=160, error=OrderError)
        for name in ("amount", "nonce", "expires"):
            check_integer(name, getattr(self, name), minimum=1, maximum=INT64_MAX, error=OrderError)
        if self.source == self.destination:
            raise OrderError(f"{self.source} would pay itself", remedy="name another destination")
        problem = self._misfit()
        if problem:
            article = "an" if self.kind == "unstake" else "a"
            raise OrderError(
                f"{article} {self.kind} {problem}", remedy="see docs/ledger.md for which account each kind takes"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, whose canonical bytes are signed."""
        return {"version": 1, **asdict(self)}

    @classmethod
    def from_dict(cls, data: object) -> Self:
        """Read what `to_dict` gave.

        Raises:
            OrderError: it is something else, or a field is out of range.
        """
        if not isinstance(data, dict) or set(data) != _ORDER_FIELDS | {"version"} or data["version"] != 1:
            raise OrderError("the order hasn't exactly the fields of version 1", remedy=_REMEDY)
        return cls(**{name: data[name] for name in _ORDER_FIELDS})

    def sign(self, coldkey: Keypair, *, title: Title | None = None) -> "SignedOrder":
        """Sign it with its coldkey.

        Args:
            coldkey: the one that the order names.
            title: for a hotkey's account, that hotkey's enrolment: needed until the ledger knows whose the account is.

        Raises:
            OrderError: it is another key.
        """
        if coldkey.public != self.coldkey:
            raise OrderError(
                f"{coldkey.public[:12]} signs an order of {self.coldkey[:12]}", remedy="use the wallet that it names"
            )
        signature = coldkey.sign(DOMAIN, canonical_json(self.to_dict()))
        return SignedOrder(order=self, signature=signature, title=title)

    def _misfit(self) -> str:
        """Say how the accounts don't fit the kind; empty where they do."""
        own_escrow, own_wallet = is_escrow_of(self.destination, self.coldkey), wallet_account(self.coldkey)
        if self.kind == "burn" and self.destination != BURN:
            return f"goes to {BURN}, not to {self.destination}"
        if self.kind == "stake" and not own_escrow:
            return f"goes to {escrow_account('VALIDATOR', self.coldkey)}, not to {self.destination}"
        if self.kind == "unstake" and (not is_escrow_of(self.source, self.coldkey) or self.destination != own_wallet):
            return f"goes from the coldkey's escrow to its wallet, not from {self.source} to {self.destination}"
        if self.kind != "unstake" and self.source.startswith(ESCROW_PREFIX):
            return f"can't spend {self.source}: what is staked has to be unstaked first"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedOrder:
    """An order with its coldkey's signature. Nothing is known to hold until `spending.refusal` has looked at it.

    Raises:
        OrderError: the signature isn't one by its form, or there is a title where none is due.
    """

    order: Order
    signature: str
    """128 hexadecimal digits."""
    title: Title | None = None
    """Whose the paying account is, in the words of its hotkey."""

    def __post_init__(self) -> None:
        check_hex("the order's signature", self.signature, n_digits=128, error=OrderError)
        if self.title is not None and hotkey_of(self.order.source) is None:
            raise OrderError(f"{self.order.source} isn't a hotkey's account, so no title is due", remedy="leave it out")

    @property
    def place(self) -> tuple[str, int]:
        """Coldkey and nonce: orders are settled in this order, and each place is taken once in a ledger."""
        return (self.order.coldkey, self.order.nonce)

    @property
    def leaf(self) -> bytes:
        """Its canonical bytes: what is hashed and written to a file."""
        return canonical_json(self.to_dict())

    @property
    def hash(self) -> str:
        """SHA-256 of its canonical bytes, 64 hexadecimal digits."""
        return sha256_hex(self.leaf)

    @property
    def is_signed(self) -> bool:
        """Whether the signature is that of the coldkey that the order names."""
        message = canonical_json(self.order.to_dict())
        return verify(public=self.order.coldkey, domain=DOMAIN, message=message, signature=self.signature)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        title = None if self.title is None else self.title.to_dict()
        signed = {"order": self.order.to_dict(), "signature": self.signature, "title": title}
        return {"format": _FORMAT, "version": 1, **signed}

    @classmethod
    def from_dict(cls, data: object) -> Self:
        """Read what `to_dict` gave; the signature isn't checked.

        Raises:
            OrderError: it is something else, or a field is out of range.
        """
        if not isinstance(data, dict) or set(data) != _FIELDS or (data["format"], data["version"]) != (_FORMAT, 1):
            raise OrderError("this isn't an order of version 1", remedy=_REMEDY)
        title = None if data["title"] is None else Title.from_dict(data["title"])
        return cls(order=Order.from_dict(data["order"]), signature=data["signature"], title=title)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read an order's file, however it is spelled.

        Raises:
            OrderError: it isn't an order, or longer than `MAX_ORDER_BYTES`.
        """
        if len(data) > MAX_ORDER_BYTES:
            raise OrderError(f"an order of {len(data)} bytes, more than {MAX_ORDER_BYTES}", remedy=_REMEDY)
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise OrderError("this isn't an order: it isn't JSON", remedy=_REMEDY) from error
        return cls.from_dict(document)
