"""Import the libraries of tasks once, in the process that tasks are forked from: a Celery worker, or the scheduler with LocalExecutor.

Airflow imports a module of this name at the start of each of its processes. Tasks then start faster, and share the memory of the imports.
The project's own code is not imported, so that a change of it applies to the next task.
"""

from __future__ import annotations

import importlib
import sys

from airflow.configuration import conf

# Airflow would copy every other name into its module `settings`.
__all__: list[str] = []

LIBRARIES = (
    "airflow.dag_processing.bundles.local", "airflow.providers.postgres.hooks.postgres", "airflow.sdk.definitions.decorators",
    "airflow.sdk.definitions.retry_policy", "airflow.sdk.execution_time.task_runner", "alembic.command", "apprise", "duckdb",
    "exchange_calendars", "great_expectations", "orjson", "pandas", "pgpq", "psycopg", "pyarrow.compute", "pyarrow.csv", "pyarrow.dataset",
    "pyarrow.json", "pyarrow.parquet", "redis", "requests", "s3fs", "splink", "sqlalchemy.dialects.postgresql", "tenacity",
)  # fmt: skip


def is_parent_of_tasks(arguments: list[str], executor: str) -> bool:
    """Return whether a process of Airflow forks tasks, by its arguments after the name of the program."""
    return arguments[:2] == ["celery", "worker"] or (arguments[:1] == ["scheduler"] and executor == "LocalExecutor")


if is_parent_of_tasks(sys.argv[1:], conf.get_mandatory_value("core", "executor")):
    for name in LIBRARIES:
        importlib.import_module(name)
