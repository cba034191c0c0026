"""A participant keeps what validators sign, and nothing that they don't."""

import json
import logging

import pytest

from clients.acknowledgements import MAX_CHARS, keep, read_acknowledgement
from tokenomics.keys import Keypair

HOTKEY = "ab" * 32
LOG = "toy/0123456789abcdef"
TOLD = {
    "subnet": "5" * 64,
    "log": LOG,
    "log_root": "1" * 64,
    "round": 3,
    "hotkey": HOTKEY,
    "contribution": "c" * 64,
    "status": "accepted",
    "reason": "",
    "zero_because": "",
    "reward": 12,
}
VALIDATOR = Keypair.from_seed(bytes(32))


def word(signer=VALIDATOR, domain="acknowledgement", **changes):
    """A validator's word; keywords change what it says."""
    document = json.dumps({name: value for name, value in (TOLD | changes).items() if value != "left out"})
    return json.dumps({"document": document, "signature": signer.sign(domain, document.encode())})


def kept(folder, *words):
    return [keep(folder, one, validator=VALIDATOR.public, hotkey=HOTKEY) for one in words]


def test_words_are_kept_one_a_line_and_the_same_again_once(tmp_path):
    """In one file a log; a validator that opens a round again sends the same word again."""
    first, second, other = word(), word(round=4), word(round=5, log="toy/" + "f" * 16)
    path, *_ = kept(tmp_path, first, first, second, second, other)
    assert path.read_text() == f"{first}\n{second}\n"
    assert path == tmp_path / "acknowledgements" / "toy-0123456789abcdef.jsonl"
    assert [read_acknowledgement(one, VALIDATOR.public)["round"] for one in path.read_text().splitlines()] == [3, 4]
    assert len(list(path.parent.iterdir())) == 2


def test_nothing_to_acknowledge_leaves_no_trace(tmp_path):
    assert kept(tmp_path, "") == [None]
    assert list(tmp_path.iterdir()) == []


def test_a_word_that_a_crash_has_cut_off_doesnt_spoil_the_next(tmp_path):
    [path] = kept(tmp_path, word())
    with path.open("a") as file:
        file.write(word(round=4)[:100])
    kept(tmp_path, word(round=5))
    assert path.read_text() == f"{word()}\n{word(round=5)}\n"


@pytest.mark.parametrize(
    "false",
    [
        "no json",
        "[]",
        word(signer=Keypair.from_seed(bytes([1] * 32))),
        word(domain="contribution"),
        word().replace('\\"reward\\": 12', '\\"reward\\": 13'),
        word(reward="12"),
        word(log_root="left out"),
        word(more=1),
        word(log="../../etc/0123456789abcdef"),
        word(log="..-/0123456789abcdef"),
        word(reason="x" * MAX_CHARS),
    ],
)
def test_what_the_validator_didnt_sign_is_no_word(false):
    """Nor is what no validator writes, though it is signed: the log's name becomes a file's."""
    assert read_acknowledgement(word(), VALIDATOR.public) == TOLD
    assert read_acknowledgement(false, VALIDATOR.public) is None


def test_what_isnt_kept_is_logged(tmp_path, caplog):
    """Another participant's word, a stranger's, and one that the disk refuses; none of them stops the round."""
    caplog.set_level(logging.WARNING)
    (tmp_path / "file").write_text("")
    assert kept(tmp_path, word(hotkey="cd" * 32), word(signer=Keypair.from_seed(bytes([1] * 32)))) == [None, None]
    assert kept(tmp_path / "file", word()) == [None]
    assert [record.message[:24] for record in caplog.records] == ["not kept: an acknowledge"] * 2 + [
        "the acknowledgement of r"
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
