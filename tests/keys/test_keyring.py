"""A keyring's text: what it may hold, and what is refused without showing a secret."""

from __future__ import annotations

import pytest

from include.errors import ConfigurationError
from include.keys.keyring import PURPOSES, Key, Keyring, generate

SECRET = "5ec2e7" + 58 * "0"
HASH, SEAL, STAGING, AUDIT, INBOX = (f"{purpose}:a:{SECRET}" for purpose in PURPOSES)


def test_generated_keyring_has_a_random_key_for_each_purpose() -> None:
    first, second = (Keyring.parse(generate("2026-11")) for _ in range(2))
    assert [(key.purpose, key.key_id) for key in first.keys] == [(purpose, "2026-11") for purpose in PURPOSES]
    assert len({key.secret for key in (*first.keys, *second.keys)}) == 2 * len(PURPOSES)
    assert {len(key.secret) for key in first.keys} == {32}


def test_order_of_purposes_and_white_space_do_not_matter() -> None:
    assert Keyring.parse(f"  {STAGING} {SEAL}\n{AUDIT} {INBOX} {HASH} ").redactor.hash("x") == Keyring.parse(
        f"{HASH} {SEAL} {STAGING} {AUDIT} {INBOX}"
    ).redactor.hash("x")


@pytest.mark.parametrize(
    "malformed",
    ["x", SECRET, f"hash:{SECRET}", f"hash:a:{SECRET[:-1]}", f"hash:a:{SECRET}0", f"hash:a:{SECRET.upper()}", f"hash::{SECRET}", f"hash:ä:{SECRET}", f"sign:a:{SECRET}"],
)  # fmt: skip
def test_malformed_key_is_refused_by_its_place_and_not_shown(malformed: str) -> None:
    with pytest.raises(ConfigurationError, match="place=2") as refused:
        Keyring.parse(f"{SEAL} {malformed} {HASH} {STAGING} {AUDIT} {INBOX}")
    assert "5EC2E7" not in str(refused.value).upper()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no key for a purpose.*purposes=hash,seal,staging,audit,inbox"),
        (HASH, "no key for a purpose.*purposes=seal,staging,audit,inbox"),
        (f"{HASH} {SEAL} {STAGING} {AUDIT} {INBOX} {SEAL}", "two keys of the same id.*keys=seal:a"),
    ],
)
def test_incomplete_or_ambiguous_keyring_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as refused:
        Keyring.parse(text)
    assert SECRET not in str(refused.value)


def test_nothing_shows_a_secret() -> None:
    keyring = Keyring.parse(f"{HASH} {SEAL} {STAGING} {AUDIT} {INBOX}")
    assert SECRET not in repr(keyring.keys)
    assert repr(bytes.fromhex(SECRET)) not in repr(keyring.keys)


def test_fingerprint_depends_on_the_secret_the_id_and_the_purpose() -> None:
    secret = bytes.fromhex(SECRET)
    keys = [
        Key("hash", "a", secret),
        Key("hash", "a", secret[::-1]),
        Key("hash", "b", secret),
        Key("seal", "a", secret),
    ]
    assert len({key.fingerprint for key in keys}) == len(keys)
    assert not any(SECRET[:8] in key.fingerprint for key in keys)


def test_last_key_of_a_purpose_is_the_current_one() -> None:
    keyring = Keyring.parse(f"{generate('a')} {generate('b')}")
    current = keyring.sealer.current, keyring.staging.current, keyring.receiving_key.key_id, [*keyring.audit][-1]
    assert current == ("b", "b", "b", "b")


def test_a_process_that_reads_documents_needs_no_other_key() -> None:
    keyring = Keyring.parse(STAGING, ("staging",))
    assert keyring.staging.open_file(keyring.staging.seal_file(b"%PDF", "p"), "p") == b"%PDF"
