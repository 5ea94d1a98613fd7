"""Each way to log in as a vendor declares it, and the credentials and responses that the tests of logins share."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from include.contract import INTEGER, Table, column
from include.vendors import named
from tests.extract.vendor_server import Answer, Listener, RecordedCall

OPENED = {
    "access_token": "t0ken", "refresh_token": "n3xt", "expires_in": 3600,
    # The response to the second call of some logins.
    "accounts": [{"account_id": "a1", "is_default": True, "base_uri": "https://eu.docusign.net"}],
    "apiAccessPoint": "https://api.na4.adobesign.com/",
}  # fmt: skip


def write_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*form).decode()


KEY = rsa.generate_private_key(public_exponent=65537, key_size=3072)
PEM = write_pem(KEY)
EXTRA = {"client_id": "our id", "client_secret": "cl13nt-secret", "private_key": PEM}
OWN = {
    "impersonation": {"integration_key": "our key", "user_id": "our us3r"},
    "access_point": {"refresh_token": "f1rst"},
}
"""Connection fields that only one way uses."""
WAYS = {
    "basic": named("tamarac").login, "session_token": named("orion").login, "signed_assertion": named("emoney").login,
    "rotating_refresh": named("nitrogen").login, "impersonation": named("docusign").login,
    "access_point": named("adobe_sign").login,
}  # fmt: skip
"""Each way to log in, as declared by a vendor that uses it."""
CALLING = ["session_token", "signed_assertion", "rotating_refresh", "impersonation", "access_point"]
"""Ways that request a token."""

Serve = Callable[[Answer], Listener]


def form_of(call: RecordedCall) -> dict[str, str]:
    return dict(parse_qsl(call.body.decode()))


def whole_story(error: BaseException | None) -> str:
    """Format an error with all of its causes."""
    return "" if error is None else f"{error!r} {error} " + whole_story(error.__cause__ or error.__context__)


ROWS = Table("rows", "rows", ("row_id",), (column("row_id", "id", INTEGER, required=True),))
