"""Signed notes and checkpoints: other programs' examples, and everything that isn't one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics.errors import ProofError, WalletError
from tokenomics.keys import Keypair
from tokenomics.note import TreeHead, VerifierKey, open_note, sign_note

GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = (
    GO_TEXT
    + "\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6Ry"
    "yBwJnAM=\n"
)
SIGNER = Keypair.from_seed(b"n" * 32)
HEAD = TreeHead(origin="example.org/digits", size=24, root="ab" * 32)
KEY = VerifierKey(name="example.org/digits", public=SIGNER.public)


def test_gos_own_example_opens() -> None:
    """The note and key of golang.org/x/mod/sumdb/note's documentation."""
    key = VerifierKey.parse(GO_KEY)
    assert str(key) == GO_KEY
    assert open_note(GO_NOTE, key) == GO_TEXT


def test_a_checkpoint_has_the_published_form() -> None:
    """Origin, size and root in base64; the same again after opening."""
    note = HEAD.sign(SIGNER)
    assert note.startswith(
        "example.org/digits\n24\nq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=\n\n\u2014 example.org/digits "
    )
    assert TreeHead.open(note, KEY) == HEAD
    assert VerifierKey.parse(str(KEY)) == KEY


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_every_state_comes_back(size: int, root: bytes) -> None:
    head = TreeHead(origin="o", size=size, root=root.hex())
    assert TreeHead.open(head.sign(SIGNER), VerifierKey(name="o", public=SIGNER.public)) == head


def test_others_signatures_are_of_no_concern() -> None:
    """A witness's line before or behind; but without ours the note says nothing."""
    note, witness = HEAD.sign(SIGNER), Keypair.from_seed(b"w" * 32)
    line = sign_note(HEAD.text, name="witness", signer=witness).rpartition("\n\n")[2]
    body, _, ours = note.rpartition("\n\n")
    assert TreeHead.open(f"{body}\n\n{line}{ours}", KEY) == HEAD
    assert TreeHead.open(f"{note}{line}", KEY) == HEAD
    with pytest.raises(ProofError, match="hasn't signed"):
        TreeHead.open(f"{body}\n\n{line}", KEY)


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (lambda note: note.replace("24", "25"), "doesn't hold"),
        (lambda note: note.replace("\n\n", "\nmore\n\n"), "doesn't hold"),
        (lambda note: note[:-1], "isn't a signed note"),
        (lambda note: note.replace("\u2014 ", "- "), "signature line"),
        (lambda note: note.replace("\n\n", "\n"), "isn't a signed note"),
        (lambda _: "", "isn't a signed note"),
        (lambda note: note[:-3] + "\n", "signature line"),
    ],
)
def test_an_altered_note_is_refused(alter, said) -> None:
    """Another size, a line more, a lost newline, a hyphen in place of the dash, a cut signature."""
    with pytest.raises(ProofError, match=said):
        TreeHead.open(alter(HEAD.sign(SIGNER)), KEY)


@pytest.mark.parametrize(
    "text", ["o\n", "o\n024\nAA==\n", "o\n-1\nAA==\n", "o\n1\nAA==\n", "o\n1\n\n", "p\n1\n" + "A" * 43 + "=\n"]
)
def test_a_signed_text_that_isnt_a_checkpoint_is_refused(text: str) -> None:
    """Too few lines, sizes in another spelling, roots of another length, another log's."""
    with pytest.raises(ProofError):
        TreeHead.open(sign_note(text, name="o", signer=SIGNER), VerifierKey(name="o", public=SIGNER.public))


@pytest.mark.parametrize("text", ["no newline", "a\x00\n", "tab\there\n"])
def test_what_isnt_a_notes_text_isnt_signed(text: str) -> None:
    with pytest.raises(ProofError):
        sign_note(text, name="o", signer=SIGNER)
    if "\x00" in text:
        with pytest.raises(WalletError, match="zero byte"):
            SIGNER.sign_note(text.encode())


@pytest.mark.parametrize("text", ["", "a+b", "a b+00000000+AA==", GO_KEY[:-4], GO_KEY.replace("c74f20a3", "c74f20a4")])
def test_a_malformed_key_is_refused(text: str) -> None:
    with pytest.raises(ProofError):
        VerifierKey.parse(text)


def test_a_note_is_never_another_message_of_the_same_key() -> None:
    """What is signed in a domain has a zero byte, which a note never has: one can't pass for the other."""
    signature = SIGNER.sign("checkpoint", b"x")
    forged = TreeHead(origin="o", size=1, root="00" * 32).text
    assert bytes.fromhex(signature) != SIGNER.sign_note(forged.encode())
    assert b"\x00" not in forged.encode()
