"""A real EVM for tests: npm's packages in a folder of their own, a compiler, an Anvil node, and JSON-RPC to it."""

import json
import re
import shutil
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.endtoend.conftest import ROOT, CommandLine, wait_until
from tokenomics.settlement import keccak256

EXAMPLE = ROOT / "examples" / "settlement"
UNREACHABLE = r"E(NOTFOUND|AI_AGAIN|CONN\w+|NETUNREACH|HOSTUNREACH|TIMEDOUT)|ERR_SOCKET_TIMEOUT|network"
GAS = 5_000_000
"""Given explicitly, so that the node sends a transaction that will fail in place of refusing to estimate it."""


def install(folder: Path) -> Path:
    """Install the example's packages as its README says; skip where that can't be done on this machine."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("needs node and npm")
    for name in ("package.json", "package-lock.json", ".npmrc", "Distributor.sol", "TestToken.sol"):
        shutil.copy(EXAMPLE / name, folder)
    done = subprocess.run(
        ["npm", "ci", "--prefer-offline", "--no-audit", "--no-fund"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode and re.search(UNREACHABLE, done.stderr):
        pytest.skip(f"needs npm's registry, which can't be reached: {done.stderr.strip()[:200]}")
    assert done.returncode == 0, done.stderr
    return folder


def compiled(folder: Path, *sources: Path) -> dict[str, str]:
    """Compile contracts as the README says; returns bytecode by contract's name."""
    for source in sources:
        shutil.copy(source, folder)
    names = ["Distributor.sol", "TestToken.sol", *(source.name for source in sources)]
    done = subprocess.run(
        ["npx", "solcjs", "--bin", "--optimize", "--output-dir", "build", *names],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stdout + done.stderr
    return {path.stem.split("_sol_")[1]: path.read_text() for path in (folder / "build").glob("*.bin")}


@dataclass(frozen=True)
class Receipt:
    """What became of a transaction."""

    succeeded: bool
    contract: str | None
    logs: list[dict[str, Any]]


class Chain:
    """An Anvil node on a free port of 127.0.0.1; its accounts are unlocked."""

    def __init__(self, packages: Path, command_line: CommandLine) -> None:
        found = list((packages / "node_modules" / "@foundry-rs").glob("anvil-*/bin/anvil*"))
        if not found:
            pytest.skip("needs an Anvil for this platform")
        log = command_line.folder / "anvil.log"
        self.process = command_line.start(*("--host", "127.0.0.1", "--port", "0"), program=str(found[0]), log=log)
        wait_until(lambda: self.process.poll() is not None or "Listening on" in log.read_text(), "Anvil to listen")
        listening = re.search(r"Listening on (127\.0\.0\.1:\d+)", log.read_text())
        assert listening, log.read_text()
        self._url = f"http://{listening[1]}"
        self.accounts: list[str] = self.rpc("eth_accounts")

    def ask(self, method: str, *parameters: Any) -> dict[str, Any]:
        """Send a JSON-RPC request; returns the answer with its `result` or `error`."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})  # noqa: S310 - a fixed http address
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
        return found

    def rpc(self, method: str, *parameters: Any) -> Any:
        """Return the result of a request that must not fail."""
        answer = self.ask(method, *parameters)
        assert "error" not in answer, answer
        return answer["result"]

    def send(self, sender: str, to: str | None, data: str) -> Receipt:
        """Send a transaction and wait until it is mined, whether it succeeds or not."""
        transaction = {"from": sender, "data": data, "gas": hex(GAS)} | ({"to": to} if to else {})
        name = self.rpc("eth_sendTransaction", transaction)
        wait_until(lambda: self.rpc("eth_getTransactionReceipt", name) is not None, "a receipt")
        found = self.rpc("eth_getTransactionReceipt", name)
        return Receipt(found["status"] == "0x1", found["contractAddress"], found["logs"])

    def deploy(self, sender: str, code: str, *words: int | str) -> str:
        """Deploy a contract and return its address."""
        done = self.send(sender, None, f"0x{code}{encoded(*words)}")
        assert done.succeeded
        assert done.contract
        return done.contract

    def read(self, to: str, signature: str, *words: int | str) -> int:
        """Return the word that a view function gives."""
        return int(self.rpc("eth_call", {"to": to, "data": call(signature, *words)}, "latest"), 16)

    def error(self, sender: str, to: str | None, data: str) -> str:
        """Return the selector and arguments of the error with which a call reverts, without 0x; it must revert."""
        answer = self.ask("eth_call", {"from": sender, "data": data} | ({"to": to} if to else {}), "latest")
        assert "error" in answer, answer
        return str(answer["error"]["data"])[2:]


def encoded(*words: int | str) -> str:
    """Encode integers, and addresses or hashes written as 0x..., each in a word of 32 bytes."""
    return "".join(f"{word if isinstance(word, int) else int(word, 16):064x}" for word in words)


def call(signature: str, *words: int | str) -> str:
    """Return call data, or with 0x taken off an error's data, for static arguments."""
    return f"0x{keccak256(signature.encode())[:4].hex()}{encoded(*words)}"


def reverts_with(signature: str, *words: int | str) -> str:
    """Return the data of a named error."""
    return call(signature, *words)[2:]
