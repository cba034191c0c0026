"""The Merkle tree hash against the reference roots of certificate transparency."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics.errors import ProofError
from tokenomics.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    merkle_root,
    node_hash,
    root_of_hashes,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [
    bytes.fromhex(leaf)
    for leaf in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("size", range(9))
def test_the_reference_roots_come_out(size: int) -> None:
    """Roots of `merkletree/merkle_tree_test.cc` in google/certificate-transparency."""
    assert merkle_root(LEAVES[:size]) == ROOTS[size]


def _oracle(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + _oracle(leaves[:k]) + _oracle(leaves[k:])).digest()


@given(st.lists(st.binary(max_size=4), max_size=70))
def test_every_list_has_the_root_of_the_recursive_definition(leaves: list[bytes]) -> None:
    assert merkle_root(leaves) == _oracle(leaves).hex()


HASHES = [leaf_hash(leaf) for leaf in LEAVES]


@pytest.mark.parametrize(
    ("index", "size", "proof"),
    [
        (0, 1, []),
        (
            0,
            8,
            [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            [
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    ],
)
def test_the_reference_inclusion_proofs_come_out(index: int, size: int, proof: list[str]) -> None:
    """Audit paths of `merkletree/merkle_tree_test.cc` in google/certificate-transparency (numbered from 1 there)."""
    assert inclusion_proof(HASHES[:size], index) == proof
    assert verify_inclusion(HASHES[index], index=index, size=size, proof=proof, root=ROOTS[size])


@pytest.mark.parametrize(
    ("earlier", "later", "proof"),
    [
        (1, 1, []),
        (
            1,
            8,
            [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            6,
            8,
            [
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            5,
            [
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ],
)
def test_the_reference_consistency_proofs_come_out(earlier: int, later: int, proof: list[str]) -> None:
    """Consistency proofs of the same file."""
    assert consistency_proof(HASHES[:later], earlier) == proof
    assert verify_consistency(
        earlier=earlier, earlier_root=ROOTS[earlier], later=later, later_root=ROOTS[later], proof=proof
    )


@given(st.integers(1, 70), st.data())
def test_a_proof_holds_for_its_leaf_and_no_other(size: int, data: st.DataObject) -> None:
    """For every place; not for another leaf, place, size or root, nor with a hash changed, lost or added."""
    hashes = [leaf_hash(bytes([number])) for number in range(size)]
    root, index = root_of_hashes(hashes), data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(hashes, index)

    def holds(**changed: Any) -> bool:
        given_ = {"index": index, "size": size, "proof": proof, "root": root, **changed}
        return verify_inclusion(given_.pop("leaf", hashes[index]), **given_)

    assert holds()
    assert not holds(leaf="00" * 32)
    assert not holds(root="00" * 32)
    assert not any(holds(index=other) for other in range(-1, size + 1) if other != index)
    assert not holds(proof=[*proof, "00" * 32])
    assert not holds(size=0)
    if proof:
        spot = data.draw(st.integers(0, len(proof) - 1))
        assert not holds(proof=proof[:spot] + proof[spot + 1 :])
        assert not holds(proof=[*proof[:spot], "00" * 32, *proof[spot + 1 :]])
        assert not holds(proof=[*proof[:spot], "nonsense", *proof[spot + 1 :]])


@given(st.integers(1, 70), st.data())
def test_an_extended_list_is_told_from_a_rewritten_one(later: int, data: st.DataObject) -> None:
    """A proof from every earlier size; none once an early leaf was altered, or a hash of the proof."""
    hashes = [leaf_hash(bytes([number])) for number in range(later)]
    earlier = data.draw(st.integers(1, later))
    roots = {"earlier_root": root_of_hashes(hashes[:earlier]), "later_root": root_of_hashes(hashes)}
    proof = consistency_proof(hashes, earlier)
    assert verify_consistency(earlier=earlier, later=later, proof=proof, **roots)
    altered = [*hashes]
    altered[data.draw(st.integers(0, earlier - 1))] = "00" * 32
    assert not verify_consistency(
        earlier=earlier,
        later=later,
        proof=consistency_proof(altered, earlier),
        earlier_root=roots["earlier_root"],
        later_root=root_of_hashes(altered),
    )
    assert not verify_consistency(earlier=earlier, later=later, proof=[*proof, "00" * 32], **roots)
    if proof:
        assert not verify_consistency(earlier=earlier, later=later, proof=proof[:-1], **roots)
    if earlier < later:
        assert not verify_consistency(earlier=later, later=earlier, proof=proof, **roots)


@pytest.mark.parametrize("index", [-1, 3, True, 1.0])
def test_there_is_no_proof_for_what_isnt_there(index: object) -> None:
    with pytest.raises(ProofError):
        inclusion_proof(HASHES[:3], index)  # type: ignore[arg-type]
    with pytest.raises(ProofError):
        consistency_proof(HASHES[:3], index if index == -1 else 4)  # type: ignore[arg-type]


def test_every_size_up_to_40_is_proved_to_extend_every_earlier_one() -> None:
    """One after the other, since some shapes are too rare to be drawn."""
    hashes = [leaf_hash(bytes([number])) for number in range(40)]
    roots = [root_of_hashes(hashes[:size]) for size in range(41)]
    for later in range(1, 41):
        for earlier in range(1, later + 1):
            proof = consistency_proof(hashes[:later], earlier)
            given_ = {"earlier": earlier, "later": later, "earlier_root": roots[earlier], "later_root": roots[later]}
            assert verify_consistency(**given_, proof=proof), (earlier, later)
            if earlier < later:
                assert not verify_consistency(**given_, proof=[]), (earlier, later)
                assert not verify_consistency(**given_ | {"later_root": roots[earlier]}, proof=[])


def test_a_node_over_two_leaves_is_the_root_of_both() -> None:
    assert node_hash(HASHES[1], HASHES[2]) == merkle_root(LEAVES[1:3]) != node_hash(HASHES[2], HASHES[1])


@pytest.mark.parametrize("leaf", LEAVES)
def test_the_hash_of_a_leaf_is_the_root_of_it_alone(leaf: bytes) -> None:
    assert leaf_hash(leaf) == merkle_root([leaf]) == hashlib.sha256(b"\x00" + leaf).hexdigest()
