"""Enrolment: a node is on the roster when its hotkey said so itself, in answer to this very message."""

import threading

import pytest
import torch
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp

from clients.app import create_client_app
from clients.contribution import Enrolment, open_enrolment, sign_enrolment
from clients.errors import ContributionError
from clients.participant import Participant
from clients.settings import TrainingSettings
from clients.wire import enrolment_record
from subnet.engine.inprocess import InProcessGrid
from subnet.enrol import Roster, enrol
from subnet.errors import StoppedError
from tokenomics.keys import Wallet

SUBNET = "5" * 64
WALLETS = [Wallet.from_seed(bytes([number]) * 32) for number in range(6)]


def fresh_id(node):
    return f"challenge-{node}"


def public(number):
    return WALLETS[number].hotkey.keypair.public


def document(number, challenge, **changes):
    wallet = WALLETS[number]
    fields = {
        "subnet": SUBNET,
        "hotkey": wallet.hotkey.keypair.public,
        "coldkey": wallet.coldkey.public,
        "binding": wallet.binding,
        "challenge": challenge,
    }
    return Enrolment(**(fields | changes))


def answering(answers):
    """A ClientApp whose node of partition i answers with `answers[i](challenge)`: records, or an exception."""
    app = ClientApp()

    @app.query()
    def query(message, context):
        content = answers[context.node_config["partition-id"]](message.metadata.group_id)
        if isinstance(content, Exception):
            raise content
        return Message(content, reply_to=message)

    return app


def good(number, **changes):
    return lambda challenge: enrolment_record(
        sign_enrolment(document(number, challenge, **changes), WALLETS[number].hotkey)
    )


def play(app, n_nodes, roster=None, **more):
    roster = roster or Roster()
    settings = {"subnet": SUBNET, "fresh_id": fresh_id, "deadline_s": 60.0, "stopped": lambda: False} | more
    with InProcessGrid(app, n_nodes=n_nodes, n_workers=1) as grid:
        refused = enrol(grid, roster, **settings)
    return roster, refused


def test_real_participants_enrol(task):
    """Nodes that run the real ClientApp are on the roster under their own hotkeys."""

    def source(context):
        return Participant(
            subnet=SUBNET,
            task=task,
            settings=TrainingSettings(),
            hotkey=WALLETS[context.node_config["partition-id"]].hotkey,
            examples=task.training_data(),
            draw=lambda number: torch.Generator().manual_seed(number),
        )

    roster, refused = play(create_client_app(source), 3)
    assert roster.hotkeys == {1: public(0), 2: public(1), 3: public(2)}
    assert refused == []
    _, refused = play(create_client_app(source), 3, subnet="6" * 64)
    assert refused == [1, 2, 3]


def stolen(challenge):
    """Signed by a stranger in somebody's name."""
    return enrolment_record(sign_enrolment(document(1, challenge), WALLETS[2].hotkey))


@pytest.mark.parametrize(
    "bad",
    [
        good(1, challenge="challenge-1"),
        good(1, challenge=""),
        good(1, subnet="6" * 64),
        good(1, binding=WALLETS[2].binding),
        good(1, coldkey=WALLETS[2].coldkey.public),
        stolen,
        lambda _: RuntimeError("boom"),
        lambda _: RecordDict(),
        lambda _: RecordDict({"enrolment": ConfigRecord({"document": "{}", "signature": "00"})}),
        lambda _: RecordDict({"enrolment": ConfigRecord({"document": 5})}),
    ],
    ids=["replayed", "unasked", "subnet", "binding", "coldkey", "stolen", "crash", "empty", "junk", "mistyped"],
)
def test_a_bad_enrolment_isnt_admitted_and_costs_nobody_else(bad, caplog):
    """The node stays off the roster with a warning that names it, and the nodes around it enrol."""
    roster, refused = play(answering([good(0), bad, good(3)]), 3)
    assert roster.hotkeys == {1: public(0), 3: public(3)}
    assert refused == [2]
    assert "node 2 isn't enrolled" in caplog.text


def test_a_hotkey_is_enrolled_once(caplog):
    """Two nodes can't work for one hotkey: whoever answers first has it, and nobody is paid twice."""
    roster, refused = play(answering([good(0), good(0), good(1)]), 3)
    assert sorted(roster.hotkeys.values()) == sorted([public(0), public(1)])
    assert len(refused) == 1
    assert "enrolled from another node already" in caplog.text


def test_only_newcomers_are_asked():
    """A node that is on the roster isn't asked again, and its entry stays."""

    def never(_challenge):
        raise AssertionError("was asked again")

    roster, refused = play(answering([never, good(1)]), 2, roster=Roster({1: public(0)}))
    assert roster.hotkeys == {1: public(0), 2: public(1)}
    assert refused == []


def test_a_hotkey_whose_node_is_gone_enrols_from_its_new_node():
    """A participant that restarted as another node, its old one no longer there, takes part again."""
    roster, refused = play(answering([good(0), good(1)]), 2, roster=Roster({77: public(1)}))
    assert refused == []
    assert roster.present([1, 2]) == {public(0): 1, public(1): 2}


def test_the_present_are_those_online_in_the_order_of_hotkeys():
    """Who is enrolled but offline, or online but not enrolled, isn't present."""
    roster = Roster({1: "c", 2: "a", 3: "b"})
    assert list(roster.present([4, 2, 1]).items()) == [("a", 2), ("c", 1)]


def test_a_stop_ends_enrolment():
    """Enrolment ends with StoppedError when somebody stops the run."""
    with pytest.raises(StoppedError):
        play(answering([good(0)]), 1, stopped=lambda: True, roster=Roster())


def test_a_silent_node_holds_nobody_up_and_is_admitted_when_it_answers():
    """Its question stays out when nothing is waited for, isn't asked twice, and is taken up in a later call."""
    may_answer, n_asked = threading.Event(), []

    def slowly(challenge):
        n_asked.append(challenge)
        assert may_answer.wait(timeout=60)
        return good(1)(challenge)

    roster = Roster()
    settings = {"subnet": SUBNET, "fresh_id": fresh_id, "stopped": lambda: False}
    with InProcessGrid(answering([good(0), slowly]), n_nodes=2, n_workers=2) as grid:
        while enrol(grid, roster, deadline_s=0.0, **settings) != [2]:
            assert not may_answer.is_set()
        assert roster.present([1, 2]) == {public(0): 1}
        may_answer.set()
        assert enrol(grid, roster, deadline_s=60.0, **settings) == []
    assert len(n_asked) == 1
    assert roster.pending == {}


def test_who_answered_badly_isnt_asked_again_at_once():
    """A node that fails is left alone for a while, so that waiting for others doesn't hammer it."""
    n_asked = []

    def failing(challenge):
        n_asked.append(challenge)
        return ValueError("no wallet")

    roster = Roster()
    settings = {"subnet": SUBNET, "fresh_id": fresh_id, "stopped": lambda: False, "deadline_s": 60.0}
    with InProcessGrid(answering([failing]), n_nodes=1, n_workers=1) as grid:
        assert enrol(grid, roster, **settings) == [1]
        assert enrol(grid, roster, **settings) == [1]
        assert len(n_asked) == 1
        roster.ask_again_at.clear()
        assert enrol(grid, roster, **settings) == [1]
        assert len(n_asked) == 2


def test_whoever_keeps_enrolments_may_refuse_one(caplog):
    """Every good enrolment is handed on before its node is admitted; a refused node stays off the roster."""
    kept = []

    def keep(signed):
        kept.append(signed)
        if len(kept) == 1:
            raise ContributionError("duplicate", "works for another coldkey")

    roster, refused = play(answering([good(0), good(1)]), 2, keep=keep)
    assert (len(kept), len(roster.hotkeys), len(refused)) == (2, 1, 1)
    assert {open_enrolment(signed).hotkey for signed in kept} == {public(0), public(1)}
    assert "works for another coldkey" in caplog.text
