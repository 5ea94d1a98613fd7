"""Connect: messages about envelopes. They are stored, sent by a separate thread, and retried after a failure.

Documented:

- A 2xx response within 100 seconds acknowledges a message. A republished message has a new body.
- Without `requiresAcknowledgement` there are no retries.
- With `requiresAcknowledgement`, a failure marks the configuration as down. Later messages are queued as "Pending" without an
  attempt. The first success sends all of them, in order. There are ten retries, one a day.

Sources conflict about the time between retries; the edit `retries` changes it.

Our choices:

- Messages are sent one at a time.
- A restart resumes where it stopped, and may send a message twice.
- The time between retries follows the sandbox's clock and pace. The wait for an acknowledgement follows the machine's clock.
"""

import contextlib
import random
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import requests

from sandbox.docusign.life import Envelope, Event
from sandbox.docusign.message import sign, write_message
from sandbox.docusign.stamps import write_stamp
from sandbox.docusign.store import Store
from sandbox.server.clock import Clock

__all__ = ["RETRIES", "Sender", "sign", "write_message"]

RETRIES, ACK_SECONDS = (86_400,) * 10, 100.0
_COUNTS = "select state, count(*) as n, sum(attempts) as attempts from message group by state"
_WAITING = "select * from message where config_id = ? and state = 'waiting' order by id limit ?"
_LOOK_SECONDS = 0.05  # how soon a thread notices that the clock was set


@dataclass
class Sender:
    """Sends the messages of one store.

    Attributes:
        store: The store of configurations and messages.
        clock: The sandbox's time, for timestamps and retries.
        pace: Divisor of the waits between retries: at 24, a day becomes an hour of the sandbox's clock.
    """

    store: Store
    clock: Clock
    pace: float = 1.0
    _thread: threading.Thread | None = None
    _stopped: threading.Event = field(default_factory=threading.Event)
    _woken: threading.Event = field(default_factory=threading.Event)
    _session: requests.Session = field(default_factory=requests.Session)

    def start(self) -> None:
        """Start the thread that sends messages."""
        self._stopped.clear()
        self._thread = threading.Thread(target=self._run, name="docusign-connect", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop sending. A request in progress is abandoned, and its message is sent again after a restart."""
        self._stopped.set()
        self._woken.set()
        if self._thread:
            self._thread.join(0.5)

    def publish(self, envelope: Envelope, events: Iterable[Event]) -> None:
        """Queue a message for every event and every configuration that subscribes to the event."""
        for config_id, config in self.list_configs():
            for event, recipient_id in events:
                if has_event(config, envelope, event):
                    self._queue(config_id, envelope, event, recipient_id)
        self._woken.set()

    def republish(self, envelope: Envelope) -> list[tuple[int, dict[str, Any]]]:
        """Queue the envelope's failed messages again, for each configuration, with the envelope's current state.

        A configuration without a failed message gets one message about the envelope's current status.

        Returns:
            The configurations with their ids.
        """
        configs = []
        for config_id, config in self.list_configs():
            failed = self.store.read(
                "select * from message where envelope_id = ? and config_id = ? and (state = 'failed' or"
                " (state = 'waiting' and error != ''))",
                envelope["envelopeId"],
                config_id,
            )
            events: list[Event] = [(row["event"], row["recipient_id"]) for row in failed]
            with self.store.write() as connection:
                connection.executemany("delete from message where id = ?", [(row["id"],) for row in failed])
                for event, recipient_id in events or [(f"envelope-{envelope['status']}", None)]:
                    self._queue(config_id, envelope, event, recipient_id, is_now=True)
            configs.append((config_id, config))
        self._woken.set()
        return configs

    def _queue(
        self, config_id: int, envelope: Envelope, event: str, recipient_id: str | None, is_now: bool = False
    ) -> None:
        now = self.clock.now()
        with self.store.write() as connection:
            sql = "select max(due_at) from message where config_id = ? and state = 'waiting'"
            down_until = connection.execute(sql, (config_id,)).fetchone()[0] or 0
            if is_now:
                connection.execute(
                    "update message set due_at = 0 where config_id = ? and state = 'waiting'", (config_id,)
                )
            is_pending = not is_now and down_until > now.timestamp()
            connection.execute(
                "insert into message (config_id, envelope_id, event, recipient_id, generated_at, envelope, due_at, error)"
                " values (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(config_id, envelope["envelopeId"], event, recipient_id, write_stamp(now)),
                    *(
                        orjson.dumps(envelope).decode(),
                        down_until if is_pending else 0,
                        "Pending" if is_pending else "",
                    ),
                ),
            )

    def list_configs(self) -> list[tuple[int, dict[str, Any]]]:
        """Return the id and the fields of every configuration."""
        rows = self.store.read("select id, body from config order by id")
        return [(row["id"], orjson.loads(row["body"])) for row in rows]

    def count(self) -> dict[str, int]:
        """Return the number of posts (`sent`, with copies and retries), and the number of messages by state."""
        rows = {row["state"]: row for row in self.store.read(_COUNTS)}
        counts = {
            state: rows[state]["n"] if state in rows else 0 for state in ("acknowledged", "failed", "lost", "waiting")
        }
        return {"sent": sum(row["attempts"] for row in rows.values())} | counts

    def wait(self, seconds: float) -> dict[str, int]:
        """Wait up to `seconds` of real time until all messages have been sent or have failed. Return the result of `count`."""
        deadline = time.monotonic() + seconds
        while (counts := self.count())["waiting"] and time.monotonic() < deadline:
            time.sleep(0.01)
        return counts

    def _run(self) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(sqlite3.ProgrammingError):  # the store was closed in the meantime
                served = [self._serve(config_id, config) for config_id, config in self.list_configs()]
                if any(served):
                    continue
            self._woken.wait(_LOOK_SECONDS if self._is_waiting() else None)
            self._woken.clear()  # before the next query: it waits for a transaction that set this, so no message is missed

    def _is_waiting(self) -> bool:
        """Return whether any message is waiting. It may become due when the clock is set."""
        with contextlib.suppress(sqlite3.ProgrammingError):  # as above
            return bool(self.store.read("select 1 from message where state = 'waiting' limit 1"))
        return False

    def _serve(self, config_id: int, config: Mapping[str, Any]) -> bool:
        """Send the due messages of one configuration until one fails. Return whether any message was due."""
        disturbed = self.store.find("disturb", {})
        rows = self.store.read(_WAITING, config_id, max(int(disturbed.get("shuffle", 1)), 1))
        if not rows or rows[0]["due_at"] > self.clock.now().timestamp():
            return False
        draw = random.Random(f"{disturbed.get('seed', 0)}:{rows[0]['id']}:{rows[0]['retry_count']}")
        if len(rows) > 1:
            draw.shuffle(rows)
        for row in rows:
            if self._stopped.is_set():
                break
            if draw.random() < disturbed.get("lost", 0):
                self._settle(row, "lost", "", 0)
                continue
            if not self._deliver(row, config, max(int(disturbed.get("copies", 1)), 1)):
                break
        return True

    def _deliver(self, row: sqlite3.Row, config: Mapping[str, Any], copies: int) -> bool:
        """Send one message `copies` times. Return whether the receiver acknowledged at least one copy."""
        data = config.get("eventData", {}).get("includeData", ())
        body = write_message(
            orjson.loads(row["envelope"]),
            row["event"],
            generated_at=row["generated_at"],
            recipient_id=row["recipient_id"],
            configuration_id=row["config_id"],
            retry_count=row["retry_count"],
            include=data,
        )
        keys = self.store.find_keys() if config.get("includeHMAC") == "true" else []
        headers = {"Content-Type": "application/json; charset=utf-8", **sign(body, keys)}
        errors = [self._post(config["urlToPublishTo"], body, headers) for _ in range(copies)]
        if "" in errors:
            self._settle(row, "acknowledged", "", copies)
            return True
        self._fail(row, config, errors[-1], copies)
        return False

    def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> str:
        """Post a message. Return the reason why it was not acknowledged, or an empty text if it was."""
        seconds = self.store.find("retries", {}).get("ack_seconds", ACK_SECONDS)
        try:
            answer = self._session.post(url, body, headers=headers, timeout=seconds, allow_redirects=False)
        except requests.RequestException as error:
            return type(error).__name__
        return "" if 200 <= answer.status_code < 300 else f"HTTP {answer.status_code}"

    def _settle(self, row: sqlite3.Row, state: str, error: str, attempts: int) -> None:
        with self.store.write() as connection:
            connection.execute(
                "update message set state = ?, error = ?, attempts = attempts + ?, tried_at = ? where id = ?",
                (state, error, attempts, self.clock.now().timestamp(), row["id"]),
            )

    def _fail(self, row: sqlite3.Row, config: Mapping[str, Any], error: str, attempts: int) -> None:
        """Record a failed attempt. If the configuration retries, delay all of its waiting messages until the next retry."""
        retries = self.store.find("retries", {}).get("seconds", RETRIES)
        is_acknowledged, retry_count = config.get("requiresAcknowledgement") == "true", row["retry_count"]
        is_last = not is_acknowledged or retry_count >= len(retries)
        with self.store.write() as connection:
            self._settle(row, "failed" if is_last else "waiting", error, attempts)
            if is_acknowledged and retries:
                due_at = self.clock.now().timestamp() + retries[min(retry_count, len(retries) - 1)] / self.pace
                connection.execute(
                    "update message set due_at = ?, error = iif(error = '', 'Pending', error)"
                    " where config_id = ? and state = 'waiting'",
                    (due_at, row["config_id"]),
                )
            if not is_last:
                connection.execute("update message set retry_count = retry_count + 1 where id = ?", (row["id"],))


def has_event(config: Mapping[str, Any], envelope: Envelope, event: str) -> bool:
    """Return whether a configuration subscribes to an event of this envelope."""
    users = config.get("userIds", ())
    is_followed = config.get("allUsers") == "true" or envelope["sender"]["userId"] in users
    return config.get("allowEnvelopePublish") == "true" and is_followed and event in config.get("events", ())
