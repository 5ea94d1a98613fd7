"""The records of alerts in the timeline of activities."""

from __future__ import annotations

from include.control import alerts
from include.control.alerts import Record
from include.warehouse import schema
from tests.conftest import Database


def test_activity_shows_alerts_that_were_sent_and_not_those_only_recorded(database: Database) -> None:
    engine = schema.engine(database.url())
    alerts.record_silent(engine, "vendor_day", "run-1", "Invalid date")
    alerts.send_once(engine, Record("failed", "The pull failed", "vendor_day", "run-2"), lambda: None)
    engine.dispose()
    rows = database.rows("select action, subject from control.activity where kind = 'alert'")
    assert rows == [{"action": "sent the alert", "subject": "The pull failed"}]
