"""The firm's keys. Each has one purpose, so that replacing one key does not affect the other purposes.

    hash       keyed hashes of sensitive values; each value is hashed under the first key, the result under the next key, and so on
    seal       encryption of secrets that must be stored, such as refresh tokens
    staging    encryption of the files of the staging folder (partitions, dead letters, signed documents) and of cached responses
    audit      the chain of HMACs over the audit trail
    inbox      public-key encryption of the inbox: the gateway gets only the half that encrypts (`include.keys.inbox`)
    value      optional: the public key that seals sensitive values which the firm retains (`include.keys.values`)
    opening    the private key of a `value` key, under the same id: only in the keyring of the process that opens values

The text of a keyring lists keys as `purpose:key_id:secret`, separated by spaces; the secret is 64 hex digits. The last key of a purpose
encrypts. An earlier key only decrypts the content that it encrypted. Hash keys are never removed: see `include.sensitive`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from include.errors import ConfigurationError
from include.keys.inbox import Opener, ReceivingKey
from include.keys.sealer import Sealer
from include.keys.values import ValueKey, ValueOpener
from include.sensitive import Redactor

PURPOSES = ("hash", "seal", "staging", "audit", "inbox")
"""The purposes for which every firm has keys."""
OPENING = "opening"
_KNOWN = (*PURPOSES, "value", OPENING)
_KEY = re.compile(r"([a-z]+):([A-Za-z0-9._-]{1,40}):([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Key:
    """One key of 32 bytes.

    Attributes:
        purpose: One of `PURPOSES`, `value` or `opening`.
        key_id: Its name, unique for the purpose; not secret.
        secret: The key itself.
    """

    purpose: str
    key_id: str
    secret: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """An HMAC that identifies the key without revealing it, 32 hex digits."""
        if self.purpose == "inbox":
            return ReceivingKey.derive(self.key_id, self.secret).fingerprint
        if self.purpose == "value":
            return ValueKey(self.key_id, self.secret).fingerprint
        return hmac.new(self.secret, f"{self.purpose}:{self.key_id}".encode(), hashlib.sha256).hexdigest()[:32]


class Keyring:
    """All keys of a firm.

    Attributes:
        keys: The keys, in the order of the keyring's text.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self.keys = tuple(keys)

    @classmethod
    def parse(cls, text: str, purposes: Sequence[str] = PURPOSES) -> Keyring:
        """Read a keyring from its text.

        Args:
            text: The text.
            purposes: The purposes that must have a key. Pass fewer for a process that gets only some of the keys, such as one that only
                reads documents.

        Raises:
            ConfigurationError: A key is malformed, a purpose is unknown or has no key, or a key id is used twice for a purpose; or the
                keyring has a private key of values, and `purposes` does not include `opening`. The error gives a malformed key's
                position and not its text, which may contain a part of the secret.
        """
        keys = [_parse_key(place, each) for place, each in enumerate(text.split(), 1)]
        if missing := [purpose for purpose in purposes if purpose not in {key.purpose for key in keys}]:
            raise ConfigurationError(
                "The keyring has no key for a purpose; run `python -m include.cli generate-keys`, and append only the key of this purpose",
                purposes=",".join(missing),
            )
        if OPENING not in purposes and any(key.purpose == OPENING for key in keys):
            raise ConfigurationError(
                "The keyring has a private key that opens sensitive values; tasks must not have it: remove the key `opening:...`"
            )
        names = [(key.purpose, key.key_id) for key in keys]
        if repeated := sorted({":".join(name) for name in names if names.count(name) > 1}):
            raise ConfigurationError(
                "The keyring has two keys of the same id: remove the copy, or give the newer key another id",
                keys=",".join(repeated),
            )
        return cls(keys)

    @cached_property
    def redactor(self) -> Redactor:
        """A redactor with the hash keys of this keyring. If there are none, it can't hash values."""
        public = [ValueKey(*each) for each in self._keys_of("value").items()]
        return Redactor(*self._keys_of("hash").values(), sealing_key=public[-1] if public else None)

    @cached_property
    def sealer(self) -> Sealer:
        """The sealer for secrets that must be stored."""
        return self._make_sealer("seal")

    @cached_property
    def staging(self) -> Sealer:
        """The sealer for files of the staging folder and cached responses of vendors."""
        return self._make_sealer("staging")

    @property
    def audit(self) -> dict[str, bytes]:
        """The keys of the audit trail by key id, the current one last."""
        return self._keys_of("audit")

    @cached_property
    def inbox(self) -> Opener:
        """The opener for messages of the inbox."""
        return Opener(self._keys_of("inbox"))

    @cached_property
    def receiving_key(self) -> ReceivingKey:
        """The public half of the current inbox key, which encrypts."""
        return ReceivingKey.derive(*list(self._keys_of("inbox").items())[-1])

    @property
    def opener(self) -> ValueOpener:
        """The opener of sensitive values that the firm retains."""
        return ValueOpener(self._keys_of(OPENING))

    @property
    def registered(self) -> Keyring:
        """This keyring as the database registers it: with the public key in place of each private key that opens values."""
        return Keyring(
            Key("value", key.key_id, ValueKey.derive(key.key_id, key.secret).public) if key.purpose == OPENING else key
            for key in self.keys
        )

    def _make_sealer(self, purpose: str) -> Sealer:
        return Sealer(self._keys_of(purpose))

    def _keys_of(self, purpose: str) -> dict[str, bytes]:
        return {key.key_id: key.secret for key in self.keys if key.purpose == purpose}


def generate_value_key(key_id: str) -> tuple[str, str]:
    """Return the texts of a new key pair for sensitive values: the entry `value` for tasks, and the entry `opening` with the private key."""
    secret = secrets.token_bytes(32)
    return f"value:{key_id}:{ValueKey.derive(key_id, secret).public.hex()}", f"{OPENING}:{key_id}:{secret.hex()}"


def generate(key_id: str, purposes: Sequence[str] = PURPOSES) -> str:
    """Return the text of a new keyring with one random key for each purpose."""
    return " ".join(f"{purpose}:{key_id}:{secrets.token_hex(32)}" for purpose in purposes)


def _parse_key(place: int, text: str) -> Key:
    match = _KEY.fullmatch(text)
    if not match or match[1] not in _KNOWN:
        raise ConfigurationError(
            "A key of the keyring is not `purpose:key_id:secret`, with a secret of 64 hex digits",
            place=place, purposes=",".join(_KNOWN),
        )  # fmt: skip
    return Key(match[1], match[2], bytes.fromhex(match[3]))
