"""eMoney's login: exchange a client assertion, signed with the key of a certificate, for a bearer token.

The assertion's `exp` is checked against the machine's time, which client and sandbox share. The bearer token expires by the
sandbox's clock.
"""

import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from sandbox.server.clock import Clock
from sandbox.server.key_file import write_once
from sandbox.server.response import Refused, read_bearer

CLIENT_ID, API_KEY = "tributary-sandbox", "sandbox-only-emoney"  # valid for this sandbox only
GRANT, ASSERTION = "client_credentials", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TOKEN_SECONDS, ASSERTION_SECONDS = 3600, 600
_LEEWAY_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Credentials:
    """A client's credentials. The private key and the certificate are PEM text."""

    client_id: str
    api_key: str
    private_key: str
    certificate: str


def read_credentials(state: Path) -> Credentials:
    """Return the credentials of the sandbox with the state folder `state`. The key pair is generated at the first use."""
    path = state / "emoney_client.pem"
    if not path.exists():
        _make_pair(path)
    certificate, _, key = path.read_text().partition("\n\n")
    return Credentials(CLIENT_ID, API_KEY, key, certificate)


def _make_pair(path: Path) -> None:
    """Generate a key with its certificate and write both to `path`, readable only by the owner, unless the file exists."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, CLIENT_ID)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM) + b"\n"
    pem += key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_once(path, pem)


class Tokens:
    """The access tokens of one sandbox, and the ids of used assertions. A restart discards both."""

    def __init__(self, state: Path, clock: Clock) -> None:
        self.state, self.clock = state, clock
        self._expires_at: dict[str, datetime] = {}
        self._seen: dict[str, int] = {}
        self._lock = threading.Lock()

    def open(self, form: Mapping[str, str], url: str) -> str:
        """Return a new access token. The assertion's audience must be `url`, the URL of the token endpoint.

        Raises:
            Refused: 400 with OAuth's `error`, if the form or its assertion is invalid.
        """
        if form.get("grant_type") != GRANT:
            raise _refuse("unsupported_grant_type", "the only grant is client_credentials")
        if form.get("client_assertion_type") != ASSERTION:
            raise _refuse("invalid_request", "client_assertion_type is not that of a JWT")
        if form.get("client_id") != CLIENT_ID:
            raise _refuse("invalid_client", "client_id is unknown")
        try:
            self._check(form.get("client_assertion", ""), url)
        except jwt.InvalidTokenError as error:
            raise _refuse("invalid_client", str(error)) from error
        token = secrets.token_urlsafe(32)
        self._expires_at[token] = self.clock.now() + timedelta(seconds=TOKEN_SECONDS)
        return token

    def _check(self, assertion: str, url: str) -> None:
        certificate = x509.load_pem_x509_certificate(read_credentials(self.state).certificate.encode())
        key = certificate.public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise jwt.InvalidKeyError("the certificate's key is not RSA")
        claims = jwt.decode(
            assertion,
            key,
            algorithms=["RS256"],
            audience=url,
            issuer=CLIENT_ID,
            subject=CLIENT_ID,
            leeway=_LEEWAY_SECONDS,
            options={"require": ["iss", "sub", "aud", "exp", "jti"]},
        )
        now = int(time.time())
        if claims["exp"] > now + ASSERTION_SECONDS + _LEEWAY_SECONDS:
            raise jwt.InvalidTokenError("exp is more than ten minutes away")
        with self._lock:
            self._seen = {jti: until for jti, until in self._seen.items() if until >= now}
            if claims["jti"] in self._seen:
                raise jwt.InvalidTokenError("jti was used before")
            self._seen[claims["jti"]] = claims["exp"] + _LEEWAY_SECONDS

    def check(self, headers: Mapping[str, str]) -> None:
        """Check the token and the API key of a request.

        Raises:
            Refused: 401, if the token is unknown or expired, or the API key is wrong.
        """
        expires_at = self._expires_at.get(read_bearer(headers))
        if expires_at is None or expires_at <= self.clock.now():
            raise Refused(401, {"error": "invalid_token"})
        if headers.get("apikey") != API_KEY:
            raise Refused(401, {"error": "invalid_apikey"})

    def forget(self, headers: Mapping[str, str]) -> None:
        """Expire the token of a request."""
        self._expires_at.pop(read_bearer(headers), None)


def _refuse(error: str, description: str) -> Refused:
    return Refused(400, {"error": error, "error_description": description})
