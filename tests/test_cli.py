"""The operator's commands, against a real database."""

from __future__ import annotations

from urllib.parse import quote

import psycopg
import pytest

from include import cli
from include.keys.keyring import Keyring
from include.warehouse import schema
from local.postgres import Postgres


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


def test_a_generated_keyring_is_registered_and_a_rotated_key_added(
    empty: Postgres, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [cli.main([command]) for command in ("create-roles", "migrate")] == [0, 0]
    capsys.readouterr()
    assert cli.main(["generate-keys"]) == 0
    keyring = capsys.readouterr().out.strip()
    monkeypatch.setenv("TRIBUTARY_KEYS", keyring)
    assert cli.main(["add-keys"]) == 0
    monkeypatch.setenv("TRIBUTARY_KEYS", f"{keyring} seal:next:{64 * '7'}")
    assert [cli.main(["add-keys"]) for _ in range(2)] == [0, 0]

    assert cli.main(["receiving-key"]) == 0

    first, second, third, receiving = capsys.readouterr().out.splitlines()
    assert first.startswith("Registered: hash:")
    assert second == "Registered: seal:next"
    assert third == "Registered: nothing; all keys were registered before"
    assert receiving == Keyring.parse(keyring).receiving_key.text
