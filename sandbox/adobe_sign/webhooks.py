"""Adobe Acrobat Sign's webhooks. They are stored on disk; one thread per webhook sends its notifications in order.

Documented:

- A delivery fails unless the receiver responds within five seconds with the client id, in the header `X-ADOBESIGN-CLIENTID` or in
  JSON.
- A failing delivery blocks all later ones of the webhook.
- Retries follow after a minute, then after twice the last wait, up to twelve hours.
- After 72 hours of failures the webhook becomes inactive, and its notifications are lost.

Our choices: the waits are divided by `pace`. Notifications are sent in order and once, unless `disturb` changes that.
"""

import contextlib
import random
import sqlite3
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import orjson

from sandbox.adobe_sign.agreements import Agreement, Event
from sandbox.adobe_sign.messages import write_message
from sandbox.server.clock import Clock
from sandbox.server.response import write_moment

__all__ = ["Webhooks", "is_echoed", "verify_intent", "write_message"]

Row = dict[str, Any]

CLIENT_HEADER = "X-ADOBESIGN-CLIENTID"
ANSWER_SECONDS = 5.0
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 60, 12 * 3600
GIVE_UP_SECONDS = 72 * 3600
_NAMES = uuid.UUID("6c9a4d1e-5e0b-5f57-9f0e-2f3a1b7c8d90")
_GLANCE_SECONDS = 0.05  # how soon a thread notices that the clock was set

_TABLES = """
create table if not exists webhook (id text primary key, body text not null) without rowid;
create table if not exists message (number integer primary key, webhook text not null, state text not null,
    position real not null, retry_at real not null default 0, attempts int not null default 0,
    first_failed_at real, body blob);
create index if not exists message_waiting on message (webhook, position, number) where state = 'waiting';
"""


class Webhooks:
    """The webhooks of one sandbox, and their notifications (messages).

    Args:
        state: State folder of the sandbox.
        clock: The sandbox's time.
        pace: Divisor of the waits between retries: at 60, an hour becomes a minute of the sandbox's clock.
    """

    def __init__(self, state: Path, clock: Clock, pace: float) -> None:
        self.clock, self.pace = clock, pace
        self._changed = threading.Condition()
        self._database = sqlite3.connect(
            state / "adobe_sign.sqlite3", isolation_level=None, timeout=60, check_same_thread=False
        )
        self._database.execute("pragma journal_mode=wal")
        self._database.execute("pragma synchronous=off")
        self._database.executescript(_TABLES)
        self._threads: dict[str, threading.Thread] = {}
        self._is_running = False
        self.disturb({})

    def list(self) -> list[Row]:
        """Return all webhooks, oldest first."""
        with self._changed:
            rows = [orjson.loads(body) for (body,) in self._database.execute("select body from webhook")]
        return sorted(rows, key=lambda row: (row["created"], row["id"]))

    def find(self, id_: str) -> Row | None:
        """Return the webhook with this id, or None if there is none."""
        with self._changed:
            row = self._database.execute("select body from webhook where id = ?", (id_,)).fetchone()
        return orjson.loads(row[0]) if row else None

    def save(self, webhook: Row) -> None:
        """Store a webhook. If it is inactive, its waiting notifications are lost."""
        with self._changed:
            self._database.execute(
                "insert or replace into webhook values (?, ?)", (webhook["id"], orjson.dumps(webhook))
            )
            if webhook["status"] != "ACTIVE":
                self._discard_waiting(webhook["id"])
            self._changed.notify_all()
        self._start_thread(webhook["id"])

    def delete(self, id_: str) -> None:
        """Delete a webhook. Its waiting notifications are lost."""
        with self._changed:
            self._database.execute("delete from webhook where id = ?", (id_,))
            self._discard_waiting(id_)
            self._changed.notify_all()

    def _discard_waiting(self, id_: str) -> None:
        statement = "update message set state = 'lost', body = null where webhook = ? and state = 'waiting'"
        self._database.execute(statement, (id_,))

    def emit(self, agreement: Agreement, first: int, user_ids: Mapping[str, str]) -> None:
        """Queue notifications of an agreement's events from index `first` on, for every webhook that subscribes to them.

        A notification is due at the time of its event, but not before the agreement's documents are processed. `user_ids` has
        the ids of the account's users, by email.
        """
        webhooks = self.list()
        for number, event in enumerate(agreement.events[first:], first):
            due = max(event.at, agreement.ready_at).timestamp()
            for webhook in webhooks:
                if _is_asked(webhook, agreement, event):
                    id_ = str(uuid.uuid5(_NAMES, f"{webhook['id']} {agreement.id} {number}"))
                    self._queue(webhook, due, write_message(webhook, agreement, event, id_, user_ids))

    def _queue(self, webhook: Row, due: float, body: bytes) -> None:
        insert = "insert into message (webhook, state, position, body) values (?, ?, ?, ?)"
        with self._changed:
            if webhook["status"] != "ACTIVE":
                self._database.execute(insert, (webhook["id"], "lost", due, None))
            elif self._random.random() < self._drop:
                self._database.execute(insert, (webhook["id"], "dropped", due, None))
            else:
                for _ in range(1 + self._duplicates):
                    position = due + self._random.random() * self._shuffle
                    self._database.execute(insert, (webhook["id"], "waiting", position, body))
            self._changed.notify_all()

    def disturb(self, values: Mapping[str, Any]) -> Row:
        """Disturb the notifications of all later events. Without values, stop disturbing.

        Args:
            values: Any of these:

                - `duplicates`: number of extra copies of each notification.
                - `shuffle`: maximum random delay, which changes the order, in seconds of the sandbox's clock.
                - `drop`: share of notifications that are never sent.
                - `seed`: seed of the random draws.


        Raises:
            ValueError: a value is invalid.
        """
        duplicates, shuffle, drop = (float(values.get(name, 0)) for name in ("duplicates", "shuffle", "drop"))
        if duplicates < 0 or shuffle < 0 or not 0 <= drop <= 1:
            raise ValueError("duplicates and shuffle must be at least 0, drop a share from 0 to 1")
        self._duplicates, self._shuffle, self._drop = int(duplicates), shuffle, drop
        self._random = random.Random(int(values.get("seed", 0)))
        return {"duplicates": self._duplicates, "shuffle": shuffle, "drop": drop}

    def count(self) -> dict[str, int]:
        """Return the numbers of messages by state (`waiting`, `delivered`, `dropped`, `lost`), and of `failed` attempts."""
        with self._changed:
            states = dict(self._database.execute("select state, count(*) from message group by state"))
            failed = self._database.execute("select coalesce(sum(attempts), 0) from message").fetchone()[0]
        return {name: states.get(name, 0) for name in ("waiting", "delivered", "dropped", "lost")} | {"failed": failed}

    def wait(self, seconds: float) -> dict[str, int]:
        """Wait up to `seconds` of real time until all messages are delivered, dropped or lost. Return the result of `count`."""
        with self._changed:
            self._changed.wait_for(self._is_quiet, seconds)
            return self.count()

    def _is_quiet(self) -> bool:
        return not self._database.execute("select 1 from message where state = 'waiting' limit 1").fetchone()

    def start(self) -> None:
        """Start the threads that send messages."""
        self._is_running = True
        for webhook in self.list():
            self._start_thread(webhook["id"])

    def stop(self) -> None:
        """Stop sending, and close the database. Waiting messages are sent after the next start."""
        with self._changed:
            self._is_running = False
            self._changed.notify_all()
        for thread in self._threads.values():
            thread.join(2 * ANSWER_SECONDS)
        self._threads.clear()
        self._database.close()

    def _start_thread(self, id_: str) -> None:
        if self._is_running and id_ not in self._threads:
            self._threads[id_] = threading.Thread(target=self._run, args=(id_,), name=f"webhook {id_}", daemon=True)
            self._threads[id_].start()

    def _run(self, id_: str) -> None:
        with httpx.Client(timeout=ANSWER_SECONDS, trust_env=False) as client:
            while message := self._await_message(id_):
                number, body, webhook = message
                is_delivered = _deliver(client, webhook, body)
                with self._changed:
                    self._record_outcome(number, id_, is_delivered)
                    self._changed.notify_all()

    def _await_message(self, id_: str) -> tuple[int, bytes, Row] | None:
        """Wait until the next message of a webhook is due, and return its number, body and webhook.

        Return None if the webhook was deleted, or if sending stops.
        """
        head = """select number, body, max(position, retry_at) from message
            where webhook = ? and state = 'waiting' order by position, number limit 1"""
        with self._changed:
            while self._is_running and (webhook := self.find(id_)):
                row = self._database.execute(head, (id_,)).fetchone()
                if row is None:
                    self._changed.wait()
                    continue
                seconds = self.clock.real_seconds(row[2] - self.clock.now().timestamp())
                if seconds <= 0:
                    return row[0], row[1], webhook
                self._changed.wait(min(seconds, _GLANCE_SECONDS))
            if self._is_running:
                del self._threads[id_]
            return None

    def _record_outcome(self, number: int, webhook: str, is_delivered: bool) -> None:
        """Record the result of an attempt: mark the message as delivered, schedule a retry, or deactivate the webhook."""
        if is_delivered:
            self._database.execute("update message set state = 'delivered', body = null where number = ?", (number,))
            return
        now = self.clock.now().timestamp()
        failed = self._database.execute(
            "update message set attempts = attempts + 1, first_failed_at = coalesce(first_failed_at, ?) "
            "where number = ? and state = 'waiting' returning attempts, first_failed_at",
            (now, number),
        ).fetchone()
        if failed is None:  # the webhook was deactivated meanwhile
            return
        attempts, first = failed
        if now - first >= GIVE_UP_SECONDS / self.pace:  # first reached by the fifteenth retry
            if current := self.find(webhook):
                self.save(current | {"status": "INACTIVE", "lastModified": write_moment(self.clock.now())})
            return
        wait = min(FIRST_RETRY_SECONDS * 2 ** (attempts - 1), LONGEST_RETRY_SECONDS) / self.pace
        self._database.execute("update message set retry_at = ? where number = ?", (now + wait, number))


def verify_intent(url: str, client_id: str) -> bool:
    """Send the receiver a GET with the client id. Return whether it confirms that it wants notifications."""
    with httpx.Client(timeout=ANSWER_SECONDS, trust_env=False) as client:
        try:
            return is_echoed(client.get(url, headers={CLIENT_HEADER: client_id}), client_id)
        except httpx.HTTPError:
            return False


def is_echoed(answer: httpx.Response, client_id: str) -> bool:
    """Return whether a response is a success that repeats the client id, in a header or in JSON."""
    if not answer.is_success:
        return False
    if answer.headers.get(CLIENT_HEADER) == client_id:
        return True
    with contextlib.suppress(ValueError, AttributeError):
        return bool(orjson.loads(answer.content).get("xAdobeSignClientId") == client_id)
    return False


def _deliver(client: httpx.Client, webhook: Row, body: bytes) -> bool:
    headers = {CLIENT_HEADER: webhook["clientId"], "Content-Type": "application/json;charset=UTF-8"}
    try:
        answer = client.post(webhook["webhookUrlInfo"]["url"], content=body, headers=headers)
    except httpx.HTTPError:
        return False
    return is_echoed(answer, webhook["clientId"])


def _is_asked(webhook: Row, agreement: Agreement, event: Event) -> bool:
    """Return whether a webhook subscribes to this event, and its scope includes the agreement."""
    if not {f"AGREEMENT_{event.kind}", "AGREEMENT_ALL"} & set(webhook["webhookSubscriptionEvents"]):
        return False
    if webhook["scope"] == "RESOURCE":
        return bool(webhook["resourceId"] == agreement.id)
    return webhook["scope"] != "USER" or agreement.has_party(webhook["creator"])
