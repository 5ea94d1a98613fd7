"""The tasks of the DAG `deliver_events`: from the outbox to the subscribers."""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import task

SELECTING = ("replay_dead", "event_ids", "since", "until", "types")
"""Parameters that select events to send again."""


@task.short_circuit
def has_subscribers(params: Any = None) -> bool:
    """Return whether there are subscribers, or deliveries of a removed one to finish; if not, the rest of the run is skipped.

    Raises:
        InputRejected: The form selects events, or enables a subscriber, without naming it.
    """
    from include.errors import InputRejected
    from include.outbound import outbox
    from tributary import connections

    if not params["subscriber"] and (params["enable"] or any(params[key] for key in SELECTING)):
        raise InputRejected("Enter the subscriber whose events are sent again, or that is enabled")
    names = connections.find_variable("tributary_subscribers", default="").strip()
    return bool(names or params["subscriber"]) or outbox.has_unfinished(connections.database())


@task
def retry_deliveries(params: Any = None) -> dict[str, int]:
    """Apply the form of a manual run: re-enable the subscriber and make the selected events due again.

    Returns:
        `enabled`: the number of deliveries that waited for the subscriber; `replayed`: the number of events to send again. Each is
        present only if the form requests it; empty without a subscriber.
    """
    from datetime import UTC, datetime
    from uuid import UUID

    from include.outbound import outbox
    from tributary import connections

    if not params["subscriber"]:
        return {}
    engine, name, now = connections.database(), params["subscriber"], datetime.now(UTC)
    done: dict[str, int] = {}
    if params["enable"]:
        done["enabled"] = outbox.enable(engine, name, now)
    if any(params[key] for key in SELECTING):
        since, until = (params[key] and pendulum.parse(params[key]) for key in ("since", "until"))
        done["replayed"] = outbox.replay(
            engine, name, now,
            event_ids=[UUID(each) for each in params["event_ids"] or []],
            since=since,
            until=until,
            types=(params["types"] or "*").split(),
            only_dead=params["replay_dead"],
        )  # fmt: skip
    return done


@task
def deliver() -> dict[str, int]:
    """Deliver all events that are due; return the counts. A subscriber without a valid connection gets no events, and is reported."""
    from dataclasses import asdict

    from airflow.sdk.exceptions import AirflowNotFoundException

    from include.errors import ConfigurationError
    from include.outbound.deliver import deliver as send
    from include.outbound.subscriber import Subscriber
    from tributary import connections

    known, unreadable = [], {}
    for name in dict.fromkeys(connections.find_variable("tributary_subscribers", default="").split()):
        try:
            found = connections.find_connection(name)
            known.append(Subscriber.of(name, found.host or "", found.password or "", found.extra_dejson))
        except AirflowNotFoundException:
            unreadable[name] = "there is no such connection"
        except ConfigurationError as error:
            unreadable[name] = str(error)
    return asdict(send(connections.database(), known, unreadable))


@task
def report_troubles(run_id: Any = None) -> list[str]:
    """Alert once about each subscriber that is disabled or unreadable or has failed deliveries; return the subscribers of this alert."""
    from include.outbound import outbox
    from tributary import connections
    from tributary.alerts import send as send_alert

    def send(troubles: list[outbox.Trouble]) -> None:
        lines = [f"{each.subscriber}: {each.what}" for each in troubles]
        about = {"dag_id": "deliver_events", "run_id": run_id, "subject": " ".join(t.subscriber for t in troubles)}
        send_alert("subscriber", "Events do not reach a subscriber", "\n".join(lines), **about)

    return [each.subscriber for each in outbox.report_troubles(connections.database(), send)]
