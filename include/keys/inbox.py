"""Public-key encryption of the inbox: a process that receives messages can seal them, and only tasks can open them.

The construction is HPKE (RFC 9180) in base mode: X25519, HKDF-SHA256 and AES-256-GCM. Sealed content is

    TRB2, 16 bytes with the fingerprint of the key, the HPKE ciphertext
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from include.errors import ConfigurationError, DataQualityError

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_MAGIC = b"TRB2"
_HEAD = len(_MAGIC) + 16
_TEXT = re.compile(r"receive:([A-Za-z0-9._-]{1,40}):([0-9a-f]{64})([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class ReceivingKey:
    """The half of an inbox key for processes that receive messages: it seals content and computes digests, but opens nothing.

    Attributes:
        key_id: Id of the inbox key.
        public: Its public key, 32 bytes.
        digest_key: Secret key of the digests, 32 bytes. Its holder can check whether a guess of some content has a given digest.
    """

    key_id: str
    public: bytes
    digest_key: bytes = field(repr=False)

    @classmethod
    def derive(cls, key_id: str, secret: bytes) -> Self:
        """Return the receiving half of an inbox key."""
        digest_key = HKDF(SHA256(), 32, salt=None, info=b"tributary inbox digest").derive(secret)
        return cls(key_id, X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw(), digest_key)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the key from its text, `receive:key_id:` and 128 hex digits.

        Raises:
            ConfigurationError: The text is malformed. The error does not contain it.
        """
        match = _TEXT.fullmatch(text.strip())
        if not match:
            raise ConfigurationError(
                "The receiving key is not `receive:key_id:` and 128 hex digits; `python -m include.cli receiving-key` prints it"
            )
        return cls(match[1], bytes.fromhex(match[2]), bytes.fromhex(match[3]))

    @property
    def text(self) -> str:
        """The text that `parse` reads."""
        return f"receive:{self.key_id}:{self.public.hex()}{self.digest_key.hex()}"

    @property
    def fingerprint(self) -> str:
        """An HMAC of public values that identifies the key, 32 hex digits."""
        return hmac.new(self.public, f"inbox:{self.key_id}".encode(), hashlib.sha256).hexdigest()[:32]

    def seal(self, content: bytes, place: str) -> bytes:
        """Encrypt content.

        Args:
            content: The content.
            place: Where the content is stored, such as a row's unique key. `Opener.open` requires the same place.
        """
        public = X25519PublicKey.from_public_bytes(self.public)
        return _MAGIC + bytes.fromhex(self.fingerprint) + SUITE.encrypt(content, public, info=place.encode())

    def digest(self, content: bytes) -> str:
        """Return a keyed hash of content in hex, to recognize equal content. Without the key, a guess of the content can't be checked."""
        return hmac.new(self.digest_key, content, hashlib.sha256).hexdigest()


class Opener:
    """Opens content that was sealed with receiving keys.

    Args:
        keys: Key id -> secret of the inbox key, 32 bytes.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = {
            bytes.fromhex(ReceivingKey.derive(key_id, secret).fingerprint): X25519PrivateKey.from_private_bytes(secret)
            for key_id, secret in keys.items()
        }

    def open(self, sealed: bytes, place: str) -> bytes:
        """Decrypt sealed content.

        Raises:
            ConfigurationError: The key of the content is not in the keyring.
            DataQualityError: The content was altered or not sealed, or `place` differs from the place given to `seal`.
        """
        fingerprint = sealed[len(_MAGIC) : _HEAD]
        try:
            if not sealed.startswith(_MAGIC):
                raise InvalidTag
            return SUITE.decrypt(sealed[_HEAD:], self._keys[fingerprint], info=place.encode())
        except KeyError:
            raise ConfigurationError(
                "A message in the inbox was sealed under a key that is not in the keyring; add the inbox key to tributary_keys",
                place=place, fingerprint=fingerprint.hex(),
            ) from None  # fmt: skip
        except InvalidTag:
            raise DataQualityError(
                "A message in the inbox was altered or moved, or was not sealed by us", place=place
            ) from None
