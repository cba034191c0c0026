"""`subnet statement` and `subnet earnings`, on a real run with releases and a strike."""

import csv
import io
import itertools
import json
import sys
from dataclasses import replace

import pypdfium2
import pytest
from beancount import loader

from clients.app import Simulation
from subnet.audit import audit
from subnet.enrolments import Enrolments
from tokenomics import Amount

CAST = "honest=4,on_off_poison:100=1"
"""Honest for four rounds and paid as that, then a reversed update of a hundred times the size: struck in round 5."""


@pytest.fixture(scope="module")
def played(tmp_path_factory, open_game):
    """Six rounds with a vesting of 2; nobody may play on."""
    folder = tmp_path_factory.mktemp("statements")
    with open_game(folder, CAST, scoring={"vesting": 2, "strike_z": 0.0}) as game:
        game.play(6)
        yield game


@pytest.fixture
def root(played):
    return played.fixture.store.root


@pytest.fixture
def turncoat(played):
    [hotkey] = played.of_kind("on_off_poison")
    return hotkey


def decimal(played, units):
    token = played.fixture.ledger.genesis.token
    return str(Amount(units, token)).removesuffix(f" {token.symbol}")


def test_every_form_says_what_the_receipts_say(command, played, root, turncoat):
    """Pay of rounds 1 and 2 was released in 3 and 4; that of 3 and 4 was voided by the strike in 5."""
    rewards = [played.report(number).receipts[turncoat]["reward"] for number in range(1, 5)]
    assert all(rewards)
    code, out, _ = command("statement", root, turncoat[:12], "--json")
    document = json.loads(out)
    assert (code, document["hotkey"]) == (0, turncoat)
    assert [(one["round"], one["kind"], one["amount"]) for one in document["lines"]] == [
        (1, "credit", decimal(played, rewards[0])),
        (2, "credit", decimal(played, rewards[1])),
        (3, "credit", decimal(played, rewards[2])),
        (3, "release", decimal(played, rewards[0])),
        (4, "credit", decimal(played, rewards[3])),
        (4, "release", decimal(played, rewards[1])),
        (5, "void", decimal(played, rewards[2] + rewards[3])),
    ]
    assert document["closing"] == {"vested": decimal(played, rewards[0] + rewards[1]), "pending": "0"}
    entry = played.fixture.ledger.receipt(5, turncoat)
    assert document["lines"][-1]["receipt_hash"] == entry.receipt_hash
    rows = list(csv.DictReader(io.StringIO(command("statement", root, turncoat, "--csv")[1], newline="")))
    assert [row["kind"] for row in rows[1:-1]] == [one["kind"] for one in document["lines"]]
    koinly = list(csv.DictReader(io.StringIO(command("statement", root, turncoat, "--koinly")[1], newline="")))
    assert [row["Received Amount"] for row in koinly] == [decimal(played, units) for units in rewards[:2]]
    assert loader.load_string(command("statement", root, turncoat, "--beancount")[1])[1] == []


def test_a_file_is_written_once_and_replaced_only_when_asked(command, tmp_path, root, turncoat):
    """PDF and CSV; what was there stays as it was."""
    paper = tmp_path / "paper.pdf"
    code, out, _ = command("statement", root, turncoat, "--pdf", "--from", 3, "--to", 4, "--out", paper)
    assert (code, "4 movements of rounds 3 to 4" in out) == (0, True)
    text = pypdfium2.PdfDocument(paper.read_bytes())[0].get_textpage().get_text_range()
    assert turncoat in text
    before = paper.read_bytes()
    code, _, err = command("statement", root, turncoat, "--csv", "--out", paper)
    assert (code, "is there already" in err, "--force" in err) == (3, True, True)
    assert paper.read_bytes() == before
    assert command("statement", root, turncoat, "--csv", "--out", paper, "--force")[0] == 0
    assert paper.read_bytes().startswith(b"time,round,kind,")


def test_proofs_are_written_beside_and_hold(command, tmp_path, played, root, turncoat):
    """One a round, named in the CSV; `subnet verify` accepts each with the key alone. Altered, it doesn't."""
    folder, file = tmp_path / "proofs", tmp_path / "statement.csv"
    arguments = ("statement", root, turncoat, "--csv", "--proofs", folder, "--out", file)
    code, out, _ = command(*arguments)
    assert (code, f"proofs of 5 rounds in {folder}" in out) == (0, True)
    rows = list(csv.DictReader(io.StringIO(file.read_text(), newline="")))[1:-1]
    assert {row["proof"] for row in rows} == {path.name for path in folder.iterdir()}
    key = str(played.fixture.ledger.key)
    for row in rows:
        code, out, _ = command("verify", folder / row["proof"], "--key", key, "--json")
        assert (code, json.loads(out)["round"]) == (0, int(row["round"]))
    text = (folder / rows[0]["proof"]).read_text()
    (folder / rows[0]["proof"]).write_text(text.replace('"amount": ', '"amount": 1'))
    assert command("verify", folder / rows[0]["proof"], "--key", key)[0] == 1
    file.unlink()
    assert command(*arguments)[0] == 3, "the proofs are there already"
    assert not file.exists()
    assert command(*arguments, "--force")[0] == 0


def test_mistakes_get_one_line_and_a_remedy(command, monkeypatch, tmp_path, root, turncoat):
    cases = {
        ("zz", "--csv"): "no hotkey that begins with",
        ("", "--csv"): "begins 5 hotkeys",
        (turncoat,): "no form given",
        (turncoat, "--csv", "--pdf"): "--csv and --pdf given",
        (turncoat, "--csv", "--from", 4, "--to", 3): "is before",
        (turncoat, "--csv", "--from", "2999-01-01"): "no round was settled",
        (turncoat, "--csv", "--from", 7): "no round was settled",
        (turncoat, "--csv", "--to", 7): "isn't settled",
        (turncoat, "--csv", "--from", "May"): "neither a round nor a day",
        (turncoat, "--csv", "--out", tmp_path): "is a folder",
        (turncoat, "--csv", "--out", tmp_path / "none" / "a.csv"): "can't",
    }
    for arguments, words in cases.items():
        code, _, err = command("statement", root, *arguments)
        assert (code, words in err, "remedy:" in err) == (3, True, True), (arguments, err)
    assert command("statement", tmp_path, turncoat, "--csv")[0] == 3
    monkeypatch.setitem(sys.modules, "reportlab.lib", None)
    monkeypatch.delitem(sys.modules, "tokenomics.statement.pdf", raising=False)
    code, _, err = command("statement", root, turncoat, "--pdf", "--out", tmp_path / "a.pdf")
    assert (code, "flower-subnet[statement]" in err) == (3, True)
    assert list(tmp_path.iterdir()) == []


def test_the_owners_part_has_a_statement_and_proofs(command, played, root, tmp_path):
    """Named by the kind of account alone; what `--proofs` and `ledger prove` write is checked offline."""
    ledger = played.fixture.ledger
    account = f"owner:{ledger.genesis.owner}"
    code, out, _ = command("statement", root, "owner", "--json", "--proofs", tmp_path / "proofs")
    document = json.loads(out)
    assert (code, document["account"]) == (0, account)
    assert document["closing"] == {"vested": decimal(played, ledger.balances()[account]), "pending": "0"}
    assert len(document["lines"]) == len(list((tmp_path / "proofs").iterdir())) > 3
    (tmp_path / "one.json").write_text(command("ledger", "prove", root, 2, "owner")[1])
    for proof in (tmp_path / "one.json", tmp_path / "proofs" / "round-000002.json"):
        code, out, _ = command("verify", proof, "--key", ledger.key)
        assert (code, f"account  {account}" in out, "(emission)" in out) == (0, True, True)
    refused = {
        "wallet:ab": "no account of this ledger",
        "validator:zz": "no account of this ledger",
        "owner:1:2": "no account of this ledger",
    }
    for name, words in refused.items():
        code, _, err = command("statement", root, name, "--csv")
        assert (code, words in err, "remedy:" in err) == (3, True, True), name


def test_earnings_tell_the_recent_past_and_what_came_of_each_round(command, played, root, turncoat):
    code, out, _ = command("earnings", root, turncoat[:10], "--json")
    told = json.loads(out)
    ledger = played.fixture.ledger
    earned = ledger.earnings()[turncoat]
    assert (code, told["now"]) == (0, list(ledger.rounds())[-1].settled_at)
    in_all = {"credited": earned.paid, "released": earned.vested, "voided": earned.voided}
    assert told["windows"]["30d"] == in_all | {"gpu_ms": 0, "per_gpu_hour": None}
    assert [(one["round"], one["state"], one["state_round"]) for one in told["rounds"]] == [
        *((6, None, None), (5, None, None), (4, "voided", 5)),
        *((3, "voided", 5), (2, "released", 4), (1, "released", 3)),
    ]
    emitted = sum(row.emission for row in ledger.rounds())
    assert told["projection"]["share"] == [earned.paid, emitted]
    words = command("earnings", root, turncoat, "--last", 3)[1]
    for piece in ("voided in 5", "last 24 h", "rounds until the next halving"):
        assert piece in words
    assert "released in 4" not in words, "that is round 2, and the last three were asked for"
    later = json.loads(command("earnings", root, turncoat, "--json", "--now", "2999-01-01")[1])
    assert set(later["windows"]["30d"].values()) == {0, None}
    assert "GPU" not in words


def test_a_coldkey_has_the_earnings_of_all_its_hotkeys(command, monkeypatch, played, root, turncoat):
    """Each participant of a simulation has a coldkey of its own; here two enrolled for one."""
    coldkeys = Enrolments(root).coldkeys()
    alone = json.loads(command("earnings", root, "--coldkey", coldkeys[turncoat][:16], "--json")[1])
    assert [one["hotkey"] for one in alone["participants"]] == [turncoat]
    other = played.of_kind("honest")[0]
    monkeypatch.setattr(Enrolments, "coldkeys", lambda _: coldkeys | {other: coldkeys[turncoat]})
    code, out, _ = command("earnings", root / "ledger.sqlite", "--coldkey", coldkeys[turncoat], "--json")
    both = json.loads(out)
    assert (code, {one["hotkey"] for one in both["participants"]}) == (0, {turncoat, other})
    earned = [played.fixture.ledger.earnings()[hotkey] for hotkey in (turncoat, other)]
    assert both["windows"]["30d"]["credited"] == sum(one.paid for one in earned)
    assert [one["round"] for one in both["rounds"]] == [6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1]
    assert other[:12] in command("earnings", root, "--coldkey", coldkeys[turncoat])[1]


def test_earnings_tell_the_pay_for_an_hour_of_a_gpu(command, monkeypatch, tmp_path, open_game):
    """Two of four participants report a minute and a half of a GPU for each of two rounds; the audit finds the same."""
    plain = Simulation.participant

    def with_a_gpu(field, index):
        clock = itertools.count(0, 90)
        return replace(plain(field, index), gpu_clock=clock.__next__ if index < 2 else None)

    monkeypatch.setattr(Simulation, "participant", with_a_gpu)
    with open_game(tmp_path, "honest=4") as game:
        game.play(2)
        first, _, third, _ = game.kinds
        receipts = [game.report(number).receipts for number in (1, 2)]
        assert [one[first]["gpu_ms"] for one in receipts] == [90_000, 90_000]
        assert not any("gpu_ms" in one[third] for one in receipts)
        earned = game.fixture.ledger.earnings()[first].paid
    assert audit(tmp_path, [game.scenario.app_dir]).ok
    month = json.loads(command("earnings", tmp_path, first, "--json")[1])["windows"]["30d"]
    assert (month["gpu_ms"], month["per_gpu_hour"]) == (180_000, earned * 20)
    assert "per GPU-hour" in command("earnings", tmp_path, first)[1]
    assert "per GPU-hour" not in command("earnings", tmp_path, third)[1]
    assert "90.0 s of a GPU" in command("explain", tmp_path, 2, first)[1]
    for path in (tmp_path / "receipts").iterdir():
        path.unlink()
    code, _, err = command("earnings", tmp_path, first)
    assert (code, "can't be read" in err, "remedy:" in err) == (3, True, True)
    (tmp_path / "receipts").rmdir()
    assert command("earnings", tmp_path, first)[0] == 0, "a ledger alone is enough for what the ledger says"


def test_earnings_refuse_what_they_cant_tell(command, root, turncoat):
    cases = {
        (turncoat, "--coldkey", "ab"): "a hotkey and a coldkey",
        ("--coldkey", "zz"): "begins no coldkey",
        (turncoat, "--now", "later"): "is no moment",
        ("zz",): "has been paid in 6 rounds",
    }
    for arguments, words in cases.items():
        code, _, err = command("earnings", root, *arguments)
        assert (code, words in err, "remedy:" in err) == (3, True, True), (arguments, err)
