"""What scoring remembers is a fold over settled rounds."""

import json

from subnet.scoring.history import History, PastCredit, PastRound, past_round

COUNTED = {"credit": 0.1, "standard_error": 0.2, "novel": -0.3, "novel_standard_error": 0.4}


def test_a_round_is_read_off_its_record_and_receipts():
    """Receipts that count give credits, the others don't, and the triangle of cosines becomes pairs."""
    record = {"cosines": {"hotkeys": ["a", "b", "c"], "lower": [[], [0.1], [0.2, 0.3]]}}
    receipts = {
        "a": {"counted": COUNTED, "strike": True},
        "b": {"counted": None, "strike": False},
        "c": {"counted": COUNTED | {"credit": 0.0}, "strike": False},
    }
    found = past_round(json.loads(json.dumps(record)), json.loads(json.dumps(receipts)))
    assert found.credits == {
        "a": PastCredit(credit=0.1, standard_error=0.2, novel=-0.3, novel_standard_error=0.4),
        "c": PastCredit(credit=0.0, standard_error=0.2, novel=-0.3, novel_standard_error=0.4),
    }
    assert found.cosines == {("a", "b"): 0.1, ("a", "c"): 0.2, ("b", "c"): 0.3}
    assert found.strikes == {"a"}


def test_pairs_are_in_ascending_order_whatever_the_records_is():
    """A record that lists hotkeys in another order gives the same pairs."""
    record = {"cosines": {"hotkeys": ["c", "a"], "lower": [[], [0.5]]}}
    assert past_round(record, {}).cosines == {("a", "c"): 0.5}


def test_history_grows_at_its_end_and_never_changes():
    """A new round is the last one, earlier histories stay, and asking for more rounds than there are gives all."""
    rounds = [PastRound(credits={}, cosines={("a", "b"): float(number)}) for number in range(4)]
    empty = full = History()
    for one in rounds:
        full = full.then(one)
    assert empty.rounds == ()
    assert full.rounds == tuple(rounds)
    assert full.last(2) == tuple(rounds[2:])
    assert full.last(9) == tuple(rounds)
    assert full.last(0) == ()
