"""One code, two simulation engines: Flower's (Ray) and the in-process Grid."""

import json

import pytest

from tests.endtoend.conftest import DIGITS, CommandLine, tree, with_probes
from tokenomics.ledger import Ledger

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
