"""The ledger's accounts: their names, and whose each of them is.

| account | whose |
|---|---|
| `issuance` | nobody's: where every base unit comes from; minus the supply |
| `owner:ID` | the owner's, if the genesis names it by a coldkey |
| `validator:HOTKEY` | the same coldkey's: a validator's pay is its owner's |
| `pending:HOTKEY` | nobody's yet: pay that hasn't vested |
| `participant:HOTKEY` | that of the coldkey for which the hotkey has enrolled |
| `wallet:COLDKEY` | that coldkey's |
| `escrow:VALIDATOR:COLDKEY` | that coldkey's, staked to a validator: it can only be unstaked |
| `burn` | nobody's: nothing leaves it |
"""

from typing import Final

from tokenomics._checks import is_hex
from tokenomics.ledger.vesting import BURN, PARTICIPANT_PREFIX

OWNER_PREFIX: Final = "owner:"
VALIDATOR_PREFIX: Final = "validator:"
WALLET_PREFIX: Final = "wallet:"
ESCROW_PREFIX: Final = "escrow:"

__all__ = [
    "BURN",
    "ESCROW_PREFIX",
    "OWNER_PREFIX",
    "PARTICIPANT_PREFIX",
    "VALIDATOR_PREFIX",
    "WALLET_PREFIX",
    "escrow_account",
    "hotkey_of",
    "is_escrow_of",
    "is_wallet",
    "wallet_account",
]


def wallet_account(coldkey: str) -> str:
    """Return the account of a coldkey itself."""
    return f"{WALLET_PREFIX}{coldkey}"


def escrow_account(validator: str, coldkey: str) -> str:
    """Return the account of what a coldkey has staked to a validator."""
    return f"{ESCROW_PREFIX}{validator}:{coldkey}"


def hotkey_of(account: str) -> str | None:
    """Return the hotkey whose vested pay an account holds; None for other accounts."""
    hotkey = account.removeprefix(PARTICIPANT_PREFIX)
    return hotkey if hotkey != account and is_hex(hotkey, 64) else None


def is_wallet(account: str) -> bool:
    """Whether an account is a coldkey's own."""
    coldkey = account.removeprefix(WALLET_PREFIX)
    return coldkey != account and is_hex(coldkey, 64)


def is_escrow_of(account: str, coldkey: str) -> bool:
    """Whether an account holds what a coldkey has staked, to whichever validator."""
    prefix, _, rest = account.partition(":")
    validator, _, staker = rest.partition(":")
    return f"{prefix}:" == ESCROW_PREFIX and is_hex(validator, 64) and staker == coldkey
