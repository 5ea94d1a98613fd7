"""The local PostgreSQL server: it starts, is adopted, survives a kill, and requires a password."""

from __future__ import annotations

import os
import signal
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from include.errors import ConfigurationError
from local.postgres import MEMORY, Postgres

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as another user")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres.temporary() as postgres:
        yield postgres


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that does not exist yet; its server and data are removed after the test."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "data"
        if (Path(folder) / "data").exists():
            Postgres(Path(folder) / "data", 0).remove()


def query(server: Postgres, question: str, database: str = "postgres") -> object:
    with psycopg.connect(server.url(database)) as connection:
        row = connection.execute(question).fetchone()
    return row[0] if row else None


def test_it_is_postgresql_18_in_utf8_and_utc(server: Postgres) -> None:
    assert str(query(server, "show server_version")).startswith("18.")
    assert query(server, "show server_encoding") == "UTF8"
    assert query(server, "show timezone") == "UTC"


@pytest.mark.parametrize("login", ["postgres:wrong@", "postgres@", "nobody:wrong@"])
def test_it_refuses_a_login_without_the_right_password(server: Postgres, login: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://{login}127.0.0.1:{server.port}/postgres")


def test_every_login_rule_is_scram(server: Postgres) -> None:
    assert query(server, "select string_agg(distinct auth_method, ',') from pg_hba_file_rules") == "scram-sha-256"


def test_it_listens_on_the_loopback_address_and_on_no_unix_socket(server: Postgres) -> None:
    sockets = psutil.Process(server.pid).net_connections("all")
    listening = [socket for socket in sockets if socket.status == psutil.CONN_LISTEN or isinstance(socket.laddr, str)]
    assert [socket.laddr for socket in listening] == [("127.0.0.1", server.port)]


def test_the_data_and_the_passwords_are_closed_to_others(server: Postgres) -> None:
    assert stat.S_IMODE((server.data_dir / "cluster").stat().st_mode) == 0o700
    assert stat.S_IMODE((server.data_dir / "passwords.json").stat().st_mode) == 0o600
    assert not (server.data_dir / "log" / "password").exists()


def test_a_database_may_be_created_twice_and_have_any_name(server: Postgres) -> None:
    for _ in range(2):
        server.create_database("twice; drop")
    assert query(server, "select current_database()", "twice; drop") == "twice; drop"


def test_a_running_server_is_adopted(server: Postgres) -> None:
    assert Postgres.start(server.data_dir) == server


def test_a_server_that_refuses_our_password_is_not_adopted(server: Postgres) -> None:
    passwords = server.data_dir / "passwords.json"
    content = passwords.read_text()
    passwords.write_text('{"postgres": "wrong"}')
    try:
        with pytest.raises(ConfigurationError, match="rejected the login"):
            Postgres.start(server.data_dir)
    finally:
        passwords.write_text(content)


def test_without_room_in_memory_a_temporary_server_is_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.postgres._ROOM", 1 << 62)
    with Postgres.temporary() as server:
        assert not server.data_dir.is_relative_to(MEMORY)


def test_data_survives_stop_and_start(data_dir: Path) -> None:
    with Postgres.start(data_dir) as first:
        first.create_database("kept")
        assert query(first, "show fsync") == "on"
    assert first.pid is None
    with Postgres.start(data_dir) as second:
        assert query(second, "select current_database()", "kept") == "kept"


def test_a_killed_server_starts_again(data_dir: Path) -> None:
    killed = Postgres.start(data_dir)
    killed.create_database("kept")
    postmaster = psutil.Process(killed.pid)
    postmaster.send_signal(signal.SIGKILL)
    postmaster.wait(timeout=10)
    with Postgres.start(data_dir) as server:
        assert query(server, "select current_database()", "kept") == "kept"


def test_a_stale_pid_file_that_names_a_stranger_does_not_stop_the_start(data_dir: Path) -> None:
    Postgres.start(data_dir, durable=False).stop()
    pid_file = data_dir / "cluster" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{data_dir}/cluster\n1\n1\n\n127.0.0.1\n")
    with Postgres.start(data_dir, durable=False) as server:
        assert server.pid != os.getpid()


def test_a_cluster_that_was_half_made_is_made_anew(data_dir: Path) -> None:
    (data_dir / "draft").mkdir(parents=True)
    (data_dir / "draft" / "PG_VERSION").write_text("18\n")
    with Postgres.start(data_dir, durable=False) as server:
        assert query(server, "select 1") == 1


def test_it_takes_the_port_that_it_is_given(data_dir: Path, free_port: int) -> None:
    with Postgres.start(data_dir, free_port, durable=False) as server:
        assert server.port == free_port
        assert query(server, "show port") == str(free_port)


def test_a_failed_start_shows_postgresqls_message(data_dir: Path, server: Postgres) -> None:
    with pytest.raises(ConfigurationError, match="Address already in use"):
        Postgres.start(data_dir, server.port, durable=False)


def test_remove_leaves_no_process_and_no_file(data_dir: Path) -> None:
    server = Postgres.start(data_dir, durable=False)
    postmaster = psutil.Process(server.pid)
    server.remove()
    postmaster.wait(timeout=10)
    assert not data_dir.exists()


def test_a_session_that_leaves_a_transaction_idle_is_cut(server: Postgres) -> None:
    server.create_database("limited")
    server.limit_idle_transactions("limited", 1)
    with psycopg.connect(server.url("limited"), autocommit=True) as idle:
        idle.execute("begin")
        time.sleep(2)
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            idle.execute("select 1")
    assert query(server, "show idle_in_transaction_session_timeout") == "0"


@needs_root
def test_roots_server_runs_as_nobody(server: Postgres) -> None:
    assert psutil.Process(server.pid).username() == "nobody"


@needs_root
def test_a_folder_closed_to_user_nobody_stays_closed_and_data_goes_elsewhere() -> None:
    with tempfile.TemporaryDirectory() as closed:
        data_dir = Path(closed) / "state" / "postgres"
        with Postgres.start(data_dir, durable=False) as server:
            elsewhere = data_dir.resolve()
            assert Postgres.start(data_dir) == server
        assert stat.S_IMODE(Path(closed).stat().st_mode) == 0o700
        assert elsewhere.is_relative_to("/var/lib/tributary")
        server.remove()
        assert not elsewhere.exists()
