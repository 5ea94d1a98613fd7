"""Sensitive values: a keyed hash, and the last four characters where as many stay hidden, from the first byte on.

A token `hmac:<hash>:<last4>` stands for the value wherever a row is kept as text (dead letters), and is understood
again when the row is replayed, so that the clear value is written nowhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

from cryptography.fernet import Fernet, InvalidToken

from include.errors import ConfigurationError

_TOKEN = re.compile(r"hmac:([0-9a-f]{64})?:(.{0,4})")
# What stands for digits that are not shown: a single X or a word is one only before the last four, for numbers hold them too.
_MASK = re.compile(
    r"[*•●·…]|\.{2,}|X{2,}|^X(?=\d{1,4}$)|^(?:A(?:CCOUNT|CCT\.?)|CARD)?(?:NO\.?|NUMBER|#)?END(?:ING|S)(?:IN|WITH)?:?(?=[*X]*\d{0,4}$)"
)
_SHOWN = 4


class Redactor:
    """Turns clear values into hash and last four.

    Args:
        key: Secret of the firm. The same value gives the same hash under the same key only.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def split(self, value: str | None) -> tuple[str | None, str | None]:
        """Returns (hash, last four) of a value.

        Separators do not count: `123-45-6789` equals `123456789`. A masked value (`***-**-6789`, `...6789`, `x6789`,
        `ending in 6789`) has no hash, so that it never replaces a real one; its visible end is kept. Of a whole value of
        fewer than eight characters no end is: it would tell most of it.
        """
        if value is None:
            return None, None
        if token := _TOKEN.fullmatch(value):
            return token[1], token[2] or None
        plain = re.sub(r"[\s-]", "", value).upper()
        if not plain:
            return None, None
        if masks := [mask.end() for mask in _MASK.finditer(plain)]:
            return None, plain[max(masks) :][-_SHOWN:] or None
        return self.hash(plain), plain[-_SHOWN:] if len(plain) >= 2 * _SHOWN else None

    def hash(self, plain: str) -> str:
        """Returns the keyed hash of a normalised value, 64 hex digits."""
        return hmac.new(self._key, plain.encode(), hashlib.sha256).hexdigest()

    def token(self, value: object) -> str:
        """Returns the text that stands for a value in a kept row."""
        hashed, last4 = self.split(None if value is None else str(value))
        return f"hmac:{hashed or ''}:{last4 or ''}"

    def seal(self, plain: str) -> str:
        """Encrypts a secret that must be kept, such as a refresh token, under a key derived from the firm's."""
        return self._fernet().encrypt(plain.encode()).decode()

    def unseal(self, sealed: str) -> str:
        """Returns a sealed secret.

        Raises:
            ConfigurationError: It was sealed under another key.
        """
        try:
            return self._fernet().decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise ConfigurationError("A kept secret was sealed under another key of the firm") from error

    def _fernet(self) -> Fernet:
        return Fernet(base64.urlsafe_b64encode(hmac.digest(self._key, b"seal", "sha256")))
