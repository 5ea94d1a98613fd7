"""Which deliveries are accepted as the sender's."""

from __future__ import annotations

import base64
import hmac

import pytest
from starlette.datastructures import Headers

from include.contract.webhook import EchoedId, SignedBody
from include.errors import ConfigurationError
from include.gateway.problem import Refusal
from include.gateway.webhooks.authenticity import Head, Keyring, make_check
from tests.gateway.conftest import sign

SIGNED, ECHOED = make_check(SignedBody("X-Signed")), make_check(EchoedId("X-Client"))
BODY = '{"a":"é"}'.encode()
OLD, NEW = "an-old-key=", "a-new-key="
KNOWN = Keyring.of("one-id another-id", "203.0.113.0/24 2001:db8::/32")


def head(*headers: tuple[str, str], address: str = "203.0.113.7") -> Head:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    return Head(Headers(raw=raw), address)


def is_authentic(keys: str, *headers: tuple[str, str], body: bytes = BODY) -> bool:
    request_head, keyring = head(*headers), Keyring.of(keys)
    try:
        SIGNED.check_head(request_head, keyring)
        SIGNED.check_body(request_head, body, keyring)
    except Refusal as refusal:
        return refusal.status != 401
    return True


# --- a signature over the body ---


def test_signature_is_the_hmac_sha_256_of_the_raw_body_under_the_key_as_it_is_written() -> None:
    # RFC 4231, test case 2.
    digest = bytes.fromhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    signature = ("X-Signed-1", base64.b64encode(digest).decode())
    assert is_authentic("Jefe", signature, body=b"what do ya want for nothing?")


def test_signature_of_a_body_that_was_written_anew_is_not_its_own() -> None:
    assert not is_authentic(OLD, ("X-Signed-1", sign(BODY, OLD)), body=b'{"a": "\\u00e9"}')


@pytest.mark.parametrize("keys", [OLD, f"{OLD} {NEW}", f"{NEW} {OLD}", f"{NEW}\n{OLD}\n"])
def test_any_live_key_will_do(keys: str) -> None:
    assert is_authentic(keys, ("X-Signed-1", sign(BODY, OLD)))


@pytest.mark.parametrize("place", [1, 2, 17, 100])
def test_any_numbered_header_will_do(place: int) -> None:
    signatures = [(f"X-Signed-{n}", sign(BODY, f"retired-{n}")) for n in range(1, 101)]
    signatures[place - 1] = (f"X-SIGNED-{place}", sign(BODY, NEW))
    assert is_authentic(f"{OLD} {NEW}", *signatures)


@pytest.mark.parametrize(
    "header",
    [
        ("X-Signed-1", sign(BODY, "wrong")), ("X-Signed-1", ""), ("X-Signed-1", sign(BODY, OLD)[:-1]),
        ("X-Signed-1", sign(BODY, OLD).lower()), ("X-Signed-1", "é"), ("X-Signed-1", sign(BODY, "")),
        ("X-Signed", sign(BODY, OLD)), ("X-Signed-", sign(BODY, OLD)), ("X-Signed-1x", sign(BODY, OLD)),
        ("X-Signed-1-1", sign(BODY, OLD)), ("Not-X-Signed-1", sign(BODY, OLD)),
    ],
)  # fmt: skip
def test_anything_else_is_not_believed(header: tuple[str, str]) -> None:
    assert not is_authentic(OLD, header)


def test_without_a_signature_a_call_is_refused_by_its_headers() -> None:
    with pytest.raises(Refusal, match="Missing header X-Signed-1") as refusal:
        SIGNED.check_head(head(), Keyring.of(OLD))
    assert refusal.value.status == 401


def test_without_a_key_no_sender_is_accepted() -> None:
    with pytest.raises(Refusal, match="not configured") as refusal:
        SIGNED.check_head(head(("X-Signed-1", sign(BODY, ""))), Keyring.of("  "))
    assert refusal.value.status == 404
    with pytest.raises(Refusal):
        SIGNED.check_body(head(("X-Signed-1", sign(BODY, ""))), BODY, Keyring())


def test_each_signature_is_compared_with_each_key_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, another: bytes) -> bool:
        compared.append((one, another))
        return hmac_compare(one, another)

    hmac_compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert is_authentic(f"{OLD} {NEW}", ("X-Signed-1", sign(BODY, OLD)), ("X-Signed-2", sign(BODY, NEW)))
    assert len(set(compared)) == len(compared) == 4
    compared.clear()
    ECHOED.check_head(head(("X-Client", "one-id")), KNOWN)
    assert len(compared) == 2


# --- an id, from a network ---


@pytest.mark.parametrize("address", ["203.0.113.1", "::ffff:203.0.113.9", "2001:db8::1"])
@pytest.mark.parametrize("client", ["one-id", "another-id"])
def test_known_id_from_a_known_network_is_believed_and_sent_back(address: str, client: str) -> None:
    signature = head(("x-CLIENT", client), address=address)
    ECHOED.check_head(signature, KNOWN)
    assert ECHOED.answer(signature) == {"X-Client": client}


@pytest.mark.parametrize("address", ["198.51.100.1", "::ffff:198.51.100.1", "2001:db9::1", "::1", "", "testclient"])
def test_known_id_from_elsewhere_is_refused(address: str) -> None:
    with pytest.raises(Refusal, match="network") as refusal:
        ECHOED.check_head(head(("X-Client", "one-id"), address=address), KNOWN)
    assert refusal.value.status == 403


@pytest.mark.parametrize("headers", [[], [("X-Client", "")], [("X-Client", "one")], [("X-Client", "é")],
                                     [("X-Client", "one-id"), ("X-Client", "another-id")], [("Client", "one-id")]])  # fmt: skip
def test_unknown_id_is_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(Refusal, match="header X-Client") as refusal:
        ECHOED.check_head(head(*headers), KNOWN)
    assert refusal.value.status == 401
    assert "one-id" not in refusal.value.detail


@pytest.mark.parametrize("keyring", [Keyring(), Keyring.of("one-id"), Keyring.of("", "0.0.0.0/0")])
def test_sender_without_id_or_network_is_not_set_up(keyring: Keyring) -> None:
    with pytest.raises(Refusal) as refusal:
        ECHOED.check_head(head(("X-Client", "one-id")), keyring)
    assert refusal.value.status == 404


def test_any_network_can_be_allowed_explicitly() -> None:
    anywhere = Keyring.of("one-id", "0.0.0.0/0 ::/0")
    for address in ("198.51.100.1", "2001:db9::1"):
        ECHOED.check_head(head(("X-Client", "one-id"), address=address), anywhere)


# --- the firm's keys ---


def test_nothing_shows_a_secret() -> None:
    assert "one-id" not in repr(KNOWN)


@pytest.mark.parametrize("network", ["somewhere", "203.0.113.7/24", "203.0.113.0/24,198.51.100.0/24"])
def test_unreadable_network_is_reported(network: str) -> None:
    with pytest.raises(ConfigurationError, match="Invalid network") as error:
        Keyring.of("s3cret", network)
    assert "s3cret" not in str(error.value)
