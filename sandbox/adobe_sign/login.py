"""Adobe Acrobat Sign's login: a reusable refresh token with access tokens, or an integration key.

Documented:

- The paths, the fields, and the errors of the API.
- An access token is valid for one hour, and an authorization code for five minutes.
- A refresh token is valid for sixty days after its last use.
- The effects and the errors of a revocation.
- The formats of `x-api-user`.

Our choices: `/token` and `/refresh` return errors in OAuth's format. The integration key acts as the account's administrator.
"""

import re
import secrets
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from sandbox.server.clock import Clock
from sandbox.server.response import Refused, read_bearer

CLIENT_ID, CLIENT_SECRET = "tributary-sandbox", "sandbox-only"  # valid for this sandbox only
INTEGRATION_KEY, REFRESH_TOKEN = "3AAABLsandbox-only-key", "3AAABLsandbox-only-refresh"  # these too
TOKEN_SECONDS, CODE_SECONDS = 3600, 300
REFRESH_DAYS = 60
_USER = re.compile(r"(email|userid):(.+)")


class StateFile:
    """The state that survives a restart, in one JSON file: grants, codes, and the time as of which agreements are generated.

    Args:
        state: State folder of the sandbox.
        anchor: Time as of which agreements are generated. It is stored only when the file is created.
    """

    def __init__(self, state: Path, anchor: datetime) -> None:
        self.path = state / "adobe_sign.json"
        if not self.path.exists():
            self.save({"drawn_at": anchor.isoformat(), "grants": {}, "codes": {}})

    def load(self) -> dict[str, Any]:
        """Return the stored state."""
        state: dict[str, Any] = orjson.loads(self.path.read_bytes())
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Replace the stored state atomically."""
        temporary = self.path.with_suffix(".part")
        temporary.write_bytes(orjson.dumps(state))
        temporary.replace(self.path)


class Login:
    """The tokens of one sandbox. A restart discards access tokens, but keeps refresh tokens and their grants."""

    def __init__(self, file: StateFile, clock: Clock) -> None:
        self.file, self.clock = file, clock
        self._tokens: dict[str, tuple[str, datetime]] = {}  # access token -> refresh token, expiry
        self._ended: set[str] = set()
        self._lock = threading.Lock()

    def authorize(self) -> str:
        """Grant access as the account's administrator. Return the authorization code that the browser would receive."""
        code = f"CBNCKBAA{secrets.token_urlsafe(24)}"
        with self._lock:
            state = self.file.load()
            state["codes"][code] = self.clock.now().isoformat()
            self.file.save(state)
        return code

    def redeem(self, form: Mapping[str, str]) -> dict[str, Any]:
        """Exchange a single-use authorization code for an access token and a refresh token.

        Raises:
            Refused: 401 for a wrong application, 400 for an invalid grant type or code; both with OAuth's `error`.
        """
        _check_application(form, "authorization_code")
        with self._lock:
            state = self.file.load()
            issued_at = state["codes"].pop(form.get("code", ""), None)
            if issued_at is None or self._is_older(issued_at, timedelta(seconds=CODE_SECONDS)):
                raise _refuse("invalid_grant", "the code is unknown, used or expired")
            token = f"3AAABL{secrets.token_urlsafe(32)}"
            state["grants"][token] = {"used_at": self.clock.now().isoformat(), "is_revoked": False}
            self.file.save(state)
            return self._issue(token) | {"refresh_token": token}

    def refresh(self, form: Mapping[str, str]) -> dict[str, Any]:
        """Exchange a refresh token for an access token. The refresh token stays valid.

        Raises:
            Refused: 401 for a wrong application, 400 for an invalid grant type or token; both with OAuth's `error`.
        """
        _check_application(form, "refresh_token")
        token = form.get("refresh_token", "")
        with self._lock:
            state = self.file.load()
            grant = self._find_grant(state, token)
            if grant is None or grant["is_revoked"] or self._is_older(grant["used_at"], timedelta(days=REFRESH_DAYS)):
                raise _refuse("invalid_grant", "the refresh token is unknown, revoked or was not used for 60 days")
            state["grants"][token] = grant | {"used_at": self.clock.now().isoformat()}
            self.file.save(state)
            return self._issue(token)

    def revoke(self, form: Mapping[str, str]) -> None:
        """Revoke a refresh token and all its access tokens. The form's `token` is the refresh token or one of its access tokens.

        Raises:
            Refused: 400, if the token is missing, unknown or already revoked.
        """
        value = form.get("token", "")
        if not value:
            raise Refused(400, write_error("INVALID_REQUEST", "Empty or missing token"))
        with self._lock:
            state = self.file.load()
            token = self._tokens[value][0] if value in self._tokens else value
            grant = self._find_grant(state, token)
            if value in self._ended or (grant is not None and grant["is_revoked"]):
                raise Refused(400, write_error("EXPIRED_TOKEN", "The token is expired or already revoked"))
            if grant is None:
                raise Refused(400, write_error("INVALID_TOKEN", "This is not a valid OAuth access or refresh token"))
            state["grants"][token] = grant | {"is_revoked": True}
            self.file.save(state)
            ended = {access for access, (refresh, _) in self._tokens.items() if refresh == token}
            self._ended |= ended
            self._tokens = {access: state for access, state in self._tokens.items() if access not in ended}

    def check(self, headers: Mapping[str, str]) -> None:
        """Check the access token or integration key of a request.

        Raises:
            Refused: 401, if the token is missing, unknown or expired.
        """
        if "authorization" not in headers:
            raise Refused(401, write_error("NO_AUTHORIZATION_HEADER", "Authorization header not provided."))
        token = read_bearer(headers)
        entry = self._tokens.get(token)
        if token != INTEGRATION_KEY and (entry is None or entry[1] <= self.clock.now()):
            raise Refused(401, write_error("INVALID_ACCESS_TOKEN", "Access token provided is invalid or has expired."))

    def forget(self, headers: Mapping[str, str]) -> None:
        """Expire the access token of a request."""
        self._tokens.pop(read_bearer(headers), None)

    def _find_grant(self, state: dict[str, Any], token: str) -> dict[str, Any] | None:
        first = {"used_at": state["drawn_at"], "is_revoked": False} if token == REFRESH_TOKEN else None
        grant: dict[str, Any] | None = state["grants"].get(token, first)
        return grant

    def _issue(self, refresh_token: str) -> dict[str, Any]:
        token = f"3AAABL{secrets.token_urlsafe(32)}"
        self._tokens[token] = (refresh_token, self.clock.now() + timedelta(seconds=TOKEN_SECONDS))
        return {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS}

    def _is_older(self, moment: str, most: timedelta) -> bool:
        return self.clock.now() - datetime.fromisoformat(moment) > most


def find_user(headers: Mapping[str, str], users: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the acting user of a request: the user in the header `x-api-user`, by default the account's administrator.

    Raises:
        Refused: 400 for a malformed header, 401 for a user who is not in the account, 403 if `x-on-behalf-of-user` is another user,
            because no user shares an account here.
    """
    administrator = next(user for user in users if user["isAccountAdmin"])
    user = _read_user(headers, "x-api-user", "X_API_USER", "USER", users) or administrator
    shared = _read_user(headers, "x-on-behalf-of-user", "ON_BEHALF_OF_USER", "ON_BEHALF_OF_USER", users)
    if shared and shared is not user:
        raise Refused(403, write_error("PERMISSION_DENIED", "Nobody has shared this account with the API caller."))
    return user


def _read_user(
    headers: Mapping[str, str], header: str, malformed: str, unknown: str, users: list[dict[str, Any]]
) -> dict[str, Any] | None:
    if header not in headers:
        return None
    match = _USER.fullmatch(headers[header])
    if not match:
        code = f"INVALID_{malformed}_HEADER"
        raise Refused(400, write_error(code, f"Value provided in {header} header is in invalid format."))
    name = "email" if match[1] == "email" else "id"
    for user in users:
        if user[name] == match[2]:
            return user
    raise Refused(401, write_error(f"INVALID_{unknown}", f"Invalid user ID or email provided in {header} header."))


def write_error(code: str, message: str) -> dict[str, Any]:
    """Return an error in the vendor's format."""
    return {"code": code, "message": message}


def _check_application(form: Mapping[str, str], grant: str) -> None:
    if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
        raise Refused(401, {"error": "invalid_client", "error_description": "client_id or client_secret is wrong"})
    if form.get("grant_type") != grant:
        raise _refuse("unsupported_grant_type", f"grant_type is not {grant}")


def _refuse(error: str, description: str) -> Refused:
    return Refused(400, {"error": error, "error_description": description})
