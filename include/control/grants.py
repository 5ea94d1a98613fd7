"""Store single-use refresh tokens, encrypted, and let only one process at a time use the token of a grant.

The first token of a grant comes from the connection. A process that exchanges a token locks its row until the vendor's
response is stored. So two workers never use the same token, and the next token is on disk before the access token that came
with it is used. If the first token in the connection has changed, an operator has authorized the grant again. Then the next exchange
uses that first token.

A token that was restored from a backup may have been used since, and a vendor ends a grant whose token is used twice. So it is stale
(`include.recovery.restore`): it is not sent, and the grant must be authorized again.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import sqlalchemy as sa

from include.errors import ConfigurationError
from include.keys.sealer import Sealer

T = TypeVar("T")

_TAKE = sa.text("""
insert into control.refresh_token as t (vendor, grant_name, first_hash, sealed) values (:vendor, :grant, :first_hash, :sealed)
on conflict (vendor, grant_name) do update
set sealed = case when t.first_hash = :first_hash then t.sealed else excluded.sealed end, first_hash = :first_hash,
    stale_since = case when t.first_hash = :first_hash then t.stale_since end
returning sealed, stale_since
""")

_STORE = sa.text("""
update control.refresh_token set sealed = :sealed, exchanged_at = clock_timestamp()
where vendor = :vendor and grant_name = :grant
""")

_SELECT_EARLIER = sa.text(
    "select vendor, grant_name, sealed from control.refresh_token where key_id <> :key_id for update"
)
_RESEAL = sa.text("update control.refresh_token set sealed = :sealed where vendor = :vendor and grant_name = :grant")


@dataclass(frozen=True, slots=True)
class Grants:
    """The grants of one vendor.

    Attributes:
        engine: The control database.
        vendor: Name of the vendor.
        sealer: Encrypts the tokens.
        firsts: Grant name -> its first refresh token, as entered in the connection.
    """

    engine: sa.Engine
    vendor: str
    sealer: Sealer
    firsts: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, engine: sa.Engine, vendor: str, sealer: Sealer, extra: Mapping[str, str]) -> Grants:
        """Read the first tokens from a connection's extra: `grants`, a JSON object of name -> token.

        Raises:
            ConfigurationError: `grants` is not a JSON object.
        """
        try:
            firsts = json.loads(extra.get("grants", "{}"))
            return cls(engine, vendor, sealer, {str(name): str(token) for name, token in firsts.items()})
        except (ValueError, AttributeError):
            raise ConfigurationError(
                "`grants` in the connection's extra is not a JSON object of name -> token; correct it", vendor=vendor
            ) from None

    def exchange(self, grant: str, request: Callable[[str], tuple[str, T]]) -> T:
        """Exchange a grant's newest refresh token for the next one, and store the next one at once.

        Args:
            grant: Name of the grant.
            request: Sends a refresh token to the vendor; returns the next refresh token and the vendor's response.

        Returns:
            The vendor's response.

        Raises:
            ConfigurationError: The connection has no such grant, or its token was restored from a backup; the vendor was not called.
        """
        if grant not in self.firsts:
            raise ConfigurationError(
                "The connection has no such grant; add it to `grants` in its extra", vendor=self.vendor, grant=grant
            )
        first, place = self.firsts[grant], _place(self.vendor, grant)
        # An unkeyed hash of a random token reveals nothing. And after a change of our keys, a used first token still has the same hash.
        values = {"vendor": self.vendor, "grant": grant, "first_hash": hashlib.sha256(first.encode()).hexdigest()}
        with self.engine.begin() as connection:
            [(sealed, stale_since)] = connection.execute(_TAKE, values | {"sealed": self.sealer.seal(first, place)})
            if stale_since:
                raise ConfigurationError(
                    "The refresh token was restored from a backup and may have been used since, so it was not sent: let the vendor's user"
                    " authorize Tributary again, and enter the new refresh token in `grants` in the connection's extra",
                    vendor=self.vendor, grant=grant, restored_at=stale_since,
                )  # fmt: skip
            token, answer = request(self.sealer.open(sealed, place))
            connection.execute(_STORE, values | {"sealed": self.sealer.seal(token, place)})
        return answer


def count_by_key(engine: sa.Engine) -> Counter[str]:
    """Return the number of stored tokens by the id of the key that encrypted them."""
    with engine.connect() as connection:
        return Counter(connection.scalars(sa.text("select key_id from control.refresh_token")))


def reseal(engine: sa.Engine, sealer: Sealer) -> int:
    """Encrypt tokens of earlier keys again under the current key, so that the earlier keys can be removed; return their number.

    If a token is being exchanged, wait for its exchange.

    Raises:
        ConfigurationError: The key of a token is not in the keyring.
    """
    done = 0
    with engine.begin() as connection:
        for vendor, grant, sealed in connection.execute(_SELECT_EARLIER, {"key_id": sealer.current}).all():
            place = _place(vendor, grant)
            again = sealer.seal(sealer.open(sealed, place), place)
            done += connection.execute(_RESEAL, {"vendor": vendor, "grant": grant, "sealed": again}).rowcount
    return done


def _place(vendor: str, grant: str) -> str:
    return f"refresh_token:{vendor}:{grant}"
