"""The logs of tasks in staging, so that the API server shows them wherever the task ran.

Set `[logging] logging_config_class` to `tributary.task_logs.LOGGING_CONFIG`. While a task runs, its log is a file on the task's host. At the end
of each try, Airflow calls `upload`, which moves it to `logs/` in staging, encrypted.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.config_templates.airflow_local_settings import DEFAULT_LOGGING_CONFIG
from airflow.sdk.configuration import conf

if TYPE_CHECKING:
    from include.staging.files import Folder

LOGGING_CONFIG = DEFAULT_LOGGING_CONFIG

log = logging.getLogger(__name__)


class StagedLogs:
    """Airflow's interface to remote logs (`RemoteLogIO`)."""

    processors: tuple[Any, ...] = ()

    def upload(self, path: os.PathLike[str] | str, ti: Any = None) -> None:
        """Move a log from this host to staging. If staging is unavailable, it stays here.

        A task that was rescheduled writes to the same log again, maybe on another host. So the log is appended to one that is there.
        """
        local = Path(conf.get("logging", "base_log_folder"), path)
        try:
            folder, name = _open(str(path))
            earlier = folder.read(name) if folder.has(name) else b""
            folder.replace(name, earlier + local.read_bytes())
            local.unlink()
        except Exception:  # a task does not fail because its log can't be moved
            log.exception("The log of the task stays on this host: %s", local)

    def read(self, relative_path: str, ti: Any) -> tuple[list[str], list[str] | None]:
        """Return where a log is, and its content; None if it is not in staging."""
        from include.errors import TributaryError

        try:
            folder, name = _open(relative_path)
            return [f"staging: logs/{relative_path}"], [folder.read(name).decode(errors="replace")]
        except FileNotFoundError:
            return [], None
        except TributaryError as error:
            return [f"staging: {error}"], None


def _open(path: str) -> tuple[Folder, str]:
    from include.retention.staging import LOGS
    from tributary import connections

    place, _, name = path.rpartition("/")
    return connections.staging().folder(f"{LOGS}/{place}"), name


REMOTE_TASK_LOG = StagedLogs()
