"""What a validator publishes of its run: all that an audit needs, and nothing that is a secret."""

import io
import tarfile

import pytest

import subnet.round
from subnet.audit import audit
from subnet.bundle import bundle, unpacked
from subnet.entropy import SystemEntropy
from subnet.errors import RunError, StoreError
from subnet.run_files import NONCES_NAME
from tokenomics.keys import Wallet
from tokenomics.ledger import verify_ledger


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["published", "published.tar"])
def test_an_audit_of_the_bundle_says_what_an_audit_of_the_run_says(season, app_dir, tmp_path, name):
    """As a folder or a tar file; equal bundles are equal files."""
    root, ledger = season.fixture.store.root, season.fixture.ledger
    before = names(root)
    done = bundle(root, tmp_path / name)
    assert (done.log, done.rounds, done.head) == (ledger.key.name, 4, ledger.head)
    with unpacked(tmp_path / name) as folder:
        assert audit(folder, [app_dir]).to_json() == audit(root, [app_dir]).to_json()
        assert verify_ledger(folder / "ledger.sqlite", validator=ledger.genesis.validator).ok
        assert (folder / "log.key").read_text().strip() == str(ledger.key)
        found = names(folder)
        assert len(found) == done.n_files
        assert done.size_bytes == sum((folder / one).stat().st_size for one in found)
    assert names(root) == before
    if name.endswith(".tar"):
        bundle(root, tmp_path / "again.tar")
        assert (tmp_path / name).read_bytes() == (tmp_path / "again.tar").read_bytes()


def test_no_secret_is_in_it(open_game, tmp_path, monkeypatch):
    """Neither a nonce to come, nor a wallet, nor a word of the open round; while the validator is at work."""
    run, seen = tmp_path / "run", {}
    monkeypatch.setattr("subnet.engine.simulate.SeededEntropy", lambda _seed: SystemEntropy(run))
    with open_game(run, "honest=3", scoring={"probes": 4}) as played:
        played.play()
        Wallet.create(run, name="validator", password=None)
        real = subnet.round.collect_replies

        def publish_meanwhile(*args, **more):
            replies = real(*args, **more)
            seen["done"] = bundle(run, tmp_path / "out")
            return replies

        monkeypatch.setattr(subnet.round, "collect_replies", publish_meanwhile)
        played.play()
        first, second = played.report(1), played.report(2)
        nonces = [played.fixture.entropy.nonce(number) for number in (2, 3)]
    secrets = [(run / NONCES_NAME).read_bytes(), *(nonce.encode() for nonce in nonces)]
    public = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert not [path for path, data in public.items() for secret in secrets if secret in data]
    found = names(tmp_path / "out")
    assert not [one for one in found if "validator" in one or NONCES_NAME in one or "dealt" in one or "run.json" in one]
    sent = {one["contribution"] for one in second.receipts.values()} | {
        one["update_hash"] for one in second.receipts.values()
    }
    assert not [one for one in found for digest in sent if digest in one]
    assert {one["contribution"] for one in first.receipts.values()} == {
        path.stem for path in (tmp_path / "out" / "contributions").iterdir()
    }
    assert (seen["done"].rounds, seen["done"].n_left_out) == (1, 3)


def test_a_contribution_that_no_receipt_names_is_published_too(open_game, app_dir, tmp_path, monkeypatch):
    """Of a settled round: the audit judges it. Here the validator says that it came too late."""
    from dataclasses import replace

    real = subnet.round.collect_replies
    with open_game(tmp_path / "run", "honest=3") as played:
        victim = played.of_kind("honest")[0]

        def collect(*args, **more):
            late = {"signed": None, "update_hash": None, "reason": "late", "detail": "no reply"}
            return [replace(one, **late) if one.hotkey == victim else one for one in real(*args, **more)]

        monkeypatch.setattr(subnet.round, "collect_replies", collect)
        played.play()
    assert bundle(tmp_path / "run", tmp_path / "out").n_left_out == 0
    found = audit(tmp_path / "out", [app_dir]).first
    assert (found.layer, found.round, found.hotkey, found.what) == ("screening", 1, victim, "contribution")


def test_what_is_there_already_isnt_replaced(season, tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(RunError, match="mine is there already"):
        bundle(season.fixture.store.root, tmp_path / "mine")
    with pytest.raises(RunError, match=r"no ledger\.sqlite in"):
        bundle(tmp_path, tmp_path / "out")
    with pytest.raises(RunError, match="can't write"):
        bundle(season.fixture.store.root, tmp_path / "mine" / "below")
    assert names(tmp_path) == {"mine"}


def test_a_run_that_isnt_whole_isnt_published(open_game, tmp_path):
    """Half a bundle is left nowhere."""
    with open_game(tmp_path / "run", "honest=3") as played:
        report = played.play()
    digest = next(iter(report.receipts.values()))["update_hash"]
    (tmp_path / "run" / "updates" / f"{digest}.safetensors").write_bytes(b"other")
    with pytest.raises(StoreError, match="was altered"):
        bundle(tmp_path / "run", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def foreign(name, kind=tarfile.REGTYPE):
    """A tar file with one member that no bundle has."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member, io.BytesIO())
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"no tar file",
        foreign("../outside"),
        foreign("/outside"),
        foreign("models/../../outside"),
        foreign("subnet.toml", tarfile.SYMTYPE),
        foreign("ledger.sqlite", tarfile.LNKTYPE),
        foreign("task.py"),
    ],
)
def test_a_strangers_tar_file_writes_nothing_anywhere_else(tmp_path, data):
    path = tmp_path / "strange.tar"
    path.write_bytes(data)
    with pytest.raises(RunError, match="can't be unpacked"), unpacked(path):
        pytest.fail("it was")
    assert names(tmp_path) == {"strange.tar"}
