"""The log of a gateway that runs as its own process: one JSON object on each line."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime


class JsonLines(logging.Formatter):
    """Formats a record as a JSON object. Line breaks in values are escaped, so that no value can forge a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the JSON object: time (UTC), level, module, message, and the traceback if there is one."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry = {"at": at, "level": record.levelname, "module": record.name, "message": record.getMessage()}
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def configure() -> None:
    """Write log records of level INFO and above to standard error, one JSON object per line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
