"""Airflow on this machine: its settings, and the start of its four processes.

The first start creates the tables in an empty database. `airflow standalone` is not used, because it forces its own settings and leaves
child processes behind when it is stopped. Only the API server listens on a port, on 127.0.0.1. It reads logs from disk, so no log server
runs.

    home/secrets.json      0600: keys that all processes share; generated only once, because one of them encrypts values in the database
    home/passwords.json    0600: the password of the web UI's user `admin`
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from include.errors import ConfigurationError
from local.private_file import write_private
from local.processes import Processes

USER = "admin"

COMPONENTS: dict[str, list[str]] = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
MEMORY = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "4"}
"""How a process manages the memory of pages and parts; decision 0071 has the reasons. The image has the same settings."""

PLUGINS_FOLDER = "AIRFLOW__CORE__PLUGINS_FOLDER"
"""Only the API server has this setting, because it shows the pages of the plugins. Any other component, and each task, would load them too."""


_SAME_EVERYWHERE: dict[tuple[str, str], object] = {
    ("core", "executor"): "LocalExecutor",
    ("core", "parallelism"): 4,
    ("core", "load_examples"): False,
    ("core", "default_timezone"): "utc",
    ("core", "simple_auth_manager_users"): f"{USER}:admin",
    # The default queries DNS, which takes long on a laptop without a network.
    ("core", "hostname_callable"): "socket.gethostname",
    ("api", "host"): "127.0.0.1",
    ("api", "workers"): 1,
    # Detect a dead worker, and the tasks of a dead scheduler, within a minute; a scheduler counts as dead after 30 s.
    ("scheduler", "scheduler_idle_sleep_time"): 0.1,
    ("scheduler", "task_instance_heartbeat_timeout"): 45,
    ("scheduler", "orphaned_tasks_check_interval"): 20,
    # A task's supervisor often detects the end of its task only at the next heartbeat, and keeps its slot until then:
    # 16 short tasks take 3 s with a heartbeat each second, and 12 to 16 s with one each 5 s (the default). A task fails after
    # 30 s of failed heartbeats.
    ("workers", "min_heartbeat_interval"): 1,
    ("workers", "max_failed_heartbeats"): 30,
    # Every 30 s (the default) takes a sixth of a core, although DAG files hardly ever change; one that does is parsed at once. Not more, because the
    # watcher of a DAG that was switched on starts when its file is parsed next.
    ("dag_processor", "min_file_process_interval"): 60,
    ("dag_processor", "refresh_interval"): 10,
    ("dag_processor", "bundle_refresh_check_interval"): 2,
    ("logging", "colored_console_log"): False,
    ("usage_data_collection", "enabled"): False,
}
"""The options of Airflow that are the same in every place, by (section, option)."""


def environment(
    home: Path,
    metadata_url: str,
    port: int,
    project_root: Path,
    *,
    dags_folder: Path | None = None,
    connections: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the environment variables of an Airflow process: those of this process, with all `AIRFLOW_...` variables replaced.

    Args:
        home: AIRFLOW_HOME. If it does not exist, it is created, with keys and a password for `admin`.
        metadata_url: URL of Airflow's own database, `postgresql://...`.
        port: Port of the web UI and the API, on 127.0.0.1.
        project_root: Folder with `plugins` and `dags`. It and `plugins` are the PYTHONPATH of the process.
        dags_folder: Folder of DAGs; None for that of the project.
        connections: Each connection as URI or JSON, by its id.
        variables: The value of each Airflow Variable, by its name.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    _ensure_password(home)
    options = _SAME_EVERYWHERE | _list_options(home, metadata_url, port, project_root, dags_folder)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": f"{project_root}{os.pathsep}{project_root / 'plugins'}",
        "PYTHONUNBUFFERED": "1",
        **MEMORY,
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1", "localhost"])),
        "AIRFLOW_HOME": str(home),
        **{f"AIRFLOW__{section}__{option}".upper(): str(value) for (section, option), value in options.items()},
        **{f"AIRFLOW_CONN_{name.upper()}": value for name, value in (connections or {}).items()},
        **{f"AIRFLOW_VAR_{name.upper()}": value for name, value in (variables or {}).items()},
        "GX_ANALYTICS_ENABLED": "false",
        "SCARF_ANALYTICS": "false",
        "DO_NOT_TRACK": "1",
    }


def _list_options(
    home: Path, metadata_url: str, port: int, project_root: Path, dags_folder: Path | None
) -> dict[tuple[str, str], object]:
    """Return the options of Airflow that depend on the place, by (section, option)."""
    url, keys = f"http://127.0.0.1:{port}", _ensure_keys(home)
    return {
        ("core", "dags_folder"): dags_folder or project_root / "dags",
        ("core", "plugins_folder"): project_root / "plugins",
        ("core", "fernet_key"): keys["fernet_key"],
        ("core", "simple_auth_manager_passwords_file"): home / "passwords.json",
        ("core", "execution_api_server_url"): f"{url}/execution/",
        ("database", "sql_alchemy_conn"): metadata_url.replace("postgresql://", "postgresql+psycopg2://", 1),
        ("api", "port"): port,
        ("api", "base_url"): url,
        ("api", "secret_key"): keys["secret_key"],
        ("api_auth", "jwt_secret"): keys["jwt_secret"],
        ("logging", "base_log_folder"): home / "logs",
    }


def start(settings: Mapping[str, str], processes: Processes) -> None:
    """Migrate the metadata database, then start the components that do not run yet. Do nothing if all run.

    To wait until they are healthy, call `AirflowApi.wait_healthy`.

    Args:
        settings: The result of `environment`.
        processes: Records the components, under the names in `COMPONENTS`.

    Raises:
        ConfigurationError: The migration failed; the message contains the last ten lines of Airflow's output.
    """
    if not has_died(processes):
        return
    home = Path(settings["AIRFLOW_HOME"])
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    done = subprocess.run(command, env=settings, cwd=home, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
        raise ConfigurationError(f"`airflow db migrate` failed with exit code {done.returncode}:\n{last}")
    without_pages = {name: value for name, value in settings.items() if name != PLUGINS_FOLDER}
    for name, arguments in COMPONENTS.items():
        environment = settings if name == "api-server" else without_pages
        processes.start(name, [sys.executable, "-m", "airflow", *arguments], environment=environment, folder=home)


def has_died(processes: Processes) -> bool:
    """Return whether a component has not been started or has died; `processes.log(name)` shows why."""
    return not all(processes.is_running(name) for name in COMPONENTS)


def read_password(home: Path) -> str:
    """Return the password of the user `admin`, who has all permissions."""
    passwords: dict[str, str] = json.loads((home / "passwords.json").read_text(encoding="utf-8"))
    return passwords[USER]


def _ensure_keys(home: Path) -> dict[str, str]:
    path = home / "secrets.json"
    if not path.exists():
        keys = {
            "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "jwt_secret": secrets.token_urlsafe(64),
            "secret_key": secrets.token_urlsafe(32),
        }
        write_private(path, json.dumps(keys))
    stored: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return stored


def _ensure_password(home: Path) -> None:
    if not (home / "passwords.json").exists():
        write_private(home / "passwords.json", json.dumps({USER: secrets.token_urlsafe(12)}))
