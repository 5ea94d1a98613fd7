"""Replace sensitive values by a keyed hash and their last four characters; mask tax ids in all other values.

The last four are kept only if at least four more characters stay hidden. In rows that are stored as text (dead letters), the token
`hmac:<hash>:<last4>` replaces the value, and a replay reads hash and last four from the token. The clear value is never written. Where a firm
needs the value, it is also sealed with a public key (`include.keys.values`).

A value is hashed under the firm's hash keys, one after the other: HMAC-SHA256 of the value under the first key, then of the 64 hex digits
of each result under the next key. If `n` keys, more than one, were used, `~n` follows the digits. So a stored hash can be lifted to more
keys: only the keys that it lacks are applied, and the value is not needed.

A tax id can also be in a free text, or in the wrong column if a vendor shifts columns. There, all but its last four digits are masked:
`***-**-6789` or `*****6789`. An account number has no form by which it could be found: it is masked in the other texts of its own row.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Protocol

from include.errors import ConfigurationError

_TOKEN = re.compile(r"hmac:([0-9a-f]{64}(?:~[0-9]+)?)?:(.{0,4})(?::(ein|ssn))?")
# A stored hash: a whole text, or a whole part of one between colons (a key of several values, a token) or quotes (JSON).
_HASH = re.compile(r'(?<![^":])([0-9a-f]{64})(?:~([0-9]+))?(?![^":])')
# Characters and words that replace hidden digits. A single X or a word counts only before the last digits, because real numbers may contain them.
_MASK = re.compile(
    r"[*•●·…]|\.{2,}|X{2,}|^X(?=\d{1,4}$)|^(?:A(?:CCOUNT|CCT\.?)|CARD)?(?:NO\.?|NUMBER|#)?END(?:ING|S)(?:IN|WITH)?:?(?=[*X]*\d{0,4}$)"
)
_SHOWN = 4

# A person's tax id as it is usually written (SSN, ITIN: 123-45-6789), or nine digits soon after a word that names a tax id. If the word
# is a JSON key, only a text is masked, because a masked number would not be valid JSON.
FORM = "_form"
"""Ending of the name of a staged column with the form of a tax id."""
_FORMS = {"ein": re.compile(r"[0-9]{2}-[0-9]{7}"), "ssn": re.compile(r"[0-9]{3}-[0-9]{2}-[0-9]{4}")}
_WORDS = r"ssn|\bitin|\btin|tax[ _]?(?:payer[ _]?)?id|social[ _]security"
MASKS = (
    (r"(^|\D)\d{3}-\d{2}-(\d{4})(\D|$)", r"\1***-**-\2\3"),
    (rf'(?i)({_WORDS})("?[^0-9"]{{0,4}}"|[^0-9"]{{0,15}})\d{{5}}(\d{{4}})(\D|$)', r"\1\2*****\3\4"),
)
"""Pairs of a regular expression for tax ids in text, and its replacement. Both work in Python and in RE2 (Arrow)."""
MAY_HOLD_TAX_ID = rf"\d{{3}}-\d{{2}}-\d{{4}}|(?i:{_WORDS})\D{{0,15}}\d{{9}}"
"""A regular expression that matches every text in which one of `MASKS` matches."""
HAS_DIGITS = re.compile(r"(?:[0-9][^0-9]*){4}")
"""A regular expression that matches every text in which `mask_own` masks a value."""
_SEPARATORS = re.compile(r"[\s-]")
_NINE_DIGITS = re.compile(r"\d{5}(\d{4})")


def mask_tax_ids(text: str) -> str:
    """Return a text with every tax id masked except its last four digits."""
    for pattern, replacement in (*MASKS, *MASKS):  # twice: two tax ids may share the character between them
        text = re.sub(pattern, replacement, text, flags=re.ASCII)
    return text


def mask_own(text: str, *values: str) -> str:
    """Return a text in which the sensitive values of its row are masked except their last four characters, whatever the separators.

    Masked values and values of fewer than eight characters or four digits are not searched for: they may be ordinary words.
    """
    for value in values:
        plain, found = (_SEPARATORS.sub("", each).upper() for each in (value, text))
        if plain in found and len(plain) >= 2 * _SHOWN and HAS_DIGITS.search(plain) and not _MASK.search(plain):
            pattern = r"[\s-]*".join(map(re.escape, plain))
            text = re.sub(pattern, "*" * (len(plain) - _SHOWN) + plain[-_SHOWN:], text, flags=re.IGNORECASE)
    return text


def mask_values(value: object, *own: str) -> object:
    """Return a JSON value with every tax id in its texts and names masked, and the row's own sensitive values in its texts."""
    if isinstance(value, str):
        return mask_own(mask_tax_ids(value), *own)
    if isinstance(value, list):
        return [mask_values(each, *own) for each in value]
    if isinstance(value, dict):
        return {mask_tax_ids(name): mask_values(each, *own) for name, each in value.items()}
    return value


def mask_digits(value: object, *own: str) -> object:
    """Mask a value that may be in the wrong column.

    A text or an integer of exactly nine digits may be a tax id, whatever blanks and dashes are between the digits: all but its last four
    digits are masked. In any other value, tax ids in texts are masked, as in `mask_values`.
    """
    is_text = isinstance(value, (str, int)) and not isinstance(value, bool)
    match = _NINE_DIGITS.fullmatch(re.sub(r"[\s-]", "", str(value))) if is_text else None
    return f"*****{match[1]}" if match else mask_values(value, *own)


def find_form(value: str | None) -> str | None:
    """Return how a tax id is written: `ein` (12-3456789) or `ssn` (123-45-6789); None for any other text. A token may contain the form."""
    if value is None:
        return None
    if token := _TOKEN.fullmatch(value):
        return token[3]
    return next((form for form, pattern in _FORMS.items() if pattern.fullmatch(value.strip())), None)


def describe_shape(text: str) -> str:
    """Return the shape of a text, without its content: letters become `a` or `A`, digits become `9`; other characters stay."""
    return "".join(
        "9" if char.isdigit() else "A" if char.isupper() else "a" if char.isalpha() else char for char in text
    )


def describe_token(value: str) -> str | None:
    """Return a sensitive value as pages show it, such as `hash 1a2b3c4d, ends in 6789`; None if the value is neither a token nor a hash."""
    token = _TOKEN.fullmatch(value)
    digits, last4 = (token[1], token[2]) if token else (value if _HASH.fullmatch(value) else None, "")
    if token is None and digits is None:
        return None
    parts = [f"hash {digits[:8]}" if digits else "no hash", f"ends in {last4}" if last4 else ""]
    return ", ".join(filter(None, parts))


def has_hash(text: str) -> bool:
    """Return whether a text is a hash, or has one as a part between colons or quotes."""
    return _HASH.search(text) is not None


class SealingKey(Protocol):
    """Seals a value so that this process can't open it; see `include.keys.values.ValueKey`."""

    def seal(self, value: str) -> bytes:
        """Return the sealed value."""


class Redactor:
    """Hash and mask sensitive values.

    Args:
        keys: Secrets of the firm, in the order in which they were introduced. A value has the same hash only under the same keys. Without
            keys, nothing can be hashed or lifted.
        sealing_key: Seals the values that the firm retains; None if it has no such key.
    """

    def __init__(self, *keys: bytes, sealing_key: SealingKey | None = None) -> None:
        self._keys, self._sealing_key = keys, sealing_key

    @property
    def length(self) -> int:
        """Number of keys under which a value is hashed."""
        return len(self._keys)

    def lift(self, text: str) -> str:
        """Return a text in which every hash that was made with fewer keys is lifted to all keys.

        A hash is 64 hex digits, perhaps followed by `~n`, if they are the whole text or a part between colons or quotes.

        Raises:
            ConfigurationError: A hash was made with more keys than this redactor has.
        """
        return _HASH.sub(self._lift, text) if self._keys else text

    def _lift(self, match: re.Match[str]) -> str:
        used = int(match[2] or 1)
        if used > self.length:
            raise ConfigurationError(
                "A stored hash was made with more hash keys than the keyring has: correct tributary_keys",
                used=used, keys=self.length,
            )  # fmt: skip
        return self._chain(match[1], used)

    def _chain(self, digits: str, used: int) -> str:
        for key in self._keys[used:]:
            digits = _hmac(key, digits)
        return f"{digits}~{self.length}" if self.length > 1 else digits

    def split(self, value: str | None) -> tuple[str | None, str | None]:
        """Return (hash, last four) of a value.

        Separators are ignored: `123-45-6789` equals `123456789`. A masked value (`***-**-6789`, `...6789`, `x6789`,
        `ending in 6789`) has no hash, so that it never replaces an unmasked value; its visible end is kept. An unmasked value of
        fewer than eight characters has no last four, because they would reveal most of the value.
        """
        if value is None:
            return None, None
        if token := _TOKEN.fullmatch(value):
            return token[1] and self.lift(token[1]), token[2] or None
        plain = re.sub(r"[\s-]", "", value).upper()
        if not plain:
            return None, None
        if masks := [mask.end() for mask in _MASK.finditer(plain)]:
            return None, plain[max(masks) :][-_SHOWN:] or None
        return self.hash(plain), plain[-_SHOWN:] if len(plain) >= 2 * _SHOWN else None

    def seal(self, value: str | None) -> bytes | None:
        """Seal a value as the vendor sent it; return None for a value without a hash and for a token, because these have no clear value.

        Raises:
            ConfigurationError: The keyring has no key for it.
        """
        if value is None or _TOKEN.fullmatch(value) or self.split(value)[0] is None:
            return None
        if self._sealing_key is None:
            raise ConfigurationError(
                "A connection retains sensitive values, but the keyring has no `value` key: add the public key to tributary_keys"
            )
        return self._sealing_key.seal(value)

    def hash(self, plain: str) -> str:
        """Return the keyed hash of a value: 64 hex digits, and `~n` if `n` keys, more than one, were used.

        The value is hashed as given: normalize it first.
        """
        return self._chain(_hmac(self._keys[0], plain), 1)

    def hash_key(self, value: str) -> str | None:
        """Return the hash of a key, without leading and trailing blanks; None for an empty text. For a token, return the hash inside it."""
        if token := _TOKEN.fullmatch(value):
            return token[1] and self.lift(token[1])
        return self.hash(value.strip()) if value.strip() else None

    def token_key(self, value: object) -> str:
        """Return the token that replaces a hashed key in a stored row: `hmac:<hash>:`, without the last four."""
        return f"hmac:{self.hash_key(str(value)) or ''}:"

    def token(self, value: object, *, has_form: bool = False) -> str:
        """Return the token that replaces a value in a stored row: `hmac:<hash>:<last4>`. A missing part is empty.

        With `has_form`, a value with a known form also gets `:<form>` at its end.
        """
        text = None if value is None else str(value)
        hashed, last4 = self.split(text)
        form = find_form(text) if has_form else None
        return f"hmac:{hashed or ''}:{last4 or ''}{f':{form}' if form else ''}"


def _hmac(key: bytes, text: str) -> str:
    return hmac.digest(key, text.encode(), hashlib.sha256).hex()
