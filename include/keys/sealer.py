"""Authenticated encryption of short secrets: AES-256-GCM, bound to the place where the secret is stored.

A sealed secret is `key_id:text`. The key id names the key that opens it, so that older secrets stay readable after a new key is added.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from include.errors import ConfigurationError

_NONCE_BYTES = 12


class Sealer:
    """Encrypts and decrypts secrets.

    Args:
        keys: Key id -> key of 32 bytes. The last key encrypts; every key decrypts what was encrypted with it.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._ciphers = {key_id: AESGCM(secret) for key_id, secret in keys.items()}
        self._current = list(keys)[-1]

    def seal(self, plain: str, place: str) -> str:
        """Encrypt a secret under the current key.

        Args:
            plain: The secret.
            place: Where it is stored, such as `refresh_token:<vendor>:<grant>`. `open` requires the same place, so that a sealed
                secret can't be moved to another row.
        """
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._current].encrypt(nonce, plain.encode(), place.encode())
        return f"{self._current}:{base64.b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, place: str) -> str:
        """Decrypt a sealed secret.

        Raises:
            ConfigurationError: The secret's key is not in the keyring, or the secret was altered or sealed for another place.
        """
        key_id, _, text = sealed.partition(":")
        if key_id not in self._ciphers:
            raise ConfigurationError(
                "A stored secret was sealed under a key that is not in the keyring; add the key to tributary_keys",
                place=place,
            )
        try:
            content = base64.b64decode(text, validate=True)
            plain = self._ciphers[key_id].decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError) as error:
            raise ConfigurationError(
                "A stored secret can't be opened: it was altered, or belongs to another place",
                place=place,
                key_id=key_id,
            ) from error
        return plain.decode()
