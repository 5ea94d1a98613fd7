"""DocuSign's login: exchange a JWT, signed with the integration's key on behalf of a user, for a bearer token.

Documented: the grant, RS256, the claims, `aud` without a scheme, no refresh token, `consent_required`, and the userinfo response.
The descriptions of `invalid_grant` are from DocuSign's support.

Our choices:

- `aud` is the host and port of the request.
- A token is valid for 3600 seconds by the sandbox's clock, regardless of the assertion.
- The user's consent exists until the edit `consent` withdraws it.
- The assertion's `exp` is checked against the machine's time, which client and sandbox share.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.types import Options

from sandbox.docusign.limits import refuse
from sandbox.docusign.rows import ACCOUNT_ID, ACCOUNT_NAME, USER_EMAIL, USER_ID, USER_NAME
from sandbox.docusign.store import Store
from sandbox.server.clock import Clock
from sandbox.server.key_file import write_once
from sandbox.server.response import Refused, read_bearer

INTEGRATION_KEY = "0c9a7d52-4e1b-4f38-b6d7-91e2a5c3f804"  # valid for this sandbox only
GRANT, SCOPES = "urn:ietf:params:oauth:grant-type:jwt-bearer", ("signature", "impersonation")
TOKEN_SECONDS = 3600


def read_private_key(state: Path) -> str:
    """Return the integration's RSA key as PEM. It is generated at the first use; concurrent callers get the same key."""
    path = state / "docusign.pem"
    if not path.exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)  # as DocuSign does
        form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        write_once(path, key.private_bytes(*form))
    return path.read_text()


class Tokens:
    """The access tokens of one sandbox. A restart discards them."""

    def __init__(self, state: Path, clock: Clock, store: Store) -> None:
        self.state, self.clock, self.store = state, clock, store
        self._expires_at: dict[str, datetime] = {}

    def open(self, form: Mapping[str, str], host: str) -> dict[str, Any]:
        """Return the response with a new access token. The assertion's audience must be `host`, the host of the login.

        Raises:
            Refused: 400 with OAuth's `error`, if the form or its assertion is invalid.
        """
        if form.get("grant_type") != GRANT:
            raise Refused(400, {"error": "unsupported_grant_type"})
        claims = self._read(form.get("assertion", ""), host)
        if claims.get("sub") != USER_ID:
            raise _deny("user_not_found")
        if not set(SCOPES) <= set(str(claims["scope"]).split()) or not self.store.find("consent", True):
            raise Refused(400, {"error": "consent_required"})
        token = secrets.token_urlsafe(48)
        self._expires_at[token] = self.clock.now() + timedelta(seconds=TOKEN_SECONDS)
        return {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS, "scope": " ".join(SCOPES)}

    def _read(self, assertion: str, host: str) -> dict[str, Any]:
        key = serialization.load_pem_private_key(read_private_key(self.state).encode(), None).public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise _deny("no_valid_keys_or_signatures")
        needed: Options = {"require": ["iss", "sub", "aud", "exp", "scope"]}
        try:
            claims: dict[str, Any] = jwt.decode(
                assertion, key, algorithms=["RS256"], audience=host, issuer=INTEGRATION_KEY, options=needed
            )
        except jwt.ExpiredSignatureError as error:
            raise _deny("expired_grant") from error
        except (jwt.InvalidIssuerError, jwt.InvalidAudienceError) as error:
            raise _deny("issuer_not_found") from error
        except jwt.InvalidTokenError as error:
            raise _deny("no_valid_keys_or_signatures") from error
        return claims

    def check(self, headers: Mapping[str, str]) -> None:
        """Check the access token of a request.

        Raises:
            Refused: 401, if the token is unknown or expired.
        """
        token = read_bearer(headers)
        if not token:
            raise refuse(401, "PARTNER_AUTHENTICATION_FAILED", "The request has no access token.")
        expires_at = self._expires_at.get(token)
        if expires_at is None or expires_at <= self.clock.now():
            raise refuse(401, "USER_AUTHENTICATION_FAILED", "Invalid access token.")

    def forget(self, headers: Mapping[str, str]) -> None:
        """Expire the token of a request."""
        self._expires_at.pop(read_bearer(headers), None)


def write_user(base_uri: str) -> dict[str, Any]:
    """Return the userinfo response. `base_uri` is the URL before "/restapi"."""
    first, _, family = USER_NAME.partition(" ")
    account = {"account_id": ACCOUNT_ID, "is_default": True, "account_name": ACCOUNT_NAME, "base_uri": base_uri}
    return {
        "sub": USER_ID,
        "name": USER_NAME,
        "given_name": first,
        "family_name": family,
        "created": "2015-08-13T22:03:03.45",
        "email": USER_EMAIL,
        "accounts": [account],
    }


def _deny(description: str) -> Refused:
    return Refused(400, {"error": "invalid_grant", "error_description": description})
