"""Proofs for those without the ledger: they show what it holds, and nothing altered passes."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tokenomics.ledger.conftest import SCORES, digest
from tests.tokenomics.ledger.database import Database
from tokenomics.errors import LedgerError, ProofError
from tokenomics.keys import Keypair
from tokenomics.ledger import (
    AccountFacts,
    Genesis,
    GrowthFacts,
    Ledger,
    PaymentFacts,
    Settlement,
    prove_account,
    prove_growth,
    prove_payment,
    verify_ledger,
    verify_proof,
)
from tokenomics.ledger.log import Log
from tokenomics.merkle import merkle_root
from tokenomics.note import VerifierKey

ALICE = digest("alice")


@pytest.fixture
def proof(path: Path) -> tuple[dict[str, Any], VerifierKey]:
    """Alice's pay in round 3, as somebody receives it: from JSON."""
    with Ledger.open(path, read_only=True) as ledger:
        return json.loads(json.dumps(prove_payment(ledger, 3, ALICE))), ledger.key


def test_a_payments_proof_shows_receipt_and_postings(path: Path, proof: tuple[dict[str, Any], VerifierKey]) -> None:
    """What the ledger says of that round, and nothing of anybody else."""
    facts = verify_proof(*proof)
    with Ledger.open(path, read_only=True) as ledger:
        entry, row = ledger.receipt(3, ALICE), next(ledger.rounds(3))
        paid = [one for one in ledger.postings(3) if one.account == f"participant:{ALICE}"]
    assert entry is not None
    assert facts == PaymentFacts(
        subnet=proof[1].name,
        hotkey=ALICE,
        round=3,
        settled_at=row.settled_at,
        status="accepted",
        score=SCORES["alice"],
        receipt_hash=entry.receipt_hash,
        movements=tuple((one.account, one.kind, one.amount) for one in paid),
        size=7,
    )


def test_every_round_and_participant_can_be_proved(path: Path) -> None:
    """Also of who was paid nothing, and of a round that paid nobody."""
    with Ledger.open(path, read_only=True) as ledger:
        for number in range(1, 7):
            for name, score in SCORES.items():
                facts = verify_proof(prove_payment(ledger, number, digest(name)), ledger.key)
                assert isinstance(facts, PaymentFacts)
                assert (facts.round, facts.hotkey, facts.score) == (number, digest(name), score)
                assert bool(facts.movements) == (bool(score) and number != 4)


def test_pending_pay_and_its_release_are_proved(
    database: Database,
    tmp_path: Path,
    make_genesis: Callable[..., Genesis],
    make_settlement: Callable[..., Settlement],
    validator: Keypair,
) -> None:
    """A release is in a round of its own, whether or not its earner took part in that."""
    with database.create(tmp_path / "ledger.sqlite", make_genesis(vesting=2), validator) as ledger:
        for number in range(1, 4):
            ledger.settle(make_settlement(number), validator)
        paid = verify_proof(prove_payment(ledger, 1, ALICE), ledger.key)
        released = verify_proof(prove_payment(ledger, 3, ALICE), ledger.key)
    assert isinstance(paid, PaymentFacts)
    assert isinstance(released, PaymentFacts)
    assert [(kind, account.partition(":")[0]) for account, kind, _ in paid.movements] == [("emission", "pending")]
    due = paid.movements[0][2]
    assert [(kind, amount) for _, kind, amount in released.movements if kind == "release"] == [
        ("release", -due),
        ("release", due),
    ]


def mutations(document: Any) -> list[tuple[str, Any]]:
    """Every document that differs in one leaf: numbers and texts changed, items of lists lost."""
    found: list[tuple[str, Any]] = []

    def walk(value: Any, where: str, put: Callable[[Any], Any]) -> None:
        if isinstance(value, dict):
            for name in value:
                walk(value[name], f"{where}.{name}", lambda new, name=name: put({**value, name: new}))
            found.append((f"{where} with more", put({**value, "more": 1})))
        elif isinstance(value, list):
            for index in range(len(value)):
                walk(value[index], f"{where}[{index}]", lambda new, i=index: put([*value[:i], new, *value[i + 1 :]]))
                found.append((f"{where} without {index}", put([*value[:index], *value[index + 1 :]])))
        elif isinstance(value, bool):
            found.append((where, put(not value)))
        elif isinstance(value, int):
            found.extend(((where, put(value + 1)), (where, put(str(value)))))
        elif isinstance(value, str):
            altered = ("0" if value[:1] != "0" else "1") + value[1:]
            found.extend(((where, put(altered)), (where, put(None))))

    walk(document, "$", lambda new: new)
    return found


def test_no_altered_proof_holds(proof: tuple[dict[str, Any], VerifierKey]) -> None:
    """Every number, hash, text and list changed one at a time; only postings may be left out."""
    document, key = proof
    changed = mutations(document)
    assert len(changed) > 80
    for where, other in changed:
        if where.startswith("$.postings without"):
            continue
        try:
            verify_proof(other, key)
        except ProofError:
            continue
        # a path of one length serves trees of a few sizes: how many others there were isn't shown, nor said
        assert where.endswith(".size"), where
    assert verify_proof(document, key)


@given(st.recursive(st.none() | st.integers() | st.text(max_size=9), lambda inner: st.lists(inner, max_size=3)))
def test_what_isnt_a_proof_is_told_so(document: object) -> None:
    with pytest.raises(ProofError, match="isn't a proof"):
        verify_proof(document, VerifierKey(name="o", public="ab" * 32))


def test_another_validators_proof_doesnt_hold(
    database: Database,
    proof: tuple[dict[str, Any], VerifierKey],
    tmp_path: Path,
    make_genesis: Callable[..., Genesis],
    make_settlement: Callable[..., Settlement],
) -> None:
    """A forger's ledger of the same subnet has another key and another name; the pinned key tells."""
    forger = Keypair.from_seed(bytes([7] * 32))
    with database.create(tmp_path / "forged.sqlite", make_genesis(validator=forger.public), forger) as ledger:
        ledger.settle(make_settlement(1), forger)
        forged = prove_payment(ledger, 1, ALICE)
    with pytest.raises(ProofError, match="hasn't signed"):
        verify_proof(forged, proof[1])


@given(st.integers(0, 6), st.integers(0, 6))
def test_growth_is_proved_between_any_two_checkpoints(grown: Ledger, first: int, second: int) -> None:
    """From any round to any later one, the genesis included; never backwards."""
    earlier, later = sorted((first, second))
    document = json.loads(json.dumps(prove_growth(grown, earlier, later)))
    assert verify_proof(document, grown.key) == GrowthFacts(subnet=grown.key.name, earlier=earlier, later=later)
    if earlier < later:
        with pytest.raises(ProofError):
            verify_proof({**document, "earlier": document["later"], "later": document["earlier"]}, grown.key)
        with pytest.raises(LedgerError, match="is after round"):
            prove_growth(grown, later, earlier)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An open ledger of six rounds."""
    from tests.tokenomics.ledger import conftest

    validator = Keypair.from_seed(bytes(32))
    genesis = conftest.make_genesis.__wrapped__(validator)()  # type: ignore[attr-defined]
    settlement = conftest.make_settlement.__wrapped__()  # type: ignore[attr-defined]
    with Ledger.create(tmp_path_factory.mktemp("grown") / "ledger.sqlite", genesis, validator) as ledger:
        for number in range(1, 7):
            ledger.settle(settlement(number), validator)
        yield ledger


def test_a_rewritten_history_cant_be_shown_to_extend_the_old_one(
    database: Database,
    path: Path,
    tmp_path: Path,
    make_genesis: Callable[..., Genesis],
    make_settlement: Callable[..., Settlement],
    validator: Keypair,
) -> None:
    """The validator itself signs another past; each ledger is sound, and the old checkpoint convicts it."""
    with Ledger.open(path, read_only=True) as ledger:
        published, key = ledger.checkpoint_of(3).note, ledger.key
    other = tmp_path / "other.sqlite"
    with database.create(other, make_genesis(), validator) as ledger:
        for number in range(1, 8):
            ledger.settle(make_settlement(number, settled_at=2 if number == 2 else 1_700_000_000 + number), validator)
        proof = prove_growth(ledger, 3)
    assert verify_ledger(other, validator=validator.public).ok
    assert verify_proof(copy.deepcopy(proof), key)
    with pytest.raises(ProofError, match="isn't shown to extend"):
        verify_proof({**proof, "earlier": published}, key)


@pytest.mark.parametrize("number", [0, 7, 99])
def test_what_isnt_settled_has_no_proof(path: Path, number: int) -> None:
    with Ledger.open(path, read_only=True) as ledger:
        with pytest.raises(LedgerError):
            prove_payment(ledger, number, ALICE)
        with pytest.raises(LedgerError):
            prove_payment(ledger, 1, "00" * 32)
        if number:
            with pytest.raises(LedgerError, match="isn't settled"):
                prove_growth(ledger, 1, number)


@given(st.lists(st.binary(max_size=3), min_size=1, max_size=40))
def test_a_log_that_grows_has_the_root_of_all_its_leaves(leaves: list[bytes]) -> None:
    log = Log(leaves[:1])
    for leaf in leaves[1:]:
        before = log.root
        longer = log.then(leaf)
        assert log.root == before
        log = longer
    assert (log.root, log.size) == (merkle_root(leaves), len(leaves))


def test_the_validators_part_is_proved_and_nothing_altered_passes(path: Path) -> None:
    """What a round posted to an account without receipts; another account's postings, or none, are no proof of it."""
    with Ledger.open(path, read_only=True) as ledger:
        account = f"validator:{ledger.genesis.validator}"
        proof = json.loads(json.dumps(prove_account(ledger, 3, account)))
        key, [posting] = ledger.key, [one for one in ledger.postings(3) if one.account == account]
        other = json.loads(json.dumps(prove_account(ledger, 3, f"owner:{ledger.genesis.owner}")))
        with pytest.raises(LedgerError, match="round 4 posted nothing to validator:"):
            prove_account(ledger, 4, account)
        with pytest.raises(LedgerError, match="round 7 isn't settled"):
            prove_account(ledger, 7, account)
    facts = verify_proof(proof, key)
    assert isinstance(facts, AccountFacts)
    assert facts.movements == ((account, "emission", posting.amount),)
    assert (facts.account, facts.round, facts.size) == (account, 3, 7)
    more = copy.deepcopy(proof)
    more["postings"][0]["entry"]["amount"] += 1
    lies = [more, proof | {"postings": []}, proof | {"postings": other["postings"]}, proof | {"account": "owner:me"}]
    lies += [proof | {"round": proof["round"] | {"minted": 1}}, proof | {"postings": None}, proof | {"account": None}]
    for lie in lies:
        with pytest.raises(ProofError):
            verify_proof(lie, key)
