"""The operator's commands, against a real database."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from include import cli
from include.local import demo
from include.local.postgres import Postgres
from include.local.processes import Processes
from include.warehouse import schema
from tests.running_sandbox import run_sandbox


@pytest.fixture
def empty(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Postgres:
    """A server whose database `fresh` holds nothing yet, and the environment that names it."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("drop database if exists fresh with (force)")
        connection.execute("create database fresh")
    for role in schema.ROLES:
        monkeypatch.setenv(f"{role.upper()}_PASSWORD", "only-for-tests")
    monkeypatch.setenv("TRIBUTARY_ADMIN_URL", postgres.url("fresh"))
    monkeypatch.setenv("TRIBUTARY_MIGRATE_URL", role_url(postgres, "tributary_migrate"))
    return postgres


def role_url(postgres: Postgres, role: str, password: str = "only-for-tests") -> str:
    return f"postgresql://{role}:{quote(password, safe='')}@127.0.0.1:{postgres.port}/fresh"


def test_roles_and_schema_are_made_and_made_again(empty: Postgres) -> None:
    for _ in range(2):
        assert cli.main(["create-roles"]) == 0
        assert cli.main(["migrate"]) == 0
    with psycopg.connect(role_url(empty, "tributary_read")) as connection:
        assert connection.execute("select count(*) from mart.freshness").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("delete from control.ledger")


def test_the_passwords_are_those_of_the_environment(empty: Postgres) -> None:
    assert cli.main(["create-roles"]) == 0
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(role_url(empty, "tributary_read", "another"))


@pytest.mark.parametrize("missing", ["TRIBUTARY_ADMIN_URL", "TRIBUTARY_LOAD_PASSWORD"])
def test_a_missing_variable_is_named(
    empty: Postgres, missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(missing)
    assert cli.main(["create-roles"]) == 1
    assert missing in capsys.readouterr().err


@pytest.mark.parametrize("url", ["postgresql://a:se/cret@db/x", "host=db password=secret", "postgresql://a:secret@db"])
def test_a_url_that_can_not_be_read_is_not_shown(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRIBUTARY_MIGRATE_URL", url)
    assert cli.main(["migrate"]) == 1
    error = capsys.readouterr().err
    assert "TRIBUTARY_MIGRATE_URL" in error
    assert "cret" not in error


def test_data_that_can_not_be_served_is_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "STATE", tmp_path / "state")
    (tmp_path / "data" / "orion").mkdir(parents=True)
    (tmp_path / "data" / "orion" / "clients.jsonl").write_text('{"id": 1}\n{"id": null}\n')
    assert cli.main(["demo", "--data", str(tmp_path / "data")]) == 1
    assert "clients.jsonl, line 2: no id" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()


def test_demo_of_another_firm_says_what_to_do_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "STATE", tmp_path)
    with run_sandbox(tmp_path / "sandbox", households=10):
        pass
    assert cli.main(["demo", "--households", "50"]) == 1
    assert "The firm here has 10 households: `make clean`" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["sandbox"]


def test_demo_of_other_data_beside_a_running_sandbox_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state, data = tmp_path / "state", tmp_path / "data"
    (data / "orion").mkdir(parents=True)
    monkeypatch.setattr(demo, "STATE", state)
    processes = Processes(state / "processes")
    processes.start("sandbox", ["sleep", "60"])
    try:
        assert cli.main(["demo", "--data", str(data)]) == 1
    finally:
        processes.stop_all()
    assert "serves an invented firm: `make stop`" in capsys.readouterr().err
    assert [path.name for path in state.iterdir()] == ["processes"]
