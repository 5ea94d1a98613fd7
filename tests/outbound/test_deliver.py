"""Delivery: at least once per event, in order by subject, with retries up to a limit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from datetime import UTC, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.outbound import post
from include.outbound.deliver import FIRST_PAUSE, MOST_FAILURES, Counts, deliver
from include.outbound.verdict import WAITS
from include.warehouse import schema
from tests.outbound.conftest import HANG, LOAD, RESET, SECRET, Firm, Receiver, Reply, list_subjects, subscribe

ROOT = Path(__file__).parents[2]

OTHER_SECRET = "whsec_YW5vdGhlciBpbnZlbnRlZCBvbmUgZm9yIHRoZSB0ZXN0"

failures = st.sampled_from([500, 404, 302, RESET, (429, {"retry-after": "7"}), (503, {"retry-after": "90"})])
plans = st.lists(st.one_of(st.just(200), failures), max_size=6)
happenings = st.lists(st.sampled_from("abc"), min_size=1, max_size=9)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happened=happenings, plan=plans)
def test_whatever_a_receiver_replies_each_event_arrives_and_in_order_by_subject(
    quiet: Firm, receiver: Receiver, happened: list[str], plan: list[Reply]
) -> None:
    quiet.forget()
    receiver.forget()
    quiet.subscribers = [subscribe(receiver.url())]
    quiet.deliver()
    receiver.play(*plan)
    quiet.happen(*happened)

    quiet.deliver()
    while quiet.deliveries("waiting"):
        quiet.turn_to_next_try()
        quiet.deliver()

    rows = quiet.deliveries()
    assert [row["status"] for row in rows] == ["delivered"] * len(happened)
    assert sum(row["tries"] for row in rows) == len(receiver.calls)
    expected, arrived = defaultdict(list), defaultdict(list)
    for place, subject in enumerate(happened):
        expected[subject].append(place)
    for call in receiver.accepted():
        arrived[call.subject].append(call.data["place"])
    assert arrived == expected
    for subject, places in expected.items():
        tried = [call.data["place"] for call in receiver.calls if call.subject == subject]
        assert tried == sorted(tried), f"of {places}, one was tried before its predecessor had arrived"


def test_two_deliverers_send_each_event_once_and_keep_the_order(firm: Firm, receiver: Receiver) -> None:
    firm.happen(*"aabcabcdabcdeabcdef" * 2)
    others = [schema.engine(firm.database.url()) for _ in range(2)]
    threads = [threading.Thread(target=deliver, args=(engine, firm.subscribers)) for engine in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for engine in others:
        engine.dispose()

    assert len(receiver.calls) == len({call.id for call in receiver.calls}) == 38
    for subject in "abcdef":
        places = [call.data["place"] for call in receiver.calls if call.subject == subject]
        assert places == sorted(places)


_DELIVERER = """
import sys
from include.outbound.deliver import deliver
from include.outbound.subscriber import Subscriber
from include.warehouse import schema
deliver(schema.engine(sys.argv[1]), [Subscriber.of("hub", sys.argv[2], sys.argv[3], {"networks": "127.0.0.0/8"})])
"""


def test_what_a_killed_deliverer_had_under_way_is_sent_again_under_the_same_id(firm: Firm, receiver: Receiver) -> None:
    receiver.play(HANG)
    firm.happen("a", "a")
    victim = subprocess.Popen(
        [sys.executable, "-c", _DELIVERER, firm.database.url(), receiver.url(), SECRET],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert receiver.arrived.wait(30)
    victim.send_signal(signal.SIGKILL)
    victim.wait(10)
    receiver.release.set()

    firm.turn(minutes=1)  # the killed deliverer used the real clock
    end = time.monotonic() + 20
    while firm.deliveries("waiting") and time.monotonic() < end:  # until the database has noticed the closed connection
        firm.deliver()

    first, again, last = receiver.calls
    assert first.id == again.id != last.id
    assert [call.data["place"] for call in receiver.accepted()] == [0, 1]
    assert [row["status"] for row in firm.deliveries()] == ["delivered", "delivered"]


def test_an_event_that_is_refused_holds_up_its_own_subject_only(firm: Firm, receiver: Receiver) -> None:
    receiver.choose = lambda call: 500 if call.subject == "bad" else 200
    firm.happen("bad", "good", "bad", "good", "fine")
    assert firm.deliver() == Counts(delivered=3, failed=1)
    assert sorted(list_subjects(receiver.accepted())) == ["fine", "good", "good"]
    assert [row["tries"] for row in firm.deliveries("waiting")] == [1, 0]


def test_a_slow_receiver_keeps_nothing_from_another(
    firm: Firm, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post, "PATIENCE_S", 3.0)
    firm.subscribers.append(subscribe(receiver.url("/slow"), "slow"))
    firm.deliver()
    receiver.choose = lambda call: HANG if call.path == "/slow" else 200
    firm.happen(*"abcdefghij")
    counts = firm.deliver()
    order = [call.path for call in receiver.calls]
    assert counts.delivered == 10
    assert order[:14].count("/hook") == 10, "the quick receiver's events came first"
    assert {row["last_error"] for row in firm.deliveries("waiting")} <= {"TimeoutError", None}


def test_an_event_is_given_up_after_the_last_try_and_the_next_of_its_subject_goes(
    firm: Firm, receiver: Receiver
) -> None:
    receiver.choose = lambda call: 500 if call.subject == "a" and call.data["place"] == 0 else 200
    firm.happen("a", "a")
    for number in range(len(WAITS) + 1):
        assert len(receiver.calls) == number
        firm.happen("alive")  # so that the receiver is not considered dead
        firm.deliver()
        receiver.calls = [call for call in receiver.calls if call.subject == "a"]
        if firm.deliveries("dead"):
            break
        firm.turn_to_next_try()
    tried, last = receiver.calls[:-1], receiver.calls[-1]
    assert (len(tried), len({call.id for call in tried})) == (len(WAITS) + 1, 1)
    assert last.is_accepted
    assert firm.state() == ("active", "")
    days = (firm.now - firm.deliveries("dead")[0]["tried_at"] + sum(WAITS, timedelta())) / timedelta(days=1)
    assert 4.5 < days < 6


def test_retry_after_is_honored_for_all_that_the_receiver_would_get(firm: Firm, receiver: Receiver) -> None:
    when = format_datetime((firm.now + timedelta(hours=2)).astimezone(UTC), usegmt=True)
    receiver.play((429, {"retry-after": when}))
    firm.happen("a")
    firm.deliver()
    firm.happen("b")
    firm.turn(hours=1, minutes=59)
    assert firm.deliver() == Counts()
    firm.turn(minutes=1)
    assert firm.deliver() == Counts(delivered=2)


def test_a_receiver_that_is_down_is_not_called_for_every_event(firm: Firm, receiver: Receiver) -> None:
    receiver.choose = lambda _: 503
    firm.happen(*(f"s{n}" for n in range(40)))
    firm.deliver()
    assert MOST_FAILURES <= len(receiver.calls) < MOST_FAILURES + 4
    firm.deliver()
    assert len(receiver.calls) < MOST_FAILURES + 4
    firm.turn(seconds=FIRST_PAUSE.total_seconds())
    receiver.choose = lambda _: 200
    firm.deliver()
    assert len({call.subject for call in receiver.accepted()}) >= 31


def test_a_receiver_that_is_gone_is_disabled_at_once_and_its_events_are_kept(firm: Firm, receiver: Receiver) -> None:
    receiver.choose = lambda _: 410
    firm.happen("a", "a")
    firm.deliver()
    assert firm.state() == ("disabled", "the receiver responded 410 Gone: it wants no more events")
    firm.happen("b")
    firm.turn(days=1)
    assert firm.deliver() == Counts()
    assert len(receiver.calls) == 1
    assert len(firm.deliveries("waiting")) == 3


def test_a_receiver_that_has_failed_for_days_is_disabled(firm: Firm, receiver: Receiver) -> None:
    receiver.choose = lambda _: 500
    start = firm.now
    firm.happen("a")
    firm.deliver()
    while firm.state()[0] == "active":
        firm.happen("b", "c")
        firm.turn(hours=12)
        firm.deliver()
    assert timedelta(days=5) <= firm.now - start < timedelta(days=6)
    assert firm.state() == ("disabled", f"no delivery has succeeded since {start:%Y-%m-%d %H:%M} UTC")


def test_one_success_ends_the_count_of_days(firm: Firm, receiver: Receiver) -> None:
    receiver.play(500, 500, 500, 200, 500)
    firm.happen("a", "a")
    for _ in range(4):
        firm.deliver()
        firm.turn(days=2)
    assert firm.state() == ("active", "")


def test_a_secret_is_exchanged_for_another_without_a_gap(firm: Firm, receiver: Receiver) -> None:
    firm.subscribers = [subscribe(receiver.url(), secrets=f"{SECRET} {OTHER_SECRET}")]
    for secret in (SECRET, OTHER_SECRET):
        receiver.secret = secret
        firm.happen("a")
        assert firm.deliver() == Counts(delivered=1)


def test_a_run_ends_in_time_and_leaves_the_rest_to_the_next(firm: Firm, receiver: Receiver) -> None:
    firm.happen(*"abcdefgh")
    none = deliver(firm.engine, firm.subscribers, clock=lambda: firm.now, lasting=timedelta())
    assert 0 < none.delivered < 8
    assert firm.deliver() == Counts(delivered=8 - none.delivered)


def test_no_secret_and_no_address_is_in_the_database_or_in_a_log(
    firm: Firm, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    url = receiver.url("/hook?token=canary")
    firm.subscribers = [subscribe(url)]
    receiver.play(500)
    firm.happen("a", "b", type=LOAD)
    firm.deliver()
    tables = str([firm.rows(f"select * from control.{t}") for t in ("outbox", "outbound_subscriber")])
    text = tables + str(firm.deliveries()) + caplog.text + repr(firm.subscribers)
    assert len(receiver.calls) == 2
    assert "canary" not in text
    assert SECRET[6:] not in text
