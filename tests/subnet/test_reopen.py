"""Opening a run's folder again: only with its own rules, its own task and its own held-out data."""

import sqlite3

import pytest

from clients.task import load_task
from subnet import reopen
from subnet.errors import RunError
from subnet.reopen import reopened
from tokenomics.ledger import Ledger


def test_all_that_the_numbers_came_from_is_there(season, app_dir):
    """The same rules, pool, rule and scorer; a ledger that takes no more rounds; and no key of anybody's."""
    with reopened(season.fixture.store.root, [app_dir]) as fixture:
        assert fixture.spec == season.fixture.spec
        assert fixture.scorer.name == season.fixture.scorer.name
        assert fixture.strategy.name == season.fixture.strategy.name
        assert len(fixture.validation) == len(season.fixture.validation)
        assert fixture.ledger.head == season.fixture.ledger.head
        assert fixture.keypair.public != season.fixture.keypair.public


def test_the_first_folder_of_the_runs_subnet_is_taken(season, app_dir, tmp_path):
    """Folders without a subnet, or of another one, are passed over."""
    (tmp_path / "subnet.toml").write_text("[subnet]\nname = 'other'\n")
    with reopened(season.fixture.store.root, [tmp_path / "nowhere", tmp_path, app_dir / "subnet.toml"]) as fixture:
        assert fixture.spec.subnet.name == "toy"
    with pytest.raises(RunError, match=r"the subnet 'toy' .* isn't in"):
        reopened(season.fixture.store.root, [tmp_path]).__enter__()


def test_another_pool_than_the_committed_one_is_refused(season, app_dir, monkeypatch):
    """The held-out data must have the Merkle root that is in the ledger's first row."""
    task = load_task(app_dir, "toy_task:Toy")
    pool = task.validation_data()
    monkeypatch.setattr(type(task), "validation_data", lambda _self: pool.take(pool.targets.new_tensor([1, 0, 2])))
    with pytest.raises(RunError, match="isn't what the run was scored on"):
        reopened(season.fixture.store.root, [app_dir]).__enter__()


def test_the_ledger_is_read_only(season, app_dir, monkeypatch):
    """It is opened so that nothing can be entered."""
    asked = []
    real = Ledger.open
    monkeypatch.setattr(reopen.Ledger, "open", lambda path, **options: asked.append(options) or real(path, **options))
    with reopened(season.fixture.store.root, [app_dir]):
        pass
    assert asked == [{"read_only": True}]
    with sqlite3.connect(f"file:{season.fixture.store.root}/ledger.sqlite?mode=ro", uri=True) as database:
        assert database.execute("SELECT count(*) FROM rounds").fetchone() == (4,)
    database.close()
