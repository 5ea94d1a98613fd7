"""A subscriber's life: added, changed, disabled, re-enabled, removed; and the alerts about it."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from include.errors import ConfigurationError, TargetUnavailable
from include.outbound import outbox
from include.outbound.outbox import Trouble
from tests.outbound.conftest import LOAD, Firm, Receiver, list_subjects, subscribe

OPENED = "tributary.finding.opened"


def test_a_new_subscriber_gets_what_happens_after_it_was_first_seen(quiet: Firm, receiver: Receiver) -> None:
    quiet.happen("before")
    quiet.subscribers = [subscribe(receiver.url())]
    quiet.deliver()
    quiet.happen("after")
    quiet.deliver()
    assert list_subjects(receiver.calls) == ["after"]


def test_a_filter_of_types_and_vendors_is_kept(firm: Firm, receiver: Receiver) -> None:
    firm.subscribers = [subscribe(receiver.url(), types="tributary.finding.*", vendors="orion")]
    firm.deliver()
    firm.happen("load")
    firm.happen("finding", type=OPENED)
    firm.happen("another vendor's", type=OPENED, vendor="tamarac")
    firm.deliver()
    assert list_subjects(receiver.calls) == ["finding"]


def test_each_subscriber_has_its_own_delivery_of_an_event(firm: Firm, receiver: Receiver) -> None:
    firm.subscribers.append(subscribe(receiver.url("/other"), "other"))
    firm.deliver()
    receiver.choose = lambda call: 500 if call.path == "/other" else 200
    firm.happen("a")
    firm.deliver()
    assert [(row["subscriber"], row["status"]) for row in firm.deliveries()] == [
        ("hub", "delivered"),
        ("other", "waiting"),
    ]


def test_a_subscriber_that_can_not_be_read_for_a_while_loses_nothing(firm: Firm, receiver: Receiver) -> None:
    known, firm.subscribers = firm.subscribers, []
    firm.deliver({"hub": "its secret is spoilt"})
    assert firm.state() == ("unreadable", "its secret is spoilt")
    firm.happen("a")
    firm.deliver({"hub": "its secret is spoilt"})
    firm.subscribers = known
    firm.deliver()
    assert list_subjects(receiver.calls) == ["a"]
    assert firm.state() == ("active", "")


def test_a_subscriber_that_was_removed_gets_no_more(firm: Firm, receiver: Receiver) -> None:
    receiver.play(500)
    firm.happen("waiting")
    firm.deliver()
    known, firm.subscribers = firm.subscribers, []
    firm.deliver()
    firm.happen("missed")
    firm.deliver()
    firm.turn(days=1)
    assert not firm.is_waiting()
    firm.subscribers = known
    firm.deliver()
    assert list_subjects(receiver.accepted()) == ["waiting"]


def test_something_is_waiting_only_while_it_can_be_delivered(firm: Firm, receiver: Receiver) -> None:
    assert not firm.is_waiting()
    assert not firm.is_waiting(outbox.IS_WAITING_NOW)
    firm.happen("a", "a")
    assert firm.is_waiting()
    assert firm.is_waiting(outbox.IS_WAITING_NOW)
    receiver.play(500)
    firm.deliver()
    assert not firm.is_waiting(), "the first waits for its next try, the second for the first"
    firm.turn_to_next_try()
    assert firm.is_waiting()
    firm.deliver()
    assert not firm.is_waiting()


def test_a_disabled_subscriber_that_is_enabled_gets_all_that_waited(firm: Firm, receiver: Receiver) -> None:
    receiver.choose = lambda _: 410
    firm.happen("a", "a", "b")
    firm.deliver()
    firm.turn(days=30)
    assert outbox.enable(firm.engine, "hub", firm.now) == 3
    receiver.play()
    firm.deliver()
    assert sorted(list_subjects(receiver.accepted())) == ["a", "a", "b"]
    with pytest.raises(ConfigurationError):
        outbox.enable(firm.engine, "nobody", firm.now)


def read_event_ids(firm: Firm, *places: int) -> list[UUID]:
    rows = firm.deliveries()
    return [rows[place]["event_id"] for place in places]


def test_events_are_sent_again_by_id_under_the_same_id(firm: Firm, receiver: Receiver) -> None:
    firm.happen("a", "b", "c")
    firm.deliver()
    event_ids = read_event_ids(firm, 0, 2)
    receiver.calls.clear()
    assert outbox.replay(firm.engine, "hub", firm.now, event_ids=event_ids) == 2
    firm.deliver()
    assert {call.id for call in receiver.calls} == {str(each) for each in event_ids}
    assert len(firm.deliveries()) == 3


def test_events_are_sent_again_by_time_and_type_in_their_order(firm: Firm, receiver: Receiver) -> None:
    firm.happen("old")
    [old] = firm.events()
    firm.happen("a", "a")
    firm.happen("finding", type=OPENED)
    firm.deliver()
    receiver.calls.clear()
    since = old["occurred_at"] + timedelta(microseconds=1)
    assert outbox.replay(firm.engine, "hub", firm.now, since=since, types=[LOAD]) == 2
    firm.deliver()
    assert [(call.subject, call.data["place"]) for call in receiver.calls] == [("a", 0), ("a", 1)]
    assert outbox.replay(firm.engine, "hub", firm.now, since=since, until=since) == 0


def test_a_new_subscriber_can_have_what_was_before_it(quiet: Firm, receiver: Receiver) -> None:
    quiet.happen("before")
    quiet.subscribers = [subscribe(receiver.url())]
    quiet.deliver()
    assert outbox.replay(quiet.engine, "hub", quiet.now, since=quiet.events()[0]["occurred_at"]) == 1
    quiet.deliver()
    assert list_subjects(receiver.calls) == ["before"]


def test_given_up_events_are_sent_again_and_no_other(firm: Firm, receiver: Receiver) -> None:
    firm.happen("fine", "lost")
    firm.deliver()
    receiver.calls.clear()
    firm.do("update control.outbound_delivery set status = 'dead', tries = 12 where subject = 'lost'")
    assert outbox.replay(firm.engine, "hub", firm.now, only_dead=True) == 1
    firm.deliver()
    assert list_subjects(receiver.calls) == ["lost"]
    assert [row["status"] for row in firm.deliveries()] == ["delivered", "delivered"]


@pytest.mark.parametrize(("name", "how"), [("hub", {}), ("nobody", {"only_dead": True})])
def test_a_replay_of_nothing_in_particular_is_refused(firm: Firm, name: str, how: dict[str, bool]) -> None:
    with pytest.raises(ConfigurationError):
        outbox.replay(firm.engine, name, firm.now, **how)


def test_each_failure_alerts_once(firm: Firm, receiver: Receiver) -> None:
    alerts: list[list[Trouble]] = []
    receiver.play(410)
    firm.happen("a")
    firm.deliver({"other": "there is no such connection"})
    firm.do("update control.outbound_delivery set status = 'dead'")
    for _ in range(2):
        firm.deliver({"other": "there is no such connection"})
        outbox.report_troubles(firm.engine, alerts.append)
    assert [sorted((each.subscriber, each.what) for each in troubles) for troubles in alerts] == [
        [
            ("hub", "1 events failed every attempt and will not be retried"),
            ("hub", "disabled: the receiver responded 410 Gone: it wants no more events"),
            ("other", "unreadable: there is no such connection"),
        ]
    ]


def test_a_failed_alert_is_sent_later(firm: Firm, receiver: Receiver) -> None:
    def fail(_: list[Trouble]) -> None:
        raise TargetUnavailable("Not all recipients of the alert were reached")

    receiver.play(410)
    firm.happen("a")
    firm.deliver()
    with pytest.raises(TargetUnavailable):
        outbox.report_troubles(firm.engine, fail)
    assert [each.subscriber for each in outbox.report_troubles(firm.engine, lambda _: None)] == ["hub"]
