"""Public-key encryption of sensitive values that a firm retains: tasks can seal them, and only the role that opens values can open them.

The construction is that of the inbox (`include.keys.inbox`). A sealed value is

    TRB3, 16 bytes with the fingerprint of the key, the HPKE ciphertext
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from include.errors import ConfigurationError, DataQualityError
from include.keys.inbox import SUITE

_MAGIC = b"TRB3"
_HEAD = len(_MAGIC) + 16
_PLACE = b"tributary sensitive value"


@dataclass(frozen=True, slots=True)
class ValueKey:
    """A public key that seals values.

    Attributes:
        key_id: Its id.
        public: The key, 32 bytes.
    """

    key_id: str
    public: bytes

    @classmethod
    def derive(cls, key_id: str, secret: bytes) -> ValueKey:
        """Return the public key of a private key."""
        return cls(key_id, X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw())

    @property
    def fingerprint(self) -> str:
        """An HMAC of public values that identifies the key, 32 hex digits."""
        return hmac.new(self.public, f"value:{self.key_id}".encode(), hashlib.sha256).hexdigest()[:32]

    def seal(self, value: str) -> bytes:
        """Encrypt a value."""
        public = X25519PublicKey.from_public_bytes(self.public)
        return _MAGIC + bytes.fromhex(self.fingerprint) + SUITE.encrypt(value.encode(), public, info=_PLACE)


class ValueOpener:
    """Opens sealed values.

    Args:
        keys: Key id -> private key, 32 bytes.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = {
            bytes.fromhex(ValueKey.derive(key_id, secret).fingerprint): X25519PrivateKey.from_private_bytes(secret)
            for key_id, secret in keys.items()
        }

    def open(self, sealed: bytes) -> str:
        """Decrypt a value.

        Raises:
            ConfigurationError: The private key of the value is not in the keyring.
            DataQualityError: The value was altered, or was not sealed by us.
        """
        fingerprint = sealed[len(_MAGIC) : _HEAD]
        try:
            if not sealed.startswith(_MAGIC):
                raise InvalidTag
            return SUITE.decrypt(sealed[_HEAD:], self._keys[fingerprint], info=_PLACE).decode()
        except KeyError:
            raise ConfigurationError(
                "A value was sealed under a key that is not in the keyring; add its private key",
                fingerprint=fingerprint.hex(),
            ) from None
        except InvalidTag:
            raise DataQualityError("A sealed value was altered, or was not sealed by us") from None
