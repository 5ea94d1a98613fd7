"""Lines of the gateway's log: one JSON object each, with time, level and message."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from include.gateway.log import JsonLines


def format_record(message: str, *values: object, error: bool = False) -> str:
    exc_info = sys.exc_info() if error else None
    record = logging.LogRecord("include.gateway.api", logging.WARNING, "", 1, message, values, exc_info)
    return JsonLines().format(record)


def test_a_line_has_time_level_module_and_message() -> None:
    entry = json.loads(format_record("Refused a request from %s", "203.0.113.7"))
    at = datetime.fromisoformat(entry.pop("at"))
    assert at.utcoffset() == UTC.utcoffset(None)
    assert abs((datetime.now(UTC) - at).total_seconds()) < 60
    message = "Refused a request from 203.0.113.7"
    assert entry == {"level": "WARNING", "module": "include.gateway.api", "message": message}


def test_a_value_forges_no_line() -> None:
    forged = 'x"}\r\n{"level": "INFO", "message": "\u2028Authenticated'
    line = format_record("Refused: %s", forged)
    assert line.isascii()
    assert line.splitlines() == [line]
    assert json.loads(line)["message"] == f"Refused: {forged}"


def test_a_traceback_is_part_of_its_line() -> None:
    try:
        raise RuntimeError("lost")
    except RuntimeError:
        line = format_record("Unexpected", error=True)
    assert line.splitlines() == [line]
    assert "RuntimeError: lost" in json.loads(line)["traceback"]
