"""Connected apps, their logins and tokens, and the daily limit of API requests."""

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import jwt

from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.store import Store

IDLE = timedelta(hours=2)
"""A token expires after this time without a call."""

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
DAILY_CALLS = 100_000
_SKEW = timedelta(minutes=3)


class OAuthError(Exception):
    """A login is rejected, with HTTP 400 and OAuth's error format."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.body = {"error": error, "error_description": description}


@dataclass(frozen=True)
class Consumer:
    """A connected app and the user of its logins. `public_key` is a key in PEM format, for logins by JWT."""

    client_id: str
    client_secret: str | None
    public_key: str | None
    username: str


class Sessions:
    """The connected apps and tokens of an org, which survive a restart, and the number of used calls, which a restart resets."""

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store, self._now = store, now
        self._lock = threading.Lock()
        self.calls_used = 0
        with store.read() as connection:
            self._consumers = {row[0]: Consumer(*row) for row in connection.execute("select * from consumer")}
            self._usernames: dict[str, str] = dict(connection.execute("select token, username from session"))
            limits = dict(connection.execute("select name, value from counter where name glob 'Daily*'"))
        self._used_at = dict.fromkeys(self._usernames, now())
        self.daily_calls = limits.get("DailyApiRequests", DAILY_CALLS)

    def add_consumer(self, consumer: Consumer) -> None:
        """Register or replace a connected app."""
        with self._store.write() as connection:
            connection.execute(
                "insert or replace into consumer values (?, ?, ?, ?)",
                (consumer.client_id, consumer.client_secret, consumer.public_key, consumer.username),
            )
        self._consumers[consumer.client_id] = consumer

    def log_in(self, form: Mapping[str, str], basic: tuple[str, str] | None, base: str) -> tuple[str, Consumer]:
        """Log in by JWT or client credentials; return a new token and its connected app.

        Args:
            form: The posted fields.
            basic: Client id and secret in the Authorization header; None without one.
            base: The org's own URL, which a JWT may name as audience.

        Raises:
            OAuthError: The login is rejected. The error and its description are those of Salesforce.
        """
        grant = form.get("grant_type")
        if grant == JWT_BEARER:
            consumer = self._check_assertion(form.get("assertion", ""), base)
        elif grant == "client_credentials":
            client_id, secret = basic or (form.get("client_id", ""), form.get("client_secret", ""))
            consumer = self._find(client_id)
            if not consumer.client_secret or not secrets.compare_digest(consumer.client_secret, secret):
                raise OAuthError("invalid_client", "invalid client credentials")
        else:
            raise OAuthError("unsupported_grant_type", "grant type not supported")
        token = f"00DHp0000000001!{secrets.token_urlsafe(48)}"
        with self._store.write() as connection:
            row = (token, consumer.username, consumer.client_id, self._now().isoformat())
            connection.execute("insert into session values (?, ?, ?, ?)", row)
        self._usernames[token], self._used_at[token] = consumer.username, self._now()
        return token, consumer

    def use(self, token: str) -> str:
        """Count a call with this token; return the username of the token.

        Raises:
            ApiError: INVALID_SESSION_ID, the token is unknown or expired; REQUEST_LIMIT_EXCEEDED, the daily calls are used up.
        """
        username, now = self._usernames.get(token), self._now()
        if username is None or now - self._used_at[token] > IDLE:
            self.expire(token)
            raise ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")
        self._used_at[token] = now
        with self._lock:
            if self.calls_used >= self.daily_calls:
                raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
            self.calls_used += 1
        return username

    def find_username(self, token: str) -> str | None:
        """Return the username of a valid token, without counting a call; None for an invalid token."""
        is_open = token in self._usernames and self._now() - self._used_at[token] <= IDLE
        return self._usernames[token] if is_open else None

    def revoke(self, token: str) -> None:
        """Expire a token at the request of its owner.

        Raises:
            OAuthError: `invalid_token`, the token is not valid.
        """
        if self.find_username(token) is None:
            raise OAuthError("invalid_token", "The token was invalid")
        self.expire(token)

    def expire(self, token: str | None = None) -> None:
        """Expire one token; None expires all tokens."""
        tokens = [token] if token is not None else list(self._usernames)
        with self._store.write() as connection:
            connection.executemany("delete from session where token = ?", [(item,) for item in tokens])
        for item in tokens:
            self._usernames.pop(item, None)

    def set_daily_calls(self, most: int, remaining: int) -> None:
        """Set the daily limit of calls, and how many of them remain today."""
        with self._store.write() as connection:
            connection.execute("insert or replace into counter values ('DailyApiRequests', ?)", (most,))
        self.daily_calls, self.calls_used = most, most - remaining

    def _find(self, client_id: str) -> Consumer:
        consumer = self._consumers.get(client_id)
        if consumer is None:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        return consumer

    def _check_assertion(self, assertion: str, base: str) -> Consumer:
        try:
            claimed = jwt.decode(assertion, options={"verify_signature": False})
            consumer = self._find(str(claimed.get("iss")))
            claims = jwt.decode(
                assertion,
                consumer.public_key or "",
                algorithms=["RS256"],
                audience=[*AUDIENCES, base],
                leeway=_SKEW,
                options={"require": ["iss", "sub", "aud", "exp"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise OAuthError("invalid_grant", "expired authorization code") from error
        except jwt.InvalidAudienceError as error:
            raise OAuthError("invalid_grant", "audience is invalid") from error
        except (jwt.PyJWTError, ValueError) as error:
            raise OAuthError("invalid_grant", "invalid assertion") from error
        if claims["sub"] != consumer.username:
            raise OAuthError("invalid_grant", "user hasn't approved this consumer")
        return consumer
