"""Lines of sign-ons in the API server's log."""

from __future__ import annotations

import json

import pytest

from include.sign_on.record import record


def test_a_user_name_forges_no_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    name = 'x\n2026-01-01 sign-on {"event": "login", "user": "admin"}'
    record("login failed", name, "203.0.113.7", reason="a\r\nb")
    [message] = [each.getMessage() for each in caplog.records]
    assert message.splitlines() == [message]
    assert json.loads(message.removeprefix("sign-on "))["user"] == name
