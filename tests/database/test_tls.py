"""Which URLs of a database are accepted without a verified certificate."""

from __future__ import annotations

import pytest

from include.database.tls import require_verified
from include.errors import ConfigurationError
from include.warehouse import schema

LOGIN = "postgresql://tributary_load:passw0rd@"


@pytest.mark.parametrize(
    "place",
    ["127.0.0.1:5432/tributary", "[::1]/tributary", "localhost/tributary", "/tributary",
     "/tributary?host=/var/run/postgresql", "db.example/tributary?sslmode=verify-full",
     "10.1.2.3/tributary?sslmode=verify-ca&sslrootcert=/certificates/ca.pem",
     "postgres:5432/tributary?sslmode=verify-full&sslrootcert=/certificates/ca.crt"],
)  # fmt: skip
def test_this_machine_and_a_verified_server_are_accepted(place: str) -> None:
    require_verified(LOGIN + place)


@pytest.mark.parametrize(
    "place",
    ["db.example/tributary", "postgres:5432/tributary", "10.1.2.3:5432/tributary", "[fd00::1]/tributary", "db.example/tributary?sslmode=require",
     "db.example/tributary?sslmode=prefer", "postgres/tributary?host=db.example", "postgres/tributary?hostaddr=10.1.2.3",
     "postgres,db.example/tributary", "db.example/tributary?sslmode=verify-full&sslmode=disable"],
)  # fmt: skip
def test_another_server_that_is_not_verified_is_refused(place: str) -> None:
    with pytest.raises(ConfigurationError, match="sslmode=verify-full") as error:
        require_verified(LOGIN + place)
    assert "passw0rd" not in str(error.value)


def test_engine_and_roles_are_refused_before_a_password_is_sent() -> None:
    with pytest.raises(ConfigurationError, match=r"sslmode=verify-full.*host=db.example"):
        schema.engine(f"{LOGIN}db.example/tributary")
    with pytest.raises(ConfigurationError, match=r"sslmode=verify-full.*host=db.example"):
        schema.create_roles(f"{LOGIN}db.example/tributary", {})


def test_invalid_url_is_refused_without_its_password() -> None:
    with pytest.raises(ConfigurationError, match="database URL") as error:
        require_verified(f"{LOGIN}host/tributary?passw0rd")
    assert "passw0rd" not in str(error.value)
