"""Events go to public addresses and to the networks that the operator named, and to the checked address itself."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from include.outbound import post
from include.outbound.address import AddressNotAllowed, check, read_networks
from include.outbound.post import Answer, Sender
from tests.outbound.conftest import HERE, Firm, Receiver, subscribe

PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
INSIDE = [
    "127.0.0.1", "127.8.8.8", "::1", "0.0.0.0", "::", "10.0.0.5", "172.16.3.4", "192.168.1.1", "100.64.0.1", "fd12::1",
    "169.254.169.254", "fe80::1", "fe80::1%eth0", "fec0::1", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254",
    "224.0.0.1", "ff02::1", "ff0e::1", "240.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:a9fe:a9fe::",
    "2001:0:a9fe:a9fe::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_is_allowed(address: str) -> None:
    check([address], ())


@pytest.mark.parametrize("address", INSIDE)
def test_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(AddressNotAllowed):
        check([address], ())


@pytest.mark.parametrize("address", ["10.20.3.4", "::ffff:10.20.3.4", "fd12::7"])
def test_address_of_a_named_network_is_allowed(address: str) -> None:
    check([address], read_networks("10.20.0.0/16 fd12::/64"))


def test_host_with_one_address_that_is_not_public_is_refused() -> None:
    with pytest.raises(AddressNotAllowed):
        check([*PUBLIC, "10.0.0.5"], ())


@pytest.fixture
def resolve_names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Replaces name resolution: each lookup returns the next of these address lists; returns the hosts looked up."""

    def resolve(*address_lists: list[str]) -> list[str]:
        hosts: list[str] = []

        def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
            hosts.append(host)
            addresses = address_lists[min(len(hosts), len(address_lists)) - 1]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        return hosts

    return resolve


def test_call_goes_to_the_address_that_was_checked(receiver: Receiver, resolve_names: Callable[..., list[str]]) -> None:
    hosts = resolve_names(["127.0.0.1"], ["127.0.0.9"])
    with Sender() as sender:
        sender.post(f"http://hooks.example.com:{receiver.port}/", {}, b"{}", read_networks(HERE))
    assert hosts == ["hooks.example.com"]
    assert receiver.heads[0]["host"] == f"hooks.example.com:{receiver.port}"
    receiver.errors.clear()  # the call was not signed


@pytest.mark.parametrize("written", ["localhost", "127.1", "2130706433", "0x7f.0.0.1", "[::ffff:127.0.0.1]", "0"])
def test_call_to_this_machine_is_refused_however_it_is_written(receiver: Receiver, written: str) -> None:
    with Sender() as sender:
        answer = sender.post(f"http://{written}:{receiver.port}/", {}, b"{}")
    assert answer == Answer(error="AddressNotAllowed")
    assert receiver.connections == 0


def test_name_that_points_inside_after_it_was_checked_reaches_nothing(
    quiet: Firm, receiver: Receiver, resolve_names: Callable[..., list[str]]
) -> None:
    resolve_names(["93.184.216.34"], ["93.184.216.34"], ["127.0.0.1"])
    quiet.subscribers = [subscribe(f"https://hooks.example.com:{receiver.port}/", networks="")]
    quiet.deliver()
    quiet.happen("a")
    quiet.deliver()
    [delivery] = quiet.deliveries()
    assert (delivery["status"], delivery["last_error"]) == ("waiting", "AddressNotAllowed")
    assert receiver.connections == 0


def test_subscriber_whose_name_points_inside_is_unreadable_and_its_events_wait(
    quiet: Firm, resolve_names: Callable[..., list[str]]
) -> None:
    resolve_names(["169.254.169.254"])
    quiet.subscribers = [subscribe("https://hooks.example.com/", networks="")]
    quiet.deliver()
    state, reason = quiet.state()
    assert state == "unreadable"
    assert reason.startswith("The address 169.254.169.254 is not public")
    assert quiet.deliver().failed == 0


def test_subscriber_whose_name_is_not_found_keeps_its_place(quiet: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    quiet.subscribers = [subscribe("https://hooks.example.com/", networks="")]
    quiet.deliver()
    quiet.happen("a")
    assert quiet.deliver().failed == 1
    assert quiet.state() == ("active", "")


def test_second_address_is_tried_where_the_first_does_not_respond(
    receiver: Receiver, resolve_names: Callable[..., list[str]]
) -> None:
    resolve_names(["127.0.0.2", "127.0.0.1"])  # the receiver listens on one address only
    with Sender() as sender:
        answer = sender.post(f"http://hooks.example.com:{receiver.port}/", {}, b"{}", read_networks(HERE))
    assert answer.status == 400
    receiver.errors.clear()


# --- TLS: the name is verified, not the address ---


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, list[str | None]]]:
    """A TLS port with a trusted certificate of hooks.example.com, and the server names that clients request."""
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_make_certificate(tmp_path, "hooks.example.com"))
    context.set_servername_callback(lambda _, name, __: names.append(name))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    post._tls.cache_clear()
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=_respond, args=(listener, context))
    thread.start()
    yield listener.getsockname()[1], names
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)
    post._tls.cache_clear()


def _make_certificate(folder: Path, name: str) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject).issuer_name(subject).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "certificate.pem"
    path.write_bytes(secret + certificate.public_bytes(pem))
    return path


def _respond(listener: socket.socket, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
                request = b""
                while not request.endswith(b"{}") and (
                    piece := secured.recv(65536)
                ):  # unread bytes would reset the connection
                    request += piece
                secured.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")


def test_certificate_is_verified_by_name(
    secure: tuple[int, list[str | None]], resolve_names: Callable[..., list[str]]
) -> None:
    port, names = secure
    resolve_names(["127.0.0.1"])
    with Sender() as sender:
        answers = [
            sender.post(f"https://{host}.example.com:{port}/", {}, b"{}", read_networks(HERE))
            for host in ("hooks", "other")
        ]
    assert answers == [Answer(204), Answer(error="ConnectError")]
    assert names == ["hooks.example.com", "other.example.com"]
