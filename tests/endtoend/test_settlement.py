"""Settlement on a real EVM: the JavaScript library's bytes, the distributor on Anvil, and a run that is paid there."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from clients.seeds import seed_bytes
from tests.endtoend.conftest import BLOBS, ROOT, CommandLine
from tests.endtoend.evm import Chain, call, compiled, install, reverts_with
from tokenomics import _keyfile
from tokenomics.keys import Wallet
from tokenomics.settlement import Claim, ClaimTree, checksum_address, claim_call, keccak256, post_root_call

pytestmark = pytest.mark.processes

VECTORS = ROOT / "tests" / "vectors"
SUPPLY = 10**30
TREE_OF = """
const { StandardMerkleTree } = require("@openzeppelin/merkle-tree");
const values = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(StandardMerkleTree.of(values, ["address", "uint256"]).dump()));
"""
LOAD = """
const { StandardMerkleTree } = require("@openzeppelin/merkle-tree");
const tree = StandardMerkleTree.load(JSON.parse(require("fs").readFileSync(0, "utf8")));
tree.validate();
process.stdout.write(tree.root);
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example's packages."""
    return install(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def contracts(packages: Path) -> dict[str, str]:
    """Bytecode by contract's name."""
    return compiled(packages, Path(__file__).with_name("OddToken.sol"))


@pytest.fixture
def chain(packages: Path, subnet: CommandLine) -> Iterator[Chain]:
    """A fresh chain."""
    running = Chain(packages, subnet)
    yield running
    running.process.kill()
    running.process.wait()


def node(packages: Path, *arguments: object, given: str = "") -> str:
    """Run a script with Node.js; returns what it writes."""
    done = subprocess.run(
        ["node", *map(str, arguments)],
        cwd=packages,
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Payout:
    """A distributor with a funded token on a chain."""

    chain: Chain
    owner: str
    token: str
    distributor: str

    @classmethod
    def deployed(cls, chain: Chain, contracts: dict[str, str], *, funds: int) -> "Payout":
        """Deploy token and distributor, the chain's account 0 their owner, and fund it."""
        owner = chain.accounts[0]
        token = chain.deploy(owner, contracts["TestToken"], SUPPLY)
        distributor = chain.deploy(owner, contracts["Distributor"], owner, token)
        assert chain.send(owner, token, call("transfer(address,uint256)", distributor, funds)).succeeded
        return cls(chain, owner, token, distributor)

    def post(self, root: str) -> None:
        """Post a root as the owner."""
        assert self.chain.send(self.owner, self.distributor, post_root_call(root)).succeeded
        assert self.chain.read(self.distributor, "root()") == int(root, 16)

    def balance(self, account: str) -> int:
        """Return an account's tokens."""
        return self.chain.read(self.token, "balanceOf(address)", account)

    def claim(self, data: str, *, sender: str | None = None) -> bool:
        """Send a claim; returns whether it succeeded."""
        return self.chain.send(sender or self.chain.accounts[9], self.distributor, data).succeeded

    def refused(self, data: str, error: str, *words: int | str, sender: str | None = None) -> bool:
        """Whether a transaction fails with this named error, and moves nothing."""
        who = sender or self.chain.accounts[9]
        before = self.balance(self.distributor)
        found = self.chain.error(who, self.distributor, data)
        assert found == reverts_with(error, *words), found
        return not self.claim(data, sender=who) and self.balance(self.distributor) == before


def tree_of(amounts: dict[str, int]) -> ClaimTree:
    """Return the tree of amounts by account."""
    return ClaimTree.of(Claim(account=account, amount=amount) for account, amount in amounts.items())


def data_of(tree: ClaimTree, account: str) -> str:
    """Return the call data of an account's own claim."""
    return claim_call(account, tree.claim(account).amount, tree.proof(account))


@pytest.mark.parametrize("n_leaves", [1, 2, 3, 5, 8, 100])
def test_the_dump_is_the_javascript_librarys_to_the_byte(packages: Path, n_leaves: int):
    """For 1 to 100 leaves; and the library reads ours and finds it valid."""
    tree = tree_of(
        {f"0x{keccak256(bytes([i, n_leaves]))[:20].hex()}": int(10**18 / (i + 1)) << i for i in range(n_leaves)}
    )
    values = json.dumps([[claim.account, str(claim.amount)] for claim in tree.claims])
    assert node(packages, "-e", TREE_OF, given=values) == tree.dump()
    assert node(packages, "-e", LOAD, given=tree.dump()) == tree.root


def test_the_committed_vectors_are_what_the_library_makes(packages: Path):
    """tests/vectors/settlement.json, made again."""
    assert node(packages, VECTORS / "settlement.mjs") == (VECTORS / "settlement.json").read_text()


def test_the_distributor_pays_what_is_earned_and_nothing_else(chain: Chain, contracts: dict[str, str]):
    """Honest claims pay exactly and once, later roots pay the difference, and every forgery is refused by name."""
    ada, ben, eve = (checksum_address(account) for account in chain.accounts[1:4])
    first = tree_of({ada: 70 * 10**18 + 1, ben: 3})
    payout = Payout.deployed(chain, contracts, funds=10**21)
    invalid, nothing = "InvalidProof(address,uint256)", "NothingToClaim(address,uint256,uint256)"

    assert payout.refused(data_of(first, ada), invalid, ada, first.claim(ada).amount), "no root is posted yet"
    assert payout.refused(post_root_call(first.root), "NotOwner(address)", eve, sender=eve)
    assert payout.refused(post_root_call("0x" + "0" * 64), "ZeroRoot()", sender=payout.owner)
    payout.post(first.root)

    assert payout.claim(data_of(first, ada))
    assert (payout.balance(ada), payout.balance(chain.accounts[9])) == (70 * 10**18 + 1, 0)
    assert payout.refused(data_of(first, ada), nothing, ada, 70 * 10**18 + 1, 70 * 10**18 + 1)
    assert payout.refused(claim_call(ben, 4, first.proof(ben)), invalid, ben, 4)
    assert payout.refused(claim_call(ben, 3, first.proof(ada)), invalid, ben, 3)
    assert payout.refused(claim_call(eve, 3, first.proof(ben)), invalid, eve, 3)
    assert payout.refused(claim_call(eve, 3, []), invalid, eve, 3)
    assert payout.balance(ben) == payout.balance(eve) == 0

    second = tree_of({ada: 100 * 10**18, ben: 3, eve: 9})
    payout.post(second.root)
    assert payout.refused(data_of(first, ben), invalid, ben, 3), "an old proof is of the old root"
    for account in (ada, ben, eve):
        assert payout.claim(data_of(second, account))
    assert [payout.balance(account) for account in (ada, ben, eve)] == [100 * 10**18, 3, 9]
    assert payout.balance(payout.distributor) == 10**21 - 100 * 10**18 - 12

    third = tree_of({ada: 99 * 10**18, ben: 3})
    payout.post(third.root)
    assert payout.refused(data_of(third, ada), nothing, ada, 99 * 10**18, 100 * 10**18), "a claim that shrank"
    alone = tree_of({eve: 10})
    payout.post(alone.root)
    assert payout.claim(data_of(alone, eve)), "a tree of one leaf has an empty proof"
    assert payout.balance(eve) == 10


def test_events_say_what_happened(chain: Chain, contracts: dict[str, str]):
    """RootPosted with the root, Claimed with what was paid now and in all."""
    ada = checksum_address(chain.accounts[1])
    payout = Payout.deployed(chain, contracts, funds=100)
    for amount, paid in ((30, 30), (45, 15)):
        tree = tree_of({ada: amount})
        [posted] = chain.send(payout.owner, payout.distributor, post_root_call(tree.root)).logs
        assert posted["topics"] == ["0x" + keccak256(b"RootPosted(bytes32)").hex(), tree.root]
        logs = chain.send(ada, payout.distributor, data_of(tree, ada)).logs
        [claimed] = [log for log in logs if log["address"] == payout.distributor]
        assert claimed["topics"] == [
            "0x" + keccak256(b"Claimed(address,uint256,uint256)").hex(),
            f"0x{int(ada, 16):064x}",
        ]
        assert claimed["data"] == f"0x{paid:064x}{amount:064x}"


def test_a_token_that_calls_back_finds_nothing_more_to_claim(chain: Chain, contracts: dict[str, str]):
    """The same claim from within the payment is refused, and one payment is made."""
    owner, ada = chain.accounts[0], checksum_address(chain.accounts[1])
    token = chain.deploy(owner, contracts["OddToken"], 0)
    distributor = chain.deploy(owner, contracts["Distributor"], owner, token)
    tree = tree_of({ada: 50})
    again = data_of(tree, ada)[2:]
    padded = again + "0" * (-len(again) % 64)
    assert chain.send(owner, token, call("arm(bytes)", 32, len(again) // 2) + padded).succeeded
    assert chain.send(owner, distributor, post_root_call(tree.root)).succeeded
    assert chain.send(ada, distributor, data_of(tree, ada)).succeeded
    assert (chain.read(token, "paid()"), chain.read(token, "transfers()")) == (50, 1)
    refusal = chain.read(token, "refusal()") >> 224
    assert refusal == int(reverts_with("NothingToClaim(address,uint256,uint256)"), 16)


def test_a_payment_that_fails_can_be_claimed_later(chain: Chain, contracts: dict[str, str]):
    """A token that returns false, or holds too little, undoes the whole claim; one that returns nothing pays."""
    owner, ada = chain.accounts[0], checksum_address(chain.accounts[1])
    tree = tree_of({ada: 50})
    for oddity, pays in ((1, False), (2, True)):
        token = chain.deploy(owner, contracts["OddToken"], oddity)
        distributor = chain.deploy(owner, contracts["Distributor"], owner, token)
        assert chain.send(owner, distributor, post_root_call(tree.root)).succeeded
        assert chain.send(ada, distributor, data_of(tree, ada)).succeeded == pays
        assert chain.read(distributor, "claimed(address)", ada) == (50 if pays else 0)
    poor = Payout.deployed(chain, contracts, funds=49)
    poor.post(tree.root)
    assert poor.refused(data_of(tree, ada), "TransferFailed(address,uint256)", ada, 50)
    assert chain.send(owner, poor.token, call("transfer(address,uint256)", poor.distributor, 1)).succeeded
    assert poor.claim(data_of(tree, ada))
    assert poor.balance(ada) == 50


def test_a_distributor_needs_an_owner_and_a_token(chain: Chain, contracts: dict[str, str]):
    """Nobody and an account without code are refused where it is deployed."""
    owner = chain.accounts[0]
    token = chain.deploy(owner, contracts["TestToken"], SUPPLY)
    for words, error in (((0, token), ("ZeroOwner()",)), ((owner, owner), ("NotAContract(address)", owner))):
        code = f"0x{contracts['Distributor']}{call('', *words)[10:]}"
        assert chain.error(owner, None, code) == reverts_with(*error)
        assert not chain.send(owner, None, code).succeeded


def test_a_run_is_paid_on_chain(subnet: CommandLine, chain: Chain, contracts: dict[str, str]):
    """From training to tokens by the command line alone: bind, export, claim; go on, export, claim the difference."""
    chain_id = chain.rpc("eth_chainId")
    honest, addresses = range(4), chain.accounts[1:5]
    bindings = subnet.folder / "bindings.jsonl"
    hotkeys = []
    for index, address in zip(honest[:3], addresses, strict=False):
        wallet = Wallet.from_seed(seed_bytes("wallet", 0, index))
        hotkeys.append(wallet.hotkey.keypair.public)
        _keyfile.write_wallet(subnet.folder / "wallets", str(index), wallet.documents(password=None))
        options = ("--address", address, "--chain-id", int(chain_id, 16), "--no-password")
        done = subnet.run("wallet", "bind-evm", f"wallets/{index}", *options)
        assert done.returncode == 0, done.stderr
        bindings.write_text((bindings.read_text() if bindings.exists() else "") + done.stdout)
    payout = Payout.deployed(chain, contracts, funds=10**24)
    app = shutil.copytree(BLOBS, subnet.folder / "blobs")
    spec = app / "subnet.toml"
    spec.write_text(f"{spec.read_text()}\n[scoring]\nvesting = 0  # nothing is pending: paid at once\n")
    for n_rounds in (2, 5):
        played = subnet.run("simulate", app, "--out", "run", "--rounds", n_rounds, "--json")
        assert played.returncode == 0, played.stderr
        done = subnet.run("settlement", "export", "run", "--bindings", bindings, "--out", "claims.json", "--json")
        assert done.returncode == 0, done.stderr
        exported = json.loads(done.stdout)
        balances = json.loads(subnet.run("ledger", "show", "run", "--json").stdout)["balances"]
        earned = [balances.get(f"participant:{hotkey}", 0) * 10**9 for hotkey in hotkeys]
        assert exported["total"] == str(sum(earned))
        assert min(earned) > 0
        assert chain.send(payout.owner, payout.distributor, exported["calldata"]).succeeded
        for address, amount in zip(addresses, earned, strict=False):
            proof = subnet.run("settlement", "proof", "claims.json", "--address", address, "--json")
            assert payout.claim(json.loads(proof.stdout)["calldata"])
            assert payout.balance(address) == amount
        everyone = {account for account, units in balances.items() if account.startswith("participant:") and units}
        assert {f"participant:{one['hotkey']}" for one in exported["unclaimed"]} == everyone - {
            f"participant:{hotkey}" for hotkey in hotkeys
        }
    assert payout.balance(payout.distributor) == 10**24 - sum(earned)
