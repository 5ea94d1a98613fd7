"""Authenticated encryption of stored secrets and files: AES-256-GCM, bound to the place where the content is stored.

Sealed content starts with the id of the key that opens it. So a new key can be added while older content remains readable.

    a secret    `key_id:` and base64 of nonce and ciphertext
    a file      `TRB1`, one byte with the length of the key id, the key id, nonce, ciphertext
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from contextlib import suppress

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from include.errors import ConfigurationError, FatalError

_NONCE_BYTES = 12
_MAGIC = b"TRB1"


HEAD_BYTES = 256
"""The first bytes of a sealed file that are enough for `find_key_id`."""


def find_key_id(start: bytes) -> str | None:
    """Return the id of the key that a file is sealed under, from its first bytes; None if it is not a sealed file."""
    head = len(_MAGIC) + 1
    if start[: head - 1] != _MAGIC or len(start) < head:
        return None
    with suppress(UnicodeDecodeError):
        return start[head : head + start[head - 1]].decode("ascii")
    return None


class Sealer:
    """Seals and opens content.

    Args:
        keys: Key id -> key of 32 bytes. The last key encrypts; every key decrypts the content that was encrypted with it.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._ciphers = {key_id: AESGCM(secret) for key_id, secret in keys.items()}
        self._current = list(keys)[-1]

    @property
    def current(self) -> str:
        """Id of the key that encrypts."""
        return self._current

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Ids of the keys that open sealed content."""
        return tuple(self._ciphers)

    def seal(self, plain: str, place: str) -> str:
        """Encrypt a secret under the current key.

        Args:
            plain: The secret.
            place: Where it is stored, such as `refresh_token:<vendor>:<grant>`. `open` requires the same place, so that a sealed
                secret can't be moved to another row.
        """
        return f"{self._current}:{base64.b64encode(self._encrypt(plain.encode(), place)).decode()}"

    def open(self, sealed: str, place: str) -> str:
        """Decrypt a sealed secret.

        Raises:
            ConfigurationError: The secret's key is not in the keyring, the secret was altered, or `place` differs from the place given to
                `seal`.
        """
        key_id, _, text = sealed.partition(":")
        try:
            return self._decrypt(key_id, base64.b64decode(text, validate=True), place).decode()
        except KeyError:
            raise _missing_key(place) from None
        except (InvalidTag, ValueError) as error:
            raise ConfigurationError(
                "A stored secret can't be opened: it was altered, or belongs to another place",
                place=place,
                key_id=key_id,
            ) from error

    def seal_file(self, content: bytes, place: str) -> bytes:
        """Encrypt the content of a file under the current key.

        Args:
            content: The content.
            place: Path of the file below its root. The file can be decrypted only at this path, so that it can't replace another file.
        """
        key_id = self._current.encode()
        return b"".join([_MAGIC, bytes([len(key_id)]), key_id, self._encrypt(content, place)])

    def open_file(self, sealed: bytes, place: str) -> bytes:
        """Decrypt the content of a file.

        Raises:
            ConfigurationError: The key of the file is not in the keyring.
            FatalError: The file was altered or moved, or is not encrypted.
        """
        key_id = find_key_id(sealed)
        try:
            if key_id is None:
                raise ValueError("no magic bytes")
            return self._decrypt(key_id, sealed[len(_MAGIC) + 1 + len(key_id) :], place)
        except KeyError:
            raise _missing_key(place) from None
        except (InvalidTag, ValueError) as error:
            raise FatalError("A stored file was altered or moved, or was not encrypted by us", file=place) from error

    def _encrypt(self, content: bytes, place: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._ciphers[self._current].encrypt(nonce, content, place.encode())

    def _decrypt(self, key_id: str, sealed: bytes, place: str) -> bytes:
        return self._ciphers[key_id].decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place.encode())


def _missing_key(place: str) -> ConfigurationError:
    return ConfigurationError(
        "Stored content was sealed under a key that is not in the keyring; add the key to tributary_keys", place=place
    )
