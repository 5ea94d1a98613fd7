"""Copy the log of each task to the firm's object store, and show it from there. For machines whose disks end with them, such as pods.

Airflow uses this module if its setting `[logging] logging_config_class` is `tributary.task_logs.LOGGING`. The connection `tributary_logs`
names the folder in its `extra`, as that of `tributary_staging` does: {"root": "s3://...", "options": {...}}. A log appears when its task ends.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.config_templates.airflow_local_settings import BASE_LOG_FOLDER
from airflow.config_templates.airflow_local_settings import DEFAULT_LOGGING_CONFIG as LOGGING

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["DEFAULT_REMOTE_CONN_ID", "LOGGING", "REMOTE_TASK_LOG"]

DEFAULT_REMOTE_CONN_ID = "tributary_logs"


class StoredLogs:
    """Logs of tasks in a folder that fsspec supports; what Airflow calls a `RemoteLogIO`."""

    processors = ()

    def upload(self, path: os.PathLike[str] | str, ti: Any = None) -> None:
        """Append a local log to the stored one, and remove the local file.

        A task that was deferred or rescheduled writes the next part of its log on any machine. Airflow logs what this raises.

        Args:
            path: Path of the log below Airflow's folder of logs.
            ti: Unused; Airflow passes the task instance.
        """
        local = Path(BASE_LOG_FOLDER, path)
        if not local.is_file():
            return
        files, root = _open_folder()
        target = f"{root}/{Path(path).as_posix()}"
        stored = files.cat_file(target) if files.exists(target) else b""
        files.makedirs(files._parent(target), exist_ok=True)
        files.pipe_file(target, stored + local.read_bytes())
        local.unlink()

    def read(self, relative_path: str, ti: Any) -> tuple[list[str], list[str] | None]:
        """Return the addresses and the texts of a log and of its triggers' logs; None instead of texts if there are none."""
        files, root = _open_folder()
        paths = sorted(files.glob(f"{root}/{relative_path}*"))
        texts = [files.cat_file(path).decode(errors="replace") for path in paths]
        return [files.unstrip_protocol(path) for path in paths], texts or None


def _open_folder() -> tuple[AbstractFileSystem, str]:
    """Open the folder that `tributary_logs` names. Listings are not cached, because other machines add logs."""
    import fsspec

    from tributary.connections import find_connection

    known = find_connection(DEFAULT_REMOTE_CONN_ID).extra_dejson
    files, root = fsspec.core.url_to_fs(known["root"], use_listings_cache=False, **(known.get("options") or {}))
    return files, root


REMOTE_TASK_LOG = StoredLogs()
