"""Sign a login's assertion (RFC 7523) with the private key of a connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.errors import ConfigurationError

LEAST_BITS = 3072
"""Smallest RSA key that a firm may choose: 128 bits of security (NIST SP 800-57)."""


def sign(claims: Mapping[str, Any], private_key: str, *, least_bits: int = LEAST_BITS, **facts: object) -> str:
    """Return a signed assertion (RS256, which the vendors and Salesforce require).

    Args:
        claims: The claims.
        private_key: The key in PEM; an error does not quote it.
        least_bits: Smallest size of the key. Pass less only for a key that the vendor generates.
        **facts: Further values for an error, by name.

    Raises:
        ConfigurationError: The key can't be read, is no RSA key, or is too small.
    """
    import jwt
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(private_key.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError("The connection's private_key is not an RSA key in PEM; correct it", **facts)
    if key.key_size < least_bits:
        raise ConfigurationError(
            f"The connection's private_key is too small: create one with {least_bits} bits or more, and register its public half",
            bits=key.key_size, **facts,
        )  # fmt: skip
    return jwt.encode(dict(claims), key, algorithm="RS256")
