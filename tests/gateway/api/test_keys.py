"""API keys: shown once, stored as a hash, expiring, and rotated without a gap."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest
import sqlalchemy as sa

from include.errors import ConfigurationError
from include.gateway.api import keys
from tests.gateway.api.conftest import Api, read_problem

Make = Callable[..., str]


def status(api: Api, key: str) -> int:
    return api.http.get("/vendors", headers={"X-API-Key": key}).status_code


def test_key_is_let_in_and_its_day_is_noted(api: Api, make_key: Make) -> None:
    assert status(api, make_key()) == 200
    assert api.database.value("select last_used_on = current_date from control.api_key")


def test_api_key_is_accepted_as_bearer_token(api: Api, make_key: Make) -> None:
    key = make_key()
    statuses = [
        api.http.get("/vendors", headers={"Authorization": f"Bearer {each}"}).status_code for each in (key, key + "x")
    ]
    assert statuses == [200, 401]


def test_secret_is_kept_as_a_hash_alone(api: Api, make_key: Make) -> None:
    key = make_key()
    _, key_id, secret = key.split("_", 2)
    [row] = api.database.rows("select * from control.api_key")
    assert (row["key_id"], bytes(row["secret_hash"])) == (key_id, hashlib.sha256(secret.encode()).digest())
    assert secret not in str(row)


def test_key_that_is_not_known_is_refused(api: Api, make_key: Make) -> None:
    key = make_key()
    wrong = [
        key[:-1] + ("A" if key[-1] != "A" else "B"), key[:-1], key + "x", key.upper(), key.replace("trb_", "trb_0"),
        f"trb_{'0' * 12}_{key[-43:]}", "' or 1=1 --",
    ]  # fmt: skip
    assert [status(api, each) for each in wrong] == [401] * len(wrong)
    assert api.database.value("select last_used_on from control.api_key") is None


def test_key_is_not_let_in_beyond_its_scopes(api: Api, make_key: Make) -> None:
    key = make_key(scopes=["findings:read"])
    assert "status:read" in read_problem(api.http.get("/vendors", headers={"X-API-Key": key}), 403)
    assert api.http.get("/findings", headers={"X-API-Key": key}).status_code == 200


def test_expired_key_is_refused(api: Api, make_key: Make) -> None:
    key = make_key()
    api.database.do("update control.api_key set expires_at = clock_timestamp()")
    assert status(api, key) == 401


def test_revoked_key_is_refused_at_once(api: Api, make_key: Make, owner: sa.Engine) -> None:
    key, other = make_key(), make_key("other")
    assert status(api, key) == 200
    keys.revoke(owner, key.split("_")[1])
    assert (status(api, key), status(api, other)) == (401, 200)
    with pytest.raises(ConfigurationError):
        keys.revoke(owner, key.split("_")[1])


def test_rotated_key_overlaps_and_then_ends(api: Api, make_key: Make, owner: sa.Engine) -> None:
    old = make_key(scopes=["status:read"], days=90)
    new = keys.rotate(owner, "flow", 90, timedelta(hours=1))
    assert (status(api, old), status(api, new)) == (200, 200)
    ends = "select extract(epoch from expires_at - clock_timestamp()) from control.api_key where key_id = :id"
    assert 3500 < api.database.value(ends, id=old.split("_")[1]) <= 3600
    assert api.database.value(ends, id=new.split("_")[1]) > 89 * 86400
    assert api.database.value("select count(distinct scopes) from control.api_key") == 1


def test_rotation_without_overlap_ends_the_old_key_and_prolongs_none(
    api: Api, make_key: Make, owner: sa.Engine
) -> None:
    dead = make_key()
    api.database.do("update control.api_key set expires_at = clock_timestamp() - interval '1 day'")
    old = make_key()
    new = keys.rotate(owner, "flow", 1, timedelta(0))
    assert [status(api, key) for key in (dead, old, new)] == [401, 401, 200]


@pytest.mark.parametrize(
    ("caller", "scopes", "days"),
    [("a", ["runs:all"], 1), ("a b", ["runs:write"], 1), ("", ["runs:write"], 1), ("a", ["runs:write"], 0), ("a", ["runs:write"], 400)],
)  # fmt: skip
def test_key_that_can_not_be_meant_so_is_not_made(make_key: Make, caller: str, scopes: list[str], days: int) -> None:
    with pytest.raises(ConfigurationError):
        make_key(caller, scopes, days)


def test_caller_without_a_key_can_not_rotate_one(owner: sa.Engine) -> None:
    with pytest.raises(ConfigurationError):
        keys.rotate(owner, "nobody", 1, timedelta(0))


def test_commands_make_show_and_end_keys(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRIBUTARY_MIGRATE_URL", api.database.url("tributary_migrate"))

    def command(*words: str) -> list[str]:
        assert keys.main(words) == 0
        return capsys.readouterr().out.splitlines()

    [key] = command("make", "boomi", "--scopes", "status:read", "runs:write")
    [newer] = command("rotate", "boomi", "--overlap-hours", "2")
    assert (status(api, key), status(api, newer)) == (200, 200)
    command("revoke", newer.split("_")[1])
    lines = command("list")
    assert [("boomi" in line, "REVOKED" in line) for line in lines] == [(True, False), (True, True)]
    assert not any(each.split("_", 2)[2] in line for each in (key, newer) for line in lines)
    assert keys.main(["revoke", "nothing"]) == 1
    assert "ConfigurationError" in capsys.readouterr().err


@pytest.mark.parametrize("role", ["tributary_load", "tributary_api"])
@pytest.mark.parametrize(
    "statement",
    [
        "insert into control.api_key (key_id, caller, secret_hash, scopes, expires_at) values ('a', 'a', '', '{a}', now())",
        "update control.api_key set expires_at = now()",
        "update control.api_key set scopes = '{a}'",
        "delete from control.api_key",
    ],
)
def test_only_the_schema_s_owner_makes_keys(api: Api, role: str, statement: str) -> None:
    with psycopg.connect(api.database.url(role)) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "statement",
    [
        "select body from control.inbox", "select headers from control.inbox", "insert into control.request (vendor) values ('a')",
        "update control.request set state = 'waiting'", "delete from control.idempotency", "select notes from control.ledger",
        "select control.receive('docusign', '', 'h', null, '{}')", "select control.record_answer('a', 'b', '', '{}')",
        "select 1 from warehouse.position", "select partition from control.dead_letter",
        "select sealed from control.refresh_token",
    ],
)  # fmt: skip
def test_role_of_the_api_can_not(api: Api, statement: str) -> None:
    with (
        psycopg.connect(api.database.url("tributary_api")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)  # type: ignore[call-overload]
