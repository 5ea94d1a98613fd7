"""Nitrogen's login: one grant per advisor, with single-use refresh tokens. Reusing a refresh token ends the grant.

A refresh token contains the advisor, the number of the grant, and the number of earlier tokens of the grant. So the sandbox stores
only three values per advisor, in `nitrogen.json` in its state folder: grant, count, and whether the grant has ended.
"""

import hashlib
import hmac
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

CLIENT_ID, CLIENT_SECRET = "tributary", "sandbox-only"  # valid for this sandbox only
TOKEN_SECONDS = 3600
SCOPES = "com.riskalyze.client.read"
_TOKEN = re.compile(r"r(\d+)-(\d+)-(\d+)-[0-9a-f]{24}")


def write_refresh_token(advisor: int, grant: int = 1, count: int = 0) -> str:
    """Return refresh token number `count` (from 0) of an advisor's grant; by default the first token of the first grant."""
    name = f"r{advisor}-{grant}-{count}"
    return f"{name}-{hmac.new(CLIENT_SECRET.encode(), name.encode(), hashlib.sha256).hexdigest()[:24]}"


class Grants:
    """The grants of one sandbox. A restart discards access tokens, but not grants."""

    def __init__(self, state: Path, clock: Clock) -> None:
        self.path, self.clock = state / "nitrogen.json", clock
        self._tokens: dict[str, tuple[int, datetime]] = {}
        self._lock = threading.Lock()

    def refresh(self, form: Mapping[str, str], advisors: list[int]) -> dict[str, Any]:
        """Exchange a refresh token for an access token and the next refresh token. `advisors` are the known advisors.

        Raises:
            Refused: 401 for an unknown application, 400 for a token that is unknown, already used, or of an ended grant.
        """
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            raise Refused(401, {"error": "invalid_client"})
        if form.get("grant_type") != "refresh_token":
            raise Refused(400, {"error": "unsupported_grant_type"})
        with self._lock:
            advisor, grant, count = self._read(form.get("refresh_token", ""), advisors)
            grants = self._load()
            current = grants.get(str(advisor), {"grant": 1, "count": 0, "is_ended": False})
            if current["is_ended"] or (grant, count) != (current["grant"], current["count"]):
                if grant == current["grant"]:
                    self._end(grants, advisor, current)
                raise Refused(400, {"error": "invalid_grant"})
            self._save(grants | {str(advisor): current | {"count": count + 1}})
            token = secrets.token_urlsafe(32)
            self._tokens[token] = (advisor, self.clock.now() + timedelta(seconds=TOKEN_SECONDS))
        next_token = write_refresh_token(advisor, grant, count + 1)
        return {"access_token": token, "refresh_token": next_token, "expires_in": TOKEN_SECONDS, "scopes": SCOPES}

    def _read(self, token: str, advisors: list[int]) -> tuple[int, int, int]:
        """Return advisor, grant and count from a refresh token; raise `Refused` (400) if the token is not authentic."""
        if match := _TOKEN.fullmatch(token):
            advisor, grant, count = (int(part) for part in match.groups())
            if advisor in advisors and hmac.compare_digest(token, write_refresh_token(advisor, grant, count)):
                return advisor, grant, count
        raise Refused(400, {"error": "invalid_grant"})

    def _end(self, grants: dict[str, Any], advisor: int, current: dict[str, Any]) -> None:
        self._save(grants | {str(advisor): current | {"is_ended": True}})
        self._tokens = {token: entry for token, entry in self._tokens.items() if entry[0] != advisor}

    def find_advisor(self, headers: Mapping[str, str]) -> int:
        """Return the advisor of a request, by its access token.

        Raises:
            Refused: 401, if the token is unknown or expired.
        """
        advisor, expires_at = self._tokens.get(read_bearer(headers), (0, self.clock.now()))
        if expires_at <= self.clock.now():
            raise Refused(401, {"error": "invalid_token"})
        return advisor

    def forget(self, headers: Mapping[str, str]) -> None:
        """Expire the access token of a request."""
        self._tokens.pop(read_bearer(headers), None)

    def _load(self) -> dict[str, Any]:
        grants: dict[str, Any] = orjson.loads(self.path.read_bytes()) if self.path.exists() else {}
        return grants

    def _save(self, grants: dict[str, Any]) -> None:
        temporary = self.path.with_suffix(".part")
        temporary.write_bytes(orjson.dumps(grants))
        temporary.replace(self.path)


def connect(state: Path, advisor: int) -> str:
    """Create a new grant of an advisor, which replaces the old one. Return its first refresh token."""
    path = state / "nitrogen.json"
    grants = orjson.loads(path.read_bytes()) if path.exists() else {}
    grant = grants.get(str(advisor), {"grant": 1})["grant"] + 1
    temporary = path.with_suffix(".new")
    temporary.write_bytes(orjson.dumps(grants | {str(advisor): {"grant": grant, "count": 0, "is_ended": False}}))
    temporary.replace(path)
    return write_refresh_token(advisor, grant)
