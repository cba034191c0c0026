"""The tree of claims: the JavaScript library's bytes, and what its proofs prove."""

import json
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tokenomics.errors import SettlementError
from tokenomics.settlement import Claim, ClaimTree, verify_claim

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "settlement.json").read_text())["trees"]

accounts = st.integers(1, 2**160 - 1).map(lambda number: f"0x{number:040x}")
trees = st.dictionaries(accounts, st.integers(0, 2**256 - 1), min_size=1, max_size=20).map(
    lambda amounts: ClaimTree.of(Claim(account=account, amount=amount) for account, amount in amounts.items())
)


def tree_of(vector):
    return ClaimTree.of(Claim(account=account, amount=int(amount)) for account, amount in vector["values"])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{len(vector['values'])} leaves")
def test_the_tree_is_that_of_the_reference_implementation(vector):
    """Root, leaves, proofs and file, byte for byte; and the file is read back."""
    tree = tree_of(vector)
    assert tree.root == vector["root"]
    assert [f"0x{claim.leaf.hex()}" for claim in tree.claims] == vector["leaves"]
    assert [tree.proof(claim.account) for claim in tree.claims] == vector["proofs"]
    assert tree.dump() == vector["dump"]
    assert ClaimTree.load(vector["dump"]) == tree


@given(trees)
def test_every_proof_verifies(tree):
    """For each account, whatever the case it is written in; and the file gives the same tree."""
    for claim in tree.claims:
        proof = tree.proof(claim.account.lower())
        assert verify_claim(root=tree.root, account=claim.account, amount=claim.amount, proof=proof)
    assert ClaimTree.load(tree.dump()) == tree
    assert tree.total == sum(claim.amount for claim in tree.claims)


@given(trees, st.data())
def test_a_changed_proof_proves_nothing(tree, data):
    """Another amount, account, root or step, a step less or more, or two steps swapped."""
    claim = data.draw(st.sampled_from(tree.claims))
    right = {"root": tree.root, "account": claim.account, "amount": claim.amount, "proof": tree.proof(claim.account)}
    step = f"0x{data.draw(st.binary(min_size=32, max_size=32)).hex()}"
    assume(step not in [tree.root, *right["proof"]])
    other = data.draw(accounts)
    changes = [{"amount": claim.amount ^ 1 << data.draw(st.integers(0, 255))}, {"root": step}]
    changes.append({"proof": [*right["proof"], step]})
    if other != claim.account.lower():
        changes.append({"account": other})
    if right["proof"]:
        place = data.draw(st.integers(0, len(right["proof"]) - 1))
        changes.append({"proof": right["proof"][:place] + right["proof"][place + 1 :]})
        changes.append({"proof": [*right["proof"][:place], step, *right["proof"][place + 1 :]]})
    if len(right["proof"]) > 1:
        changes.append({"proof": right["proof"][::-1]})
    for change in changes:
        assert not verify_claim(**right | change), change


def test_an_inner_node_isnt_a_claim():
    """The 64 bytes below a node can't be passed off as account and amount: leaves are hashed twice."""
    tree = tree_of(VECTORS[3])
    for node in range(3):
        low, high = sorted(tree.nodes[2 * node + 1 : 2 * node + 3])
        account = f"0x{low[12:].hex()}"
        path, place = [], node
        while place:
            path.append(f"0x{tree.nodes[place + 1 if place % 2 else place - 1].hex()}")
            place = (place - 1) // 2
        assert not verify_claim(root=tree.root, account=account, amount=int.from_bytes(high, "big"), proof=path)


def test_what_isnt_a_tree():
    """No claim, an account twice in another case, an account without a claim."""
    claim = tree_of(VECTORS[0]).claims[0]
    with pytest.raises(SettlementError, match="no claim to build"):
        ClaimTree.of([])
    with pytest.raises(SettlementError, match="has two claims"):
        ClaimTree.of([claim, Claim(account=claim.account.lower(), amount=1)])
    with pytest.raises(SettlementError, match="has no claim among 1"):
        ClaimTree.of([claim]).proof("0x" + "1" * 40)


DUMP = VECTORS[2]["dump"]
AMOUNT = VECTORS[2]["values"][1][1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (DUMP.replace(AMOUNT, AMOUNT + "0" if len(AMOUNT) < 70 else AMOUNT[:-1]), "altered"),
        (DUMP.replace(f'"{AMOUNT}"', f'"0{AMOUNT}"'), "altered|whole number"),
        (DUMP.replace(f'"{AMOUNT}"', AMOUNT), "isn't a whole number as text"),
        (DUMP.replace(f'"{AMOUNT}"', f'"-{AMOUNT[:9]}"'), "isn't a whole number as text"),
        (DUMP.replace("standard-v1", "simple-v1"), "altered"),
        (DUMP.replace('["address","uint256"]', '["address"]'), "altered"),
        (DUMP.replace('"treeIndex":4', '"treeIndex":3', 1), "altered"),
        (DUMP[:-1] + ',"more":1}', "altered"),
        (DUMP[:-1], "aren't a dump"),
        ("[]", "aren't a dump"),
        ('{"values":5}', "aren't a dump"),
        ('{"values":[{"value":["0x"]}]}', "aren't a dump"),
        ('{"values":[{"value":["0x","1"]}]}', "isn't 0x and 40"),
        ('{"values":[]}', "no claim"),
    ],
)
def test_an_altered_file_isnt_read(text, words):
    """Whatever was changed is found, since everything is computed anew."""
    assert text != DUMP
    with pytest.raises(SettlementError, match=words):
        ClaimTree.load(text)
