"""Collecting replies: one at a time, bounded, and whatever is wrong with one is its sender's alone."""

from types import SimpleNamespace

import pytest
from flwr.app import ConfigRecord, Error, Message, MessageType, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_object import UnexpectedObjectContentError
from flwr.supercore.task_identity import TaskIdentity

from clients.contribution import Contribution, Signed
from clients.wire import contribution_record
from subnet import collect as module
from subnet.collect import Asked, collect, send, stream
from subnet.errors import StoppedError
from subnet.store import Store
from tokenomics.canonical import sha256_hex


class ScriptedGrid(Grid):
    """Gives out prepared replies: each after so many looks at the Grid, each once."""

    def __init__(self, replies):
        self.replies = replies
        self.looks = 0
        self.pulled = []

    def set_run(self, run):
        """Not used."""

    @property
    def run(self):
        """Not used."""
        raise NotImplementedError

    def create_message(self, *args, **kwargs):
        """Not used."""
        raise NotImplementedError

    def get_node_ids(self):
        """Not used."""
        raise NotImplementedError

    def push_messages(self, messages):
        """Not used."""
        raise NotImplementedError

    def send_and_receive(self, messages, *, timeout=None):
        """Not used."""
        raise NotImplementedError

    def pull_messages(self, message_ids):
        """Return what is due of what was asked for."""
        self.looks += 1
        due = [one for one in message_ids if one in self.replies and self.replies[one][0] <= self.looks]
        self.pulled += due
        return [self.replies.pop(one)[1] for one in due]


def question():
    return Message(RecordDict(), 1, MessageType.TRAIN, group_id="g")


def answer(update=b"update", signature="ab", document="{}"):
    contribution = Contribution(signed=Signed(document=document, signature=signature), update=update)
    return Message(contribution_record(contribution, n_examples=1), reply_to=question())


@pytest.fixture(autouse=True)
def identity():
    """Say who sends messages in this process, which Flower keeps in one place."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only while the collector sleeps."""
    now = SimpleNamespace(seconds=0.0, pauses=[])

    def sleep(seconds):
        now.seconds += seconds
        now.pauses.append(seconds)

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now.seconds, sleep=sleep))
    return now


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def asked(*names):
    return {f"grid-{name}": Asked(hotkey=name, message_id=f"id-{name}") for name in names}


def run(grid, store, *names, **more):
    settings = {"deadline_s": 5.0, "limit_bytes": 10} | more
    return collect(grid, asked(*names), store, **settings)


def test_replies_are_taken_in_the_order_in_which_they_come(clock, store):
    """Arrival counts up in the order of coming, and each reply keeps whose question it answers."""
    grid = ScriptedGrid({"grid-a": (9, answer(b"a")), "grid-b": (1, answer(b"b")), "grid-c": (5, answer(b"c"))})
    replies = run(grid, store, "a", "b", "c")
    assert [(one.hotkey, one.arrival, one.message_id) for one in replies] == [
        ("b", 0, "id-b"),
        ("c", 1, "id-c"),
        ("a", 2, "id-a"),
    ]
    assert all(one.reason == "" for one in replies)


def test_update_and_envelope_go_to_the_store(clock, store):
    """A good reply carries hashes only, by which bytes and signed envelope are found."""
    (reply,) = run(ScriptedGrid({"grid-a": (1, answer(b"\x00bytes"))}), store, "a")
    assert reply.update_hash == sha256_hex(b"\x00bytes")
    assert store.get("updates", reply.update_hash) == b"\x00bytes"
    assert Signed.from_bytes(store.get("contributions", reply.signed.hash)) == reply.signed


def test_a_reply_is_stored_before_the_next_is_pulled(clock, store):
    """However many are ready, only one is out of the Grid at a time, and it is on the disk before the next comes."""
    grid = ScriptedGrid({f"grid-{name}": (0, answer(name.encode())) for name in "abcd"})
    on_disk = []

    def pull(message_ids, inner=grid.pull_messages):
        message_ids = list(message_ids)
        assert len(message_ids) == 1
        on_disk.append(len(list(store.folder("updates").iterdir())))
        return inner(message_ids)

    grid.pull_messages = pull
    run(grid, store, "a", "b", "c", "d")
    assert on_disk == [0, 1, 2, 3]


def test_who_doesnt_answer_in_time_is_late(clock, store):
    """At the deadline the rest is late, in the order of hotkeys, after those that came."""
    replies = run(ScriptedGrid({"grid-b": (1, answer())}), store, "c", "b", "a", deadline_s=5.0)
    assert [(one.hotkey, one.arrival, one.reason) for one in replies] == [
        ("b", 0, ""),
        ("a", 1, "late"),
        ("c", 2, "late"),
    ]
    assert replies[1].signed is None
    assert "deadline of 5 s" in replies[1].detail
    assert clock.seconds == pytest.approx(5.0)


@pytest.mark.parametrize("deadline_s", [0.03, 5.0, 60.0])
def test_pauses_grow_with_the_wait_within_their_bounds(clock, store, deadline_s):
    """A quick reply is seen at once, a slow one within half a second, and no pause goes beyond the deadline."""
    run(ScriptedGrid({}), store, "a", deadline_s=deadline_s)
    shortest, longest = module.POLL_S
    assert clock.seconds == pytest.approx(deadline_s)
    assert clock.pauses[0] == min(shortest, deadline_s)
    assert max(clock.pauses) <= longest
    assert all(pause >= shortest for pause in clock.pauses[:-1])


def test_nobody_is_waited_for_once_all_are_there(clock, store):
    """With every reply in, the collector returns without a pause and without asking again."""
    grid = ScriptedGrid({"grid-a": (1, answer()), "grid-b": (1, answer())})
    run(grid, store, "a", "b")
    assert clock.pauses == []
    assert grid.looks == 2


def test_a_reply_that_is_ready_at_the_deadline_still_counts(clock, store):
    """With no time at all the Grid is looked at once."""
    replies = run(ScriptedGrid({"grid-a": (1, answer())}), store, "a", "b", deadline_s=0.0)
    assert [(one.hotkey, one.reason) for one in replies] == [("a", ""), ("b", "late")]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (lambda: Message(Error(code=1, reason="boom"), reply_to=question()), "failed"),
        (lambda: Message(Error(code=1), reply_to=question()), "failed"),
        (lambda: Message(RecordDict(), reply_to=question()), "malformed"),
        (lambda: Message(RecordDict({"update": ConfigRecord()}), reply_to=question()), "malformed"),
        (lambda: answer(document="é"), "malformed"),
        (lambda: answer(update=bytes(11)), "oversized"),
        (lambda: answer(document="x" * 5000), "oversized"),
        (lambda: answer(signature=""), "unsigned"),
    ],
)
def test_a_bad_reply_costs_its_sender_alone(clock, store, reply, reason):
    """The reason is on the sender's reply, nothing of it is stored, and the good reply beside it is as ever."""
    grid = ScriptedGrid({"grid-bad": (1, reply()), "grid-good": (1, answer())})
    bad, good = run(grid, store, "bad", "good")
    assert (bad.hotkey, bad.reason, bad.signed, bad.update_hash) == ("bad", reason, None, None)
    assert bad.detail
    assert (good.reason, good.update_hash) == ("", sha256_hex(b"update"))
    assert len(list(store.folder("updates").iterdir())) == 1
    assert len(list(store.folder("contributions").iterdir())) == 1


def test_progress_is_told_after_every_reply(clock, store):
    """The observer hears 1 of n, 2 of n and so on of those that came."""
    told = []
    grid = ScriptedGrid({"grid-a": (1, answer()), "grid-b": (4, answer(signature=""))})
    run(grid, store, "a", "b", "c", on_reply=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3)]


def test_a_stop_ends_the_wait(clock, store):
    """When somebody stops the run, collecting ends with StoppedError long before the deadline."""
    answers = iter([False, False, True])
    with pytest.raises(StoppedError) as caught:
        run(ScriptedGrid({}), store, "a", deadline_s=600.0, stopped=lambda: next(answers))
    assert "same command" in caught.value.remedy
    assert clock.seconds < 1


def test_streaming_is_lazy(clock):
    """Nothing is pulled before somebody asks for it."""
    grid = ScriptedGrid({"x": (0, answer()), "y": (0, answer())})
    found = stream(grid, ["x", "y"], deadline_s=1)
    assert grid.pulled == []
    assert next(found)[0] == "x"
    assert grid.pulled == ["x"]


class UnreadableGrid(ScriptedGrid):
    """Has one reply whose bytes Flower can't unpack."""

    def pull_messages(self, message_ids):
        """Raise for that reply, as Flower's Grid does while it inflates it."""
        if "bad" in message_ids:
            raise UnexpectedObjectContentError("bad", "the bytes aren't the object's")
        return super().pull_messages(message_ids)


def test_a_reply_that_flower_cant_unpack_costs_its_sender_alone(tmp_path, clock):
    """An exception from unpacking one reply is that participant's malformed reply, and the others are collected."""
    asked = {"bad": Asked(hotkey="b", message_id="mb"), "good": Asked(hotkey="g", message_id="mg")}
    replies = collect(UnreadableGrid({"good": (2, answer())}), asked, Store(tmp_path), deadline_s=5, limit_bytes=100)
    assert {reply.hotkey: reply.reason for reply in replies} == {"b": "malformed", "g": ""}


def test_trouble_on_the_way_is_nobodys_fault(tmp_path, clock):
    """A transport error isn't taken for a bad reply: it reaches whoever runs the validator."""

    class Broken(ScriptedGrid):
        def pull_messages(self, message_ids):
            raise ConnectionError("the SuperLink is gone")

    with pytest.raises(ConnectionError):
        collect(Broken({}), {"m": Asked(hotkey="a", message_id="m")}, Store(tmp_path), deadline_s=5, limit_bytes=100)


def test_who_couldnt_be_reached_is_missing_and_says_so(tmp_path, clock):
    """A message that Flower couldn't deliver leaves its participant a reply with the reason `unreachable`."""
    asked = {"good": Asked(hotkey="g", message_id="mg")}
    gone = [Asked(hotkey="a", message_id="ma")]
    grid = ScriptedGrid({"good": (1, answer())})
    replies = collect(grid, asked, Store(tmp_path), undelivered=gone, deadline_s=5, limit_bytes=100)
    assert [(reply.hotkey, reply.reason) for reply in replies] == [("g", ""), ("a", "unreachable")]


@pytest.mark.parametrize("ids", [[], [None], [""]])
def test_a_message_that_isnt_taken_has_no_id(ids):
    """Whether the Grid leaves an undeliverable message's id out or blanks it, it counts as not sent."""

    class Refusing(ScriptedGrid):
        def push_messages(self, messages):
            return ids

    assert send(Refusing({}), question()) is None
