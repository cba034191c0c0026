"""Whose money somebody asks about: hotkeys and accounts, by the beginnings of their names."""

from typing import TYPE_CHECKING

from subnet.errors import RunError

if TYPE_CHECKING:
    from tokenomics.ledger import Ledger

_ACCOUNTS = ("owner", "validator", "wallet", "escrow")
"""The accounts that aren't a participant's and can have a statement."""


def is_account(prefix: str) -> bool:
    """Whether somebody means an account that isn't a participant's."""
    return prefix.partition(":")[0] in _ACCOUNTS


def one_account(ledger: "Ledger", prefix: str) -> str:
    """Return the one hotkey with a receipt, or the one account that isn't a participant's, that begins so.

    Each part of an account's name may be cut short: `escrow:34ce:7f71`; `owner` and `validator` need no more.

    Raises:
        RunError: none does, or several do.
    """
    if not is_account(prefix):
        return one_hotkey(ledger, prefix)
    kind, *parts = prefix.split(":")
    found = [
        account
        for account in ledger.balances()
        if (named := account.split(":"))[0] == kind
        and len(parts) < len(named)
        and all(name.startswith(part) for name, part in zip(named[1:], parts, strict=False))
    ]
    if len(found) != 1:
        raise RunError(
            f"{prefix!r:.80} is {len(found)} accounts" if found else f"{prefix!r:.80} is no account of this ledger",
            remedy="give more digits" if found else "`subnet ledger show` lists all accounts",
        )
    return found[0]


def one_hotkey(ledger: "Ledger", prefix: str) -> str:
    """Return the one hotkey with a receipt that begins so.

    Raises:
        RunError: none does, or several do.
    """
    found = [hotkey for hotkey in ledger.hotkeys() if hotkey.startswith(prefix.lower())]
    if len(found) > 1:
        raise RunError(f"{prefix!r} begins {len(found)} hotkeys", remedy="give more digits")
    if not found:
        raise RunError(
            f"no hotkey that begins with {prefix!r:.80} has a receipt in {ledger.height} rounds",
            remedy="`subnet earnings DIR` shows who was paid",
        )
    return found[0]
