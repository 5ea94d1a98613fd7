"""A storm of webhooks during which the gateway is killed: each event has one effect, whatever the order and the repeats."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from local.postgres import Postgres
from local.processes import find_free_port
from sandbox.docusign import life
from sandbox.docusign.message import sign, write_message
from sandbox.docusign.rows import TEMPLATES, write_envelope, write_guid
from tests.conftest import Database, new_database
from tests.firm_keys import KEYRING, register_inbox_key
from tests.pipeline.test_inbox import Inbox

ROOT = Path(__file__).parents[2]
KEY = "only-for-tests"
SENDERS, COPIES = 50, 10
START = datetime(2026, 11, 20, 15, tzinfo=UTC)


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    """A database of the test's own, so that storms do not share envelopes."""
    with new_database(postgres) as database:
        yield database


class Gateway:
    """The gateway as a process of its own, which can be killed and restarted on the same port."""

    def __init__(self, database: Database) -> None:
        register_inbox_key(database)
        self.port = find_free_port()
        self._settings = {
            "TRIBUTARY_GATEWAY_DATABASE": database.url("tributary_gateway"),
            "TRIBUTARY_RECEIVING_KEY": KEYRING.receiving_key.text,
            "DOCUSIGN_CONNECT_SECRETS": KEY,
        }
        self.url = f"http://127.0.0.1:{self.port}/webhooks/docusign"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "include.gateway", "--port", str(self.port)]
        self._process = subprocess.Popen(command, cwd=ROOT, env=os.environ | self._settings, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(20)


@contextmanager
def running(database: Database) -> Iterator[Gateway]:
    gateway = Gateway(database)
    try:
        yield gateway
    finally:
        gateway.kill()


def draw_lives(events: int, seed: int) -> tuple[list[bytes], dict[str, str]]:
    """Draw this many messages of invented envelopes; return them and each envelope's final status."""
    draw, bodies, ends = random.Random(seed), list[bytes](), dict[str, str]()
    for number in itertools.count():
        at = START + timedelta(minutes=number)
        people = [(f"Signer {n} Sample", f"s{n}@client.example") for n in range(draw.randint(1, 3))]
        envelope: dict[str, Any] = write_envelope(
            write_guid(seed, number), TEMPLATES[number % 4], people, None, None, at
        )
        steps: list[Any] = [lambda e, t: life.launch(e, t)]
        steps += [lambda e, t, n=n: life.deliver(e, str(n + 1), t) for n in range(len(people))]
        match draw.choice(("complete", "complete", "decline", "void", "wait")):
            case "complete":
                steps += [lambda e, t, n=n: life.sign(e, str(n + 1), t) for n in range(len(people))]
            case "decline":
                steps.append(lambda e, t: life.decline(e, "1", "not mine", t))
            case "void":
                steps.append(lambda e, t: life.void(e, "a mistake", t))
        for n, step in enumerate(steps):
            when = at + timedelta(seconds=n + 1)
            try:
                events_sent = step(envelope, when)
            except life.Impossible:
                continue  # the step is impossible in this state
            for event, recipient in events_sent:
                stamp = when.strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
                bodies.append(write_message(envelope, event, generated_at=stamp, recipient_id=recipient))
                ends[envelope["envelopeId"]] = envelope["status"]
                if len(bodies) == events:
                    return bodies, ends
    raise AssertionError


def send_storm(gateway: Gateway, bodies: list[bytes], seed: int) -> None:
    """Send every message many times, shuffled, from many threads, retrying each until it is acknowledged."""
    copies = bodies * COPIES
    random.Random(seed).shuffle(copies)
    local, deadline = threading.local(), time.monotonic() + 240

    def send(body: bytes) -> None:
        if not hasattr(local, "http"):
            local.http = requests.Session()
        while time.monotonic() < deadline:
            try:
                response = local.http.post(gateway.url, data=body, headers=sign(body, [KEY]), timeout=30)
            except requests.RequestException:
                time.sleep(0.2)
                continue
            if response.status_code == 200:
                return
            assert response.status_code in (429, 503), response.text
            time.sleep(0.2)
        raise TimeoutError

    with ThreadPoolExecutor(SENDERS) as senders:
        sending = [senders.submit(send, body) for body in copies]
        for share in (3, 2):  # after a third, and after half of the rest
            expected = sum(each.done() for each in sending) + len([e for e in sending if not e.done()]) // share
            while sum(each.done() for each in sending) < expected:
                time.sleep(0.05)
            gateway.kill()
            gateway.start()
        for each in sending:
            each.result()


@pytest.mark.parametrize("events", [60, pytest.param(1000, marks=pytest.mark.long)])
def test_after_a_storm_every_event_has_one_effect_and_every_envelope_ends_as_it_did(
    database: Database, tmp_path: Path, events: int
) -> None:
    bodies, ends = draw_lives(events, seed=events)
    box = Inbox(database, tmp_path)
    with running(database) as gateway:
        send_storm(gateway, bodies, seed=events)

        assert box.drain() == events  # each event is stored exactly once

    envelopes = database.rows("select envelope_key, status from warehouse.envelope where recorded_to is null")
    theirs = {"created": "draft", "signed": "delivered"}
    assert {row["envelope_key"]: row["status"] for row in envelopes} == {
        name: theirs.get(status, status) for name, status in ends.items()
    }
    assert len(envelopes) == len(ends)
    assert database.value("select sum(copies) from control.inbox") >= events * COPIES
    assert box.errors() == [None] * events
    assert database.value("select count(*) from control.dead_letter") == 0
    box.engine.dispose()
