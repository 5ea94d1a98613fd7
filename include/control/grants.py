"""Refresh tokens that work once: kept sealed, and used by one process at a time.

The first token of a grant comes from the connection. Whoever exchanges one holds its row until the vendor's answer is
stored, so that no two workers use the same token, and the next token is on disk before the access token that came with it
is used. A connection that names another first token than the one that was taken from it begins anew: somebody authorised
us again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import sqlalchemy as sa

from include.errors import ConfigurationError
from include.sensitive import Redactor

T = TypeVar("T")

_TAKE = sa.text("""
insert into control.refresh_token as t (vendor, grant_name, first_hash, sealed) values (:vendor, :grant, :first_hash, :sealed)
on conflict (vendor, grant_name) do update
set sealed = case when t.first_hash = :first_hash then t.sealed else excluded.sealed end, first_hash = :first_hash
returning sealed
""")

_STORE = sa.text("""
update control.refresh_token set sealed = :sealed, exchanged_at = clock_timestamp()
where vendor = :vendor and grant_name = :grant
""")


@dataclass(frozen=True, slots=True)
class Grants:
    """The grants of one vendor.

    Attributes:
        engine: The control database.
        vendor: Whose.
        redactor: Seals the tokens.
        firsts: Grant -> the first refresh token, as somebody entered it in the connection.
    """

    engine: sa.Engine
    vendor: str
    redactor: Redactor
    firsts: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, engine: sa.Engine, vendor: str, redactor: Redactor, extra: Mapping[str, str]) -> Grants:
        """Reads the first tokens from a connection's extra: `grants`, a JSON object of name -> token.

        Raises:
            ConfigurationError: It is no such object.
        """
        try:
            firsts = json.loads(extra.get("grants", "{}"))
            return cls(engine, vendor, redactor, {str(name): str(token) for name, token in firsts.items()})
        except (ValueError, AttributeError):
            raise ConfigurationError("The connection's `grants` is no JSON object", vendor=vendor) from None

    def exchange(self, grant: str, ask: Callable[[str], tuple[str, T]]) -> T:
        """Hands the newest refresh token of a grant to `ask`, which gives the next one, and stores that at once.

        Raises:
            ConfigurationError: The firm holds no such grant.
        """
        if grant not in self.firsts:
            raise ConfigurationError("There is no such grant in the connection", vendor=self.vendor, grant=grant)
        first = self.firsts[grant]
        values = {"vendor": self.vendor, "grant": grant, "first_hash": self.redactor.hash(first)}
        with self.engine.begin() as connection:
            sealed = connection.scalar(_TAKE, values | {"sealed": self.redactor.seal(first)})
            token, answer = ask(self.redactor.unseal(str(sealed)))
            connection.execute(_STORE, values | {"sealed": self.redactor.seal(token)})
        return answer
