"""Where a node's identity and data come from: a seed in simulation, a wallet and its configuration in deployment."""

import pickle
import time

import cloudpickle
import pytest
import torch
from flwr.app import Context, RecordDict

from clients.app import Simulation, WalletNode
from clients.errors import InstructionError
from clients.settings import TrainingSettings
from clients.task import load_task
from clients.weights import encode
from tokenomics.errors import WalletError
from tokenomics.keys import Wallet, verify

ROLES = ("honest", "honest", "honest", "copycat", "label_flip")


@pytest.fixture
def make(app_dir, tmp_path):
    """A simulated field of five; keywords change it."""

    def build(**changes):
        fields = {
            "app_dir": app_dir,
            "task": "toy_task:Toy",
            "subnet": "5" * 64,
            "settings": TrainingSettings(),
            "roles": ROLES,
            "partition": "iid",
            "n_small": 0,
            "small_share": 0.1,
            "seed": 3,
            "models": tmp_path,
        }
        return Simulation(**(fields | changes))

    return build


def node(**config):
    return Context(run_id=1, node_id=1, node_config=config, state=RecordDict(), run_config={})


def same_examples(one, two):
    return torch.equal(one.inputs, two.inputs) and torch.equal(one.targets, two.targets)


def rows(participants):
    """Every example of every participant, as something that can be counted."""
    return [tuple(row) for one in participants for row in one.examples.inputs.tolist()]


def test_the_same_seed_gives_the_same_field(make):
    """Wallets, data and local randomness repeat; another seed changes each of them."""
    for index in range(len(ROLES)):
        one, two, other = (field.participant(index) for field in (make(), make(), make(seed=4)))
        assert one.hotkey.keypair.public == two.hotkey.keypair.public != other.hotkey.keypair.public
        assert same_examples(one.examples, two.examples)
        assert not same_examples(one.examples, other.examples)
        assert one.draw(1).initial_seed() == two.draw(1).initial_seed() != other.draw(1).initial_seed()
        assert one.draw(1).initial_seed() != one.draw(2).initial_seed()


def test_every_client_has_a_wallet_and_data_of_its_own(make):
    """Hotkeys are all different and truly bound, local randomness too, and no example is with two clients."""
    field = [make().participant(index) for index in range(len(ROLES))]
    assert len({one.hotkey.keypair.public for one in field}) == len(ROLES)
    assert len({one.draw(1).initial_seed() for one in field}) == len(ROLES)
    for one in field:
        public = one.hotkey.keypair.public
        binding = one.hotkey.binding
        assert verify(public=one.hotkey.coldkey, domain="hotkey-binding", message=public.encode(), signature=binding)
    assert len(rows(field)) == len(set(rows(field))) == 1200


def test_roles_become_behaviours(make):
    """A client behaves as its role says, and a copying one has the first honest client for its victim."""
    field = make()
    assert [field.participant(index).behaviour.kind for index in range(5)] == list(ROLES)
    assert field.participant(3).leaks.peer_hotkey() == field.participant(0).hotkey.keypair.public


def test_a_small_client_has_its_share_of_its_own_shard(make):
    """The last `n_small` honest clients keep a tenth of what they would have had; nobody else loses any."""
    full, small = ([make(n_small=n_small).participant(index) for index in range(5)] for n_small in (0, 2))
    assert [len(one.examples) for one in full] == [240] * 5
    assert [len(one.examples) for one in small] == [240, 24, 24, 240, 240]
    for kept, whole in zip(small, full, strict=True):
        assert set(rows([kept])) <= set(rows([whole]))
    assert len(make(n_small=1, small_share=0.001).participant(2).examples) == 1


def test_a_node_is_the_client_of_its_partition(make):
    """`partition-id` picks the client, and a node too many is refused."""
    field = make()
    context = node(**{"partition-id": 4, "num-partitions": 5})
    assert field(context).hotkey == field.participant(4).hotkey
    with pytest.raises(InstructionError, match="partition-id 5, the cast has 5 clients"):
        field(node(**{"partition-id": 5, "num-partitions": 6}))


def test_a_field_travels_to_other_processes(make, base):
    """It is small when pickled, and the participants on the other side are the same."""
    field = make()
    data = cloudpickle.dumps(field)
    assert len(data) < 10_000
    there = pickle.loads(data)  # noqa: S301 (our own bytes)
    assert there == field
    one, two = field.participant(1), there.participant(1)
    assert torch.equal(one.local_update(1, base), two.local_update(1, base))


@pytest.fixture
def wallet_path(tmp_path):
    Wallet.create(tmp_path, name="mine", password=None)
    return tmp_path / "mine"


@pytest.fixture
def wallet_node(app_dir):
    return WalletNode(app_dir=app_dir, task="toy_task:Unmeasured", subnet="5" * 64, settings=TrainingSettings())


@pytest.mark.parametrize("config", [{}, {"wallet": ""}, {"wallet": 5}])
def test_a_node_without_a_wallet_is_told_how_to_get_one(wallet_node, config):
    """No wallet is an InstructionError whose remedy names the command and the option."""
    with pytest.raises(InstructionError, match="no wallet") as caught:
        wallet_node(node(**config))
    assert "subnet wallet new" in caught.value.remedy
    assert "--node-config" in caught.value.remedy


def test_a_throwaway_wallet_needs_the_runs_word(wallet_node):
    """Only a run that sets `simulated-wallets` to true gives a node without a wallet a key, its own by node id."""
    keys = set()
    for node_id in (1, 2):
        context = Context(
            run_id=1,
            node_id=node_id,
            node_config={"first": 3},
            state=RecordDict(),
            run_config={"simulated-wallets": True},
        )
        keys |= {wallet_node(context).hotkey.keypair.public for _ in range(2)}
    assert len(keys) == 2
    context.run_config["simulated-wallets"] = "yes"
    with pytest.raises(InstructionError, match="no wallet"):
        wallet_node(context)


def test_a_wallet_that_isnt_there_is_an_error_of_its_own(wallet_node, tmp_path):
    """A path without a wallet is a WalletError that names it."""
    with pytest.raises(WalletError, match="absent"):
        wallet_node(node(wallet=str(tmp_path / "absent"), first=3))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"partition-id": 0},
        {"num-partitions": 3},
        {"partition-id": 3, "num-partitions": 3},
        {"partition-id": -1, "num-partitions": 3},
        {"partition-id": "0", "num-partitions": 3},
        {"partition-id": 0, "num-partitions": 0},
    ],
)
def test_a_node_that_doesnt_know_its_data_is_told_how_to_say_it(wallet_node, wallet_path, config):
    """Without data of its own a node needs a partition that exists."""
    with pytest.raises(InstructionError, match="doesn't know its data") as caught:
        wallet_node(node(wallet=str(wallet_path), **config))
    assert "partition-id" in caught.value.remedy


def test_a_nodes_own_data_come_first(wallet_node, wallet_path, app_dir):
    """What the task reads off the node's configuration is trained on, whatever the partition says."""
    config = {"wallet": str(wallet_path), "first": 7, "partition-id": 0, "num-partitions": 3}
    participant = wallet_node(node(**config))
    whole = load_task(app_dir, "toy_task:Unmeasured").training_data()
    assert same_examples(participant.examples, whole.take(torch.arange(7)))


def test_nodes_of_a_partition_share_the_data_among_them(wallet_node, wallet_path):
    """The shards of three nodes are disjoint and together all training data."""
    field = [
        wallet_node(node(**{"wallet": str(wallet_path), "partition-id": index, "num-partitions": 3}))
        for index in range(3)
    ]
    assert len(rows(field)) == len(set(rows(field))) == 1200


def test_a_real_node_signs_with_its_wallet_and_draws_fresh_randomness(wallet_node, wallet_path, base, layout):
    """The hotkey is the wallet's, its device the one that was asked for, and no round's randomness repeats."""
    participant = wallet_node(node(wallet=str(wallet_path), first=40, device="cpu"))
    assert participant.hotkey == Wallet.load(wallet_path, None).hotkey
    assert participant.device == torch.device("cpu")
    first, again = (encode(layout, participant.local_update(1, base)) for _ in range(2))
    assert first != again


def test_only_a_node_with_a_gpu_reports_the_time_of_it(wallet_node, wallet_path, make):
    """On a CPU there is nothing to report, nor in a simulation, whose contributions repeat bit for bit."""
    on_gpu, on_cpu = (
        wallet_node(node(wallet=str(wallet_path), first=40, device=device)) for device in ("cuda:0", "cpu")
    )
    assert (on_gpu.device, on_gpu.gpu_clock) == (torch.device("cuda:0"), time.perf_counter)
    assert on_cpu.gpu_clock is None
    assert make().participant(0).gpu_clock is None


def test_a_group_shares_one_clients_data(make):
    """`honest=3` with four identities of one owner divides the data in four, and the split ones divide that again."""
    roles = ("honest",) * 3
    for kind, sizes in (("sybil_clone", [300] * 4), ("same_data", [300] * 4), ("sybil_split", [75] * 4)):
        field = [make(roles=(*roles, *[kind] * 4)).participant(index) for index in range(7)]
        assert [len(one.examples) for one in field] == [300] * 3 + sizes
        assert len(set(rows(field))) == 1200
        assert len({one.hotkey.keypair.public for one in field}) == 7


def test_leaked_samples_are_the_validators(make, task):
    """Every leaking client trains on the same tenth of the held-out pool beside its own data; its claim stays."""
    field = make(roles=("honest", "leak", "leak"))
    pool = {tuple(row) for row in task.validation_data().inputs.tolist()}
    leaked = []
    for index in (1, 2):
        one = field.participant(index)
        seen = [tuple(row) for row in one.behaviour.data(one.examples).inputs.tolist()]
        assert seen[: len(one.examples)] == rows([one])
        leaked.append(seen[len(one.examples) :])
    assert leaked[0] == leaked[1]
    assert len(leaked[0]) == 40
    assert set(leaked[0]) <= pool
