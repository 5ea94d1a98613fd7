"""The register of keys: a database refuses a keyring that it was not written with, before anything is written."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from include.errors import ConfigurationError
from include.keys import register
from include.keys.keyring import Keyring
from include.warehouse import schema
from tests.conftest import Database
from tests.firm_keys import KEYRING, write_keyring

MISTYPED = Keyring.parse(write_keyring("a slip of the pen"))
NEW_SEAL = "seal:next:" + 64 * "7"


def text_of(keyring: Keyring) -> str:
    return " ".join(f"{key.purpose}:{key.key_id}:{key.secret.hex()}" for key in keyring.keys)


@pytest.fixture
def owner(database: Database) -> Iterator[sa.Engine]:
    opened = schema.engine(database.url("tributary_migrate"))
    yield opened
    opened.dispose()


def test_first_keyring_is_adopted_and_accepted_again(engine: sa.Engine, database: Database) -> None:
    for _ in range(2):
        register.check(engine, KEYRING)
    assert database.value("select count(*) from control.key") == len(KEYRING.keys)


def test_database_holds_no_key(engine: sa.Engine, database: Database) -> None:
    register.check(engine, KEYRING)
    stored = str(database.rows("select * from control.key"))
    assert not any(key.secret.hex() in stored for key in KEYRING.keys)


def test_mistyped_key_is_refused_and_registers_nothing(engine: sa.Engine, database: Database) -> None:
    register.check(engine, KEYRING)
    with pytest.raises(ConfigurationError, match=r"differs from the one.*purpose=hash key_id=test"):
        register.check(engine, MISTYPED)
    assert database.value("select count(*) from control.key") == len(KEYRING.keys)


def test_key_of_a_new_id_is_refused_until_its_owner_registers_it(engine: sa.Engine, owner: sa.Engine) -> None:
    register.check(engine, KEYRING)
    rotated = Keyring.parse(f"{text_of(KEYRING)} {NEW_SEAL}")
    with pytest.raises(ConfigurationError, match=r"not registered.*add-keys.*purpose=seal key_id=next"):
        register.check(engine, rotated)

    assert register.add(owner, rotated) == ["seal:next"]
    assert register.add(owner, rotated) == []

    register.check(engine, rotated)
    register.check(engine, KEYRING)  # tasks that started before have not yet the new key


def test_another_hash_key_is_refused_also_by_the_owner(engine: sa.Engine, owner: sa.Engine, database: Database) -> None:
    register.check(engine, KEYRING)
    other = Keyring.parse(write_keyring(key_id="other"))
    with pytest.raises(ConfigurationError, match="not registered"):
        register.check(engine, other)
    with pytest.raises(ConfigurationError, match="not registered"):
        register.add(owner, other)
    assert database.value("select count(*) from control.key") == len(KEYRING.keys)


def test_two_first_starts_at_once_adopt_one_keyring(engine: sa.Engine, database: Database) -> None:
    barrier = threading.Barrier(2)

    def start(keyring: Keyring) -> str:
        barrier.wait()
        try:
            register.check(engine, keyring)
        except ConfigurationError as error:
            return str(error)
        return "accepted"

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(start, [KEYRING, MISTYPED]))
    assert sorted(outcome == "accepted" for outcome in outcomes) == [False, True]
    assert database.value("select count(*) from control.key") == len(KEYRING.keys)


def test_loading_role_can_neither_change_nor_add_to_the_register(engine: sa.Engine) -> None:
    register.check(engine, KEYRING)
    for statement in (
        "update control.key set fingerprint = 'x'",
        "delete from control.key",
        "insert into control.key (purpose, key_id, fingerprint) values ('seal', 'mine', 'x')",
    ):
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"), engine.begin() as connection:
            connection.execute(sa.text(statement))
    with engine.begin() as connection:
        connection.execute(sa.text("select control.adopt_keys('{seal}', '{mine}', '{x}')"))
        assert connection.scalar(sa.text("select count(*) from control.key")) == len(KEYRING.keys)
