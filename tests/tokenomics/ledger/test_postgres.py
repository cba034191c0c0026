"""What only a ledger on a server has: durability that is asked for, URLs, other users, and a schema that others see."""
# ruff: noqa: S608 - the statements are the tests' own

import json
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.tokenomics.ledger.database import PostgresDatabase
from tokenomics.errors import LedgerCorruptError, LedgerError
from tokenomics.keys import Keypair
from tokenomics.ledger import Ledger, checkpoint_path, postgres, store, verify_ledger
from tokenomics.ledger.connection import transaction
from tokenomics.ledger.place import ServerPlace, find_server, url_path

Make = Callable[..., Any]
pytestmark = pytest.mark.only("postgresql")


def test_the_same_rounds_give_the_same_bytes_and_checkpoint_as_in_a_file(
    database: PostgresDatabase, tmp_path: Path, make_genesis: Make, make_settlement: Make, validator: Keypair
) -> None:
    """With everything that a round can be: paid, refused, released, voided."""
    for name, url in (("file", None), ("server", database.url)):
        (tmp_path / name).mkdir()
        with Ledger.create(tmp_path / name / "ledger.sqlite", make_genesis(vesting=2), validator, url=url) as ledger:
            for number in range(1, 9):
                struck = ("alice",) if number == 5 else ()
                ledger.settle(make_settlement(number, pays=number != 4, struck=struck), validator)
    with (
        Ledger.open(tmp_path / "file/ledger.sqlite") as file,
        Ledger.open(tmp_path / "server/ledger.sqlite") as server,
    ):
        assert list(server.dump()) == list(file.dump())
        assert (server.head, server.checkpoint) == (file.head, file.checkpoint)
        assert (server.balances(), server.earnings()) == (file.balances(), file.earnings())
        assert all(type(units) is int for units in server.balances().values())
    assert checkpoint_path(server.path).read_bytes() == checkpoint_path(file.path).read_bytes()


def test_what_is_written_is_serializable_and_flushed_even_where_the_server_would_not(
    database: PostgresDatabase, tmp_path: Path, make_genesis: Make, validator: Keypair
) -> None:
    path = tmp_path / "ledger.sqlite"
    careless = f"{database.url}&options=-csynchronous_commit%3Doff"
    with Ledger.create(path, make_genesis(), validator, url=careless) as ledger:
        for writes, isolation in ((True, "serializable"), (False, "repeatable read")):
            with transaction(ledger._engine, path, writes=writes) as connection:
                shown = {
                    name: connection.exec_driver_sql(f"SHOW {name}").scalar()
                    for name in ("transaction_isolation", "synchronous_commit", "transaction_read_only")
                }
            assert shown == {
                "transaction_isolation": isolation,
                "synchronous_commit": "on",
                "transaction_read_only": "off" if writes else "on",
            }


def test_a_server_that_would_lose_rounds_is_refused(
    database: PostgresDatabase, path: Path, make_settlement: Make, validator: Keypair
) -> None:
    with psycopg.connect(database.url.replace("+psycopg", ""), autocommit=True) as admin:
        try:
            set_fsync(admin, "off")
            with Ledger.open(path, read_only=True) as reader:
                assert reader.height == 6
            with pytest.raises(LedgerError, match="fsync off") as caught:
                Ledger.open(path)
            assert "fsync = on" in caught.value.remedy
        finally:
            set_fsync(admin, "on")
    with Ledger.open(path) as ledger:
        ledger.settle(make_settlement(7), validator)


def set_fsync(admin: psycopg.Connection, value: str) -> None:
    """Change the server's setting, and wait until new connections have it."""
    admin.execute(f"ALTER SYSTEM SET fsync = {value}")
    admin.execute("SELECT pg_reload_conf()")
    for _ in range(1_000):
        with psycopg.connect(admin.info.dsn) as other:
            if other.execute("SHOW fsync").fetchone() == (value,):
                return
    pytest.fail("the server never took the setting over")


@pytest.mark.parametrize(
    ("url", "problem", "remedy"),
    [
        ("postgresql+psycopg://me:secret@localhost/x", "has a password", "PGPASSWORD"),
        ("postgresql://localhost/x?password=secret", "has a password", "PGPASSWORD"),
        ("postgresql://localhost/x?require_auth=password", "says how to log in", "PGREQUIREAUTH"),
        ("mysql://localhost/x", "'mysql' isn't possible", "postgresql+psycopg://"),
        ("postgresql+asyncpg://localhost/x", "asyncpg", "postgresql+psycopg://"),
        ("ledger.db", "can't be read", "postgresql+psycopg://"),
        ("postgresql://localhost:port/x", "can't be read", "postgresql+psycopg://"),
        ("postgresql://postgres@/postgres?host=/nowhere", "can't be reached", "check that it runs"),
        ("{url}&dbname=none", 'database "none" does not exist', "check that it runs"),
        ("{url}&user=stranger", 'role "stranger" does not exist', "PGPASSWORD"),
    ],
)
def test_a_url_that_can_not_be_used_is_refused_and_leaves_nothing(
    database: PostgresDatabase,
    tmp_path: Path,
    make_genesis: Make,
    validator: Keypair,
    url: str,
    problem: str,
    remedy: str,
) -> None:
    with pytest.raises(LedgerError, match=problem) as caught:
        Ledger.create(tmp_path / "ledger.sqlite", make_genesis(), validator, url=url.format(url=database.url))
    assert remedy in caught.value.remedy
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_without_the_driver_the_error_says_what_to_install(
    database: PostgresDatabase, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(LedgerError, match="needs the module psycopg") as caught:
        Ledger.open(path)
    assert "flower-subnet[postgres]" in caught.value.remedy


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[" * 60_000,
        "[]",
        '{"url": "postgresql://localhost/x"}',
        '{"url": 3, "schema": "a"}',
        '{"url": "postgresql://localhost/x", "schema": 3}',
        '{"url": "postgresql://localhost/x", "schema": "a\\"; DROP TABLE rounds; --"}',
        '{"url": "postgresql://me:secret@localhost/x", "schema": "a"}',
    ],
)
def test_a_file_that_names_no_server_is_an_error_that_says_so(path: Path, content: str) -> None:
    url_path(path).write_text(content)
    with pytest.raises(LedgerError, match=r"doesn't name a server|can't be read|isn't a plain name|has a password"):
        Ledger.open(path)
    assert len(verify_ledger(path).errors) == 1


def test_a_ledger_is_in_a_schema_of_its_own_and_no_password_is_kept(
    database: PostgresDatabase, tmp_path: Path, make_genesis: Make, make_settlement: Make, validator: Keypair
) -> None:
    """Two ledgers with the same genesis in one database: rounds of one aren't in the other."""
    paths = [tmp_path / name for name in ("a.sqlite", "b.sqlite")]
    for path in paths:
        database.create(path, make_genesis(subnet="Dígits & co"), validator).close()
    with Ledger.open(paths[0]) as first, Ledger.open(paths[1]) as second:
        first.settle(make_settlement(1), validator)
        assert (first.height, second.height) == (1, 0)
    written = json.loads(url_path(paths[0]).read_text())
    assert set(written) == {"schema", "url"}
    assert written["url"] == database.url
    assert written["schema"].startswith("subnet_d_gits_co_")


def test_a_ledger_is_not_made_over_one_on_a_server(
    database: PostgresDatabase, path: Path, make_genesis: Make, validator: Keypair
) -> None:
    with pytest.raises(LedgerError, match=r"ledger\.sqlite\.url is there already"):
        Ledger.create(path, make_genesis(), validator)


def test_users_without_rights_are_told(
    database: PostgresDatabase, path: Path, tmp_path: Path, make_genesis: Make, validator: Keypair
) -> None:
    with psycopg.connect(database.url.replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute("CREATE ROLE visitor LOGIN")
    visitor = f"{database.url}&user=visitor"
    with pytest.raises(LedgerError, match="access is denied") as caught:
        Ledger.create(tmp_path / "other.sqlite", make_genesis(), validator, url=visitor)
    assert "CREATE on the database" in caught.value.remedy
    schema = schema_of(path)
    url_path(path).write_text(json.dumps({"url": visitor, "schema": schema}))
    with pytest.raises(LedgerError, match="no tables of any revision") as caught:
        Ledger.open(path, read_only=True)
    assert "grant this user USAGE" in caught.value.remedy
    database.run(path, f"GRANT USAGE ON SCHEMA {schema} TO visitor")
    with pytest.raises(LedgerError, match="access is denied"):
        Ledger.open(path, read_only=True)
    database.run(path, f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO visitor")
    with Ledger.open(path, read_only=True) as ledger:
        assert ledger.height == 6
    assert verify_ledger(path).errors == []


def test_what_only_reads_can_not_write_even_past_the_ledgers_own_code(path: Path) -> None:
    with Ledger.open(path, read_only=True) as ledger, pytest.raises(LedgerError, match="may only be read"):  # noqa: SIM117
        with transaction(ledger._engine, path) as connection:
            connection.exec_driver_sql(f"INSERT INTO receipts VALUES (7, '{'00' * 32}', '', 'missing', 0, 0)")


def test_a_writer_that_waits_too_long_says_for_whom(
    database: PostgresDatabase,
    path: Path,
    make_settlement: Make,
    validator: Keypair,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgres, "LOCK_TIMEOUT_MS", 50)
    with Ledger.open(path) as ledger, database.connect(path) as other:
        other.execute("LOCK TABLE receipts IN EXCLUSIVE MODE")
        with pytest.raises(LedgerError, match="another connection is writing"):
            ledger.settle(make_settlement(7), validator)
        other.rollback()
        ledger.settle(make_settlement(7), validator)
        assert ledger.height == 7


def test_a_validator_goes_on_after_its_server_dropped_the_connections(
    database: PostgresDatabase, path: Path, make_settlement: Make, validator: Keypair
) -> None:
    with Ledger.open(path) as ledger:
        ledger.settle(make_settlement(7), validator)
        [(killed,)] = database.run(
            path,
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
        )
        assert killed
        ledger.settle(make_settlement(8), validator)
    assert verify_ledger(path).rounds == 8


def test_a_server_that_goes_away_within_a_round_leaves_none_of_it_and_says_so(
    database: PostgresDatabase, path: Path, make_settlement: Make, validator: Keypair, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = store.write_round

    def write_and_lose(connection: Any, sealed: Any) -> None:
        real(connection, sealed)
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    with Ledger.open(path) as ledger:
        with monkeypatch.context() as patch:
            patch.setattr(store, "write_round", write_and_lose)
            with pytest.raises(LedgerError, match="server went away") as caught:
                ledger.settle(make_settlement(7), validator)
        assert "whole or not at all" in caught.value.remedy
        assert ledger.height == 6
        ledger.settle(make_settlement(7), validator)
    assert verify_ledger(path).errors == []


@pytest.mark.parametrize("asks_for", [3, 5])
def test_no_server_that_a_folder_names_gets_to_read_a_password(
    path: Path, monkeypatch: pytest.MonkeyPatch, asks_for: int
) -> None:
    """A bundle from elsewhere may name its maker's server, which asks for the password as it is (3) or by MD5 (5)."""
    monkeypatch.setenv("PGPASSWORD", "a secret")
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=play_server, args=(listener, asks_for, heard), daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        url = f"postgresql://me@127.0.0.1:{port}/x?sslmode=disable&gssencmode=disable"
        url_path(path).write_text(json.dumps({"url": url, "schema": "a"}))
        with pytest.raises(LedgerError, match="lets nobody in"):
            Ledger.open(path)
        thread.join(10)
    assert len(heard) == 2
    assert b"database" in heard[0]
    assert heard[1] == b""


def play_server(listener: socket.socket, asks_for: int, heard: list[bytes]) -> None:
    """Answer one connection by a request for a password, and note what comes."""
    connection, _ = listener.accept()
    with connection:
        heard.append(connection.recv(65_536))
        salt = bytes(4) if asks_for == 5 else b""
        connection.sendall(b"R" + (8 + len(salt)).to_bytes(4) + asks_for.to_bytes(4) + salt)
        heard.append(connection.recv(65_536))


def test_rules_hold_for_programs_with_another_search_path_and_tables_of_those_names(
    database: PostgresDatabase, path: Path
) -> None:
    """A forger's own table of receipts is before the ledger's in its search path, and in the temporary schema."""
    schema = schema_of(path)
    hotkey = "00" * 32
    with database.connect(path) as raw:
        raw.execute("CREATE TEMPORARY TABLE receipts (round bigint, hotkey text, status text, score int, struck int)")
        raw.execute(f"INSERT INTO pg_temp.receipts VALUES (7, '{hotkey}', 'accepted', 9, 0)")
        raw.execute("SET search_path = pg_temp, public")
        with pytest.raises(psycopg.errors.IntegrityError, match="without an accepted receipt"):
            raw.execute(f"INSERT INTO {schema}.postings VALUES (7, 0, 'participant:{hotkey}', 'emission', 1)")
        raw.rollback()


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (["DROP TRIGGER postings_append_only ON postings"], "trigger postings_append_only is missing"),
        (["ALTER TABLE rounds DISABLE TRIGGER rounds_rules"], "trigger rounds_rules was changed or switched off"),
        (
            ["CREATE OR REPLACE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"],
            "trigger genesis_append_only was changed",
        ),
        (["ALTER FUNCTION postings_rules() RESET search_path"], "trigger postings_rules was changed"),
        (
            ["CREATE TRIGGER extra AFTER INSERT ON rounds FOR EACH STATEMENT EXECUTE FUNCTION append_only()"],
            "'extra' doesn't belong",
        ),
        (["CREATE VIEW extra AS SELECT 1"], "'extra' doesn't belong"),
        (["CREATE RULE extra AS ON INSERT TO postings DO INSTEAD NOTHING"], "rule 'extra' doesn't belong"),
        (["CREATE TABLE more () INHERITS (postings)"], "table postings hides rows, or shows another table's"),
        (["ALTER TABLE receipts ENABLE ROW LEVEL SECURITY"], "table receipts hides rows"),
        (["DROP TABLE postings"], "table postings is missing"),
        (["DROP TABLE postings", "CREATE VIEW postings AS SELECT 1"], "table postings is missing"),
        (["ALTER TABLE postings ADD COLUMN memo text"], "table postings has other columns"),
        (["ALTER TABLE postings ALTER COLUMN amount TYPE numeric"], "table postings has other columns"),
        (['ALTER TABLE postings ALTER COLUMN account TYPE text COLLATE "default"'], "table postings has other columns"),
        (["ALTER TABLE postings ALTER COLUMN amount DROP NOT NULL"], "table postings has other columns"),
        (["UPDATE alembic_version SET version_num = '9999'"], "schema: revision 9999, not 0003"),
    ],
)
def test_a_schema_that_was_changed_is_named(
    database: PostgresDatabase, path: Path, statements: list[str], message: str
) -> None:
    database.run(path, *statements)
    assert any(message in error for error in verify_ledger(path).errors)


def test_a_database_put_back_to_an_older_state_does_not_open(
    path: Path, make_settlement: Make, validator: Keypair, tamper: Make
) -> None:
    with Ledger.open(path) as ledger:
        ledger.settle(make_settlement(7), validator)
    tamper(path, *(f"DELETE FROM {table} WHERE round = 7" for table in ("rounds", "receipts", "postings")))
    with pytest.raises(LedgerCorruptError, match="ends at round 6, but its checkpoint is of round 7"):
        Ledger.open(path)


def test_a_ledger_whose_schema_is_gone_says_so(database: PostgresDatabase, path: Path) -> None:
    database.run(path, f'DROP SCHEMA "{schema_of(path)}" CASCADE')
    with pytest.raises(LedgerCorruptError, match="no tables of any revision") as caught:
        Ledger.open(path)
    assert "ledger.sqlite.url" in caught.value.remedy
    assert any("table genesis is missing" in error for error in verify_ledger(path).errors)


def schema_of(path: Path) -> str:
    """The schema of a ledger on the server."""
    place = find_server(path)
    assert isinstance(place, ServerPlace)
    return place.schema
