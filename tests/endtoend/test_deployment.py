"""`flwr run` against a real SuperLink and three stock SuperNodes, each with its own data and wallet."""

import json
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator

import pytest

from subnet.store import Store
from tests.endtoend.conftest import DIGITS, CommandLine, wait_until, with_probes
from tokenomics.ledger import Ledger, verify_ledger

NAMES = ("ada", "ben", "cleo")
N_NODES = len(NAMES)


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Return whether somebody listens on a port of the loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def federation(subnet: CommandLine) -> Iterator[tuple[CommandLine, list[str]]]:
    """A SuperLink and three SuperNodes as real processes; gives the command line and the nodes' hotkeys.

    Stopped with SIGTERM in the end, they must leave nothing running.
    """
    port = free_port()
    home = subnet.folder / "flwr-home"
    home.mkdir()
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "mine"\n\n[superlink.mine]\naddress = "127.0.0.1:{port}"\ninsecure = true\n'
    )
    hotkeys = []
    for name in NAMES:
        made = subnet.run("wallet", "new", subnet.folder / "wallets", "--name", name, "--no-password")
        assert made.returncode == 0, made.stderr
        shown = subnet.run("wallet", "show", subnet.folder / "wallets" / name, "--json")
        hotkeys.append(json.loads(shown.stdout)["hotkey"])
    processes = [
        subnet.start("--insecure", "--port", port, program="flower-superlink", log=subnet.folder / "superlink.log")
    ]
    try:
        wait_until(lambda: listens(port), "the SuperLink")
        for number, name in enumerate(NAMES):
            config = f'partition-id={number} num-partitions={N_NODES} wallet="{subnet.folder / "wallets" / name}"'
            processes.append(
                subnet.start(
                    *("--insecure", "--superlink", f"127.0.0.1:{port}", "--port", free_port()),
                    *("--node-config", config),
                    program="flower-supernode",
                    log=subnet.folder / f"{name}.log",
                )
            )
        yield subnet, hotkeys
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        assert subnet.left_behind() == []


@pytest.mark.processes
def test_flwr_run_trains_and_pays_real_nodes(federation: tuple[CommandLine, list[str]]):
    """Two rounds on Flower's deployment engine, with probes, settle in a ledger that pays exactly the three wallets.

    Each node keeps the validator's word on round 1, to which an audit of the published run holds it.
    """
    subnet, hotkeys = federation
    folder = subnet.folder / "run"
    settings = f'rounds=2 min-participants={N_NODES} out="{folder}"'
    app = with_probes(DIGITS, subnet.folder)
    run = subnet.start("run", app, "mine", "--stream", "--run-config", settings, program="flwr")
    try:
        wait_until(lambda: checkpoint_round(folder) == 2 or run.poll() not in {None, 0}, "two rounds", timeout_s=280)
        run.wait(timeout=60)
    finally:
        run.kill()
    log = (subnet.folder / "log").read_text()
    assert run.returncode == 0, log
    checked = verify_ledger(folder / "ledger.sqlite")
    assert checked.ok, checked.errors
    assert checked.rounds == 2
    with Ledger.open(folder / "ledger.sqlite", read_only=True) as ledger:
        for row in ledger.rounds():
            entries = ledger.receipts(row.round)
            assert [entry.hotkey for entry in entries] == sorted(hotkeys)
            assert {entry.status for entry in entries} == {"accepted"}
            assert row.minted > 0
            probes = [Store(folder).get_json("receipts", entry.receipt_hash)["probe"] for entry in entries]
            assert [probe["n_rounds"] for probe in probes] == [row.round] * N_NODES
            assert sum(probe["own"] for probe in probes) > 0
        balances = ledger.balances()
    assert {account for account in balances if account.startswith("pending:")} == {
        f"pending:{hotkey}" for hotkey in hotkeys
    }
    explained = subnet.run("explain", folder, 2, hotkeys[0][:12])
    assert explained.returncode == 0, explained.stderr
    assert "of the round's" in explained.stdout
    assert "of loss on its own" in explained.stdout
    assert stat.S_IMODE((folder / "nonces.secret").stat().st_mode) == 0o600
    kept = [path for name in NAMES for path in (subnet.folder / "wallets" / name / "acknowledgements").iterdir()]
    words = [json.loads(json.loads(line)["document"]) for path in kept for line in path.read_text().splitlines()]
    assert [(word["round"], word["hotkey"]) for word in words] == [(1, hotkey) for hotkey in hotkeys]
    assert subnet.run("bundle", folder, subnet.folder / "run.tar").returncode == 0
    acks = [option for path in kept for option in ("--acks", path)]
    audited = subnet.run("audit", subnet.folder / "run.tar", "--subnet", app, *acks)
    assert audited.returncode == 0, audited.stdout + audited.stderr


def checkpoint_round(folder) -> int:
    """Return the last round that the ledger's checkpoint names."""
    path = folder / "ledger.sqlite.checkpoint"
    return int(path.read_text().split("\n")[1]) - 1 if path.exists() else 0
