"""One code, two simulation engines: Flower's (Ray) and the in-process Grid."""

import json

import pytest

from tests.endtoend.conftest import DIGITS, ROOT, CommandLine, tree, with_probes
from tokenomics.ledger import Ledger

OPTDIGITS = ROOT / "examples" / "optdigits"
CAST = "honest=3,sign_flip=1,stale=1,copycat=1,label_flip=1,nan=1,crash=1,unsigned=1"


@pytest.mark.processes
def test_both_engines_write_the_same_ledger_byte_for_byte(subnet: CommandLine):
    """The same seed gives the same ledger, models, updates and receipts in this process and on Flower's engine.

    The subnet has probes, so that the copycat's process must know its victim's.
    """
    options = ("simulate", with_probes(DIGITS, subnet.folder), "--rounds", 2, "--clients", CAST, "--seed", 7, "--json")
    outputs = {}
    for engine in ("inprocess", "flower"):
        done = subnet.run(*options, "--out", engine, "--engine", engine)
        assert done.returncode == 0, done.stderr
        outputs[engine] = json.loads(done.stdout.splitlines()[-1])
        assert outputs[engine]["ledger"]["ok"]
    dumps = {}
    for engine in outputs:
        with Ledger.open(subnet.folder / engine / "ledger.sqlite", read_only=True) as ledger:
            dumps[engine] = list(ledger.dump())
    assert dumps["inprocess"] == dumps["flower"]
    assert tree(subnet.folder / "inprocess") == tree(subnet.folder / "flower")
    reasons = {entry["reason"] for played in outputs["flower"]["rounds"] for entry in played["rejected"]}
    assert {"failed", "unsigned", "non_finite", "copy", "free_riding"} <= reasons
    assert subnet.left_behind() == []


@pytest.mark.processes
def test_cheats_that_know_more_settle_alike_on_both_engines(subnet: CommandLine):
    """What turncoats, Sybils, colluders and riders send depends on round, seed and public models alone.

    Colluders and Sybils share what one of them computed: within this process by threads, on Flower's engine each
    process anew. Nothing may differ, for money or otherwise: replies are put in the order of the cast, so the order in
    which they came decides nothing.
    """
    cast = "honest=5,on_off=1,coasting=1,sybil_split=2,sybil_clone=2,alie=2,jittered_mimic=2,lazy=1"
    options = ("simulate", OPTDIGITS, "--rounds", 3, "--clients", cast, "--partition", "dirichlet:0.5", "--seed", 11)
    outputs, dumps = {}, {}
    for engine in ("inprocess", "flower"):
        done = subnet.run(*options, "--json", "--out", engine, "--engine", engine)
        assert done.returncode == 0, done.stderr
        outputs[engine] = json.loads(done.stdout.splitlines()[-1])
        with Ledger.open(subnet.folder / engine / "ledger.sqlite", read_only=True) as ledger:
            dumps[engine] = list(ledger.dump())
    assert dumps["inprocess"] == dumps["flower"]
    assert tree(subnet.folder / "inprocess") == tree(subnet.folder / "flower")
    assert len(outputs["flower"]["rounds"]) == 3
    assert all(played["minted"] > 0 for played in outputs["flower"]["rounds"])
    known = {one["hotkey"]: one["kind"] for one in outputs["flower"]["participants"]}
    rejected = {(known[one["hotkey"]], one["reason"]) for one in outputs["flower"]["rounds"][2]["rejected"]}
    assert {("on_off", "free_riding"), ("sybil_clone", "copy"), ("alie", "copy")} <= rejected
    assert not {kind for kind, reason in rejected if reason == "copy"} & {"honest", "jittered_mimic"}
    assert subnet.left_behind() == []
