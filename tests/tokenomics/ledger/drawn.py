"""Ledgers and rounds for hypothesis to draw: schedules that run out, ties, strikes, huge scores and orders."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from tests.tokenomics.ledger.conftest import digest
from tests.tokenomics.ledger.model import ELSEWHERE, FORGED, Model
from tests.tokenomics.ledger.owners import ALICE, BOB, CAROL, escrow, order_of, participant, purse, title_of
from tokenomics import HeightSchedule, Shares, SupplySchedule, Token
from tokenomics.keys import BINDING_DOMAIN, Keypair, Wallet
from tokenomics.ledger import Genesis, ReceiptEntry, Settlement, SignedOrder, Title
from tokenomics.ledger.log import genesis_head
from tokenomics.ledger.order import ORDER_KINDS

VALIDATOR = Keypair.from_seed(bytes(32))
WALLETS = (ALICE, BOB, CAROL)
HOTKEYS = (*(wallet.hotkey.keypair.public for wallet in WALLETS), digest("dan"))

LARGEST = 2**63 - 1

schedules = st.one_of(
    st.builds(HeightSchedule, subsidy=st.integers(1, 2_000), interval=st.integers(1, 9)),
    st.builds(SupplySchedule, cap=st.integers(1, 5_000), emission=st.integers(1, 800)),
    st.builds(SupplySchedule, cap=st.just(LARGEST), emission=st.integers(LARGEST // 9, LARGEST)),
)
shares = st.builds(Shares, owner=st.integers(0, 3), validator=st.integers(0, 3), participants=st.integers(1, 9))
scores = st.integers(0, 9) | st.integers(0, 2**63 - 1)
outcomes = st.one_of(
    st.tuples(st.just("accepted"), scores, st.sampled_from([False])),
    st.tuples(st.sampled_from(["accepted", "rejected", "missing"]), st.just(0), st.booleans()),
)
rounds = st.fixed_dictionaries(
    {
        "outcomes": st.dictionaries(st.sampled_from(HOTKEYS), outcomes),
        "unpaid_score": st.just(0) | scores,
        "pays": st.sampled_from([True, True, True, False]),
    }
)

_ACCOUNTS = ("own", "own", "purse", "purse", "another's", "another's purse", "owner", "validator")
_AMISS = ("burn", "pending", "another validator", "no purse")
_TITLES = ("no title", "another's title", "title of elsewhere", "title unbound", "title unsigned", "theft", "theft")
_FLAWS = ("forged", "elsewhere", "expired", "other escrow", *_TITLES)
drawn_wishes = st.fixed_dictionaries(
    {
        "who": st.sampled_from(WALLETS),
        "kind": st.sampled_from(ORDER_KINDS),
        "source": st.sampled_from([*_ACCOUNTS * 2, *_AMISS, "issuance"]),
        "destination": st.sampled_from([*_ACCOUNTS * 2, *_AMISS, "nobody"]),
        "another": st.sampled_from(WALLETS),
        "amount": st.integers(1, 40) | st.integers(1, 2_000) | st.sampled_from(["all", "more than all", LARGEST]),
        "step": st.sampled_from([1, 1, 1, 1, 1, 0, 2]),
        "lasts": st.integers(0, 9),
        "flaw": st.sampled_from([*[None] * len(_FLAWS), *_FLAWS]),
    }
)
"""Orders of all kinds from and to anywhere, of which few apply."""
sound_wishes = st.fixed_dictionaries(
    {
        "place": st.integers(0, 20),
        "kind": st.sampled_from(["transfer", "transfer", "stake", "burn"]),
        "destination": st.sampled_from(WALLETS),
        "share": st.integers(0, 100),
        "lasts": st.integers(0, 9),
    }
)
"""Orders that apply wherever there is something to spend, if no others come before them."""
replays = st.fixed_dictionaries({"again": st.integers(0, 20)})
"""Orders that were handed in before, whatever became of them."""
rounds_with_orders = st.builds(
    lambda drawn, wishes, again: {**drawn, "wishes": wishes + again},
    rounds,
    st.lists(sound_wishes, max_size=4) | st.lists(drawn_wishes, max_size=4),
    st.lists(replays, max_size=2),
)


def genesis_of(
    schedule: HeightSchedule | SupplySchedule, shares: Shares, vesting: int, *, owner: str = "team"
) -> Genesis:
    """A first row with what was drawn."""
    return Genesis(
        subnet="digits",
        spec_hash=digest("spec"),
        validator=VALIDATOR.public,
        owner=owner,
        token=Token("DIG"),
        schedule=schedule,
        shares=shares,
        vesting=vesting,
        model_hash=digest(("model", 0)),
        validation_root=digest("validation"),
        created_at=1_700_000_000,
    )


def settlement_of(model: Model, drawn: dict[str, Any], before: Sequence[SignedOrder] = ()) -> Settlement:
    """The round that follows; `drawn` says what became of whom, and which orders of `before` are there again."""
    number = model.height + 1
    entries = tuple(
        ReceiptEntry(hotkey=hotkey, receipt_hash=digest((number, hotkey)), status=status, score=score, struck=struck)
        for hotkey, (status, score, struck) in drawn["outcomes"].items()
    )
    return Settlement(
        round=number,
        base_hash=model.settled[-1].model_hash if model.settled else model.genesis.model_hash,
        model_hash=digest(("model", number, drawn["pays"])),
        record_hash=digest(("record", number)),
        settled_at=1_700_000_000 + number,
        entries=entries,
        unpaid_score=drawn["unpaid_score"],
        pays=drawn["pays"],
        orders=orders_of(model, drawn.get("wishes", ()), before),
    )


def orders_of(
    model: Model, wishes: Iterable[dict[str, Any]], before: Sequence[SignedOrder] = ()
) -> tuple[SignedOrder, ...]:
    """What owners order next; a wish that isn't even an order by its form is none."""
    nonces = Counter(model.nonces)
    found: list[SignedOrder | None] = []
    for wish in wishes:
        if "again" in wish:
            found += before[::-1][wish["again"] : wish["again"] + 1]
        else:
            found.append((_sound_order if "place" in wish else _drawn_order)(model, wish, nonces))
    return tuple(one for one in found if one is not None)


def _sound_order(model: Model, wish: dict[str, Any], nonces: Counter[str]) -> SignedOrder | None:
    genesis, theirs = model.genesis, model.genesis.owner
    spendable = [
        (account, wallet)
        for wallet in WALLETS
        for account in (
            *(participant(wallet), purse(wallet), escrow(wallet, genesis)),
            *([f"owner:{theirs}", f"validator:{genesis.validator}"] if theirs == wallet.coldkey.public else []),
        )
        if model.balances[account]
    ]
    if not spendable:
        return None
    source, wallet = spendable[wish["place"] % len(spendable)]
    kind = "unstake" if source.startswith("escrow:") else wish["kind"]
    to = {"unstake": purse(wallet), "stake": escrow(wallet, genesis), "burn": "burn"}.get(
        kind, purse(wish["destination"])
    )
    if source == to:
        return None
    nonces[wallet.coldkey.public] += 1
    return order_of(
        wallet,
        genesis,
        kind=kind,
        source=source,
        destination=to,
        amount=max(1, wish["share"] * model.balances[source] // 100),
        nonce=nonces[wallet.coldkey.public],
        expires=model.height + 1 + wish["lasts"],
    )


def _drawn_order(model: Model, wish: dict[str, Any], nonces: Counter[str]) -> SignedOrder | None:
    genesis, wallet, another, flaw = model.genesis, wish["who"], wish["another"], wish["flaw"]
    own, kind, coldkey = participant(wallet), wish["kind"], wallet.coldkey.public
    mine = escrow(wallet, genesis) if flaw != "other escrow" else f"escrow:{digest('another validator')}:{coldkey}"
    names = {
        "own": own,
        "purse": purse(wallet),
        "another's": participant(another),
        "another's purse": purse(another),
        "owner": f"owner:{genesis.owner}",
        "validator": f"validator:{genesis.validator}",
        "another validator": f"validator:{digest('another validator')}",
        "pending": own.replace("participant", "pending"),
        "nobody": f"participant:{digest('nobody')}",
        "no purse": "wallet:nobody",
        "burn": "burn",
        "issuance": "issuance",
    }
    source = mine if kind == "unstake" else names[wish["source"]]
    if flaw in _TITLES and kind != "unstake":
        source = participant(another if flaw == "theft" else wallet)
    destination = {"stake": mine, "unstake": purse(wallet), "burn": "burn"}.get(kind, names[wish["destination"]])
    has, nonce = max(1, model.balances[source]), nonces[coldkey] + wish["step"]
    if source == destination or not nonce:
        return None
    if not flaw:
        nonces[coldkey] = nonce
    signed = order_of(
        wallet,
        genesis,
        subnet=ELSEWHERE if flaw == "elsewhere" else genesis_head(genesis),
        kind=kind,
        source=source,
        destination=destination,
        amount={"all": has, "more than all": min(has + 1, LARGEST)}.get(wish["amount"], wish["amount"]),
        nonce=nonce,
        expires=model.height + 1 + wish["lasts"] if flaw != "expired" else max(1, model.height),
    )
    if flaw in _TITLES and kind != "unstake":
        signed = replace(signed, title=_title(flaw, wallet, another))
    return replace(signed, signature=FORGED) if flaw == "forged" else signed


def _title(flaw: str, wallet: Wallet, another: Wallet) -> Title | None:
    """What is shown in place of a hotkey's own enrolment; a stolen hotkey enrols for its thief, who binds it."""
    hotkey = another.hotkey.keypair.public
    stolen = {"coldkey": wallet.coldkey.public, "binding": wallet.coldkey.sign(BINDING_DOMAIN, hotkey.encode())}
    titles = {
        "another's title": title_of(another),
        "title of elsewhere": title_of(wallet, subnet=ELSEWHERE),
        "title unbound": title_of(wallet, binding=FORGED),
        "title unsigned": replace(title_of(wallet), signature=FORGED),
        "theft": title_of(another, **stolen),
    }
    return titles.get(flaw)
