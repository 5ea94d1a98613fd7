"""Import the libraries of tasks once, in the process that tasks are forked from: a Celery worker, or the scheduler with LocalExecutor.

Airflow imports a module of this name at the start of each of its processes. Tasks then start faster, and share the memory of the imports.
The project's own code is not imported, so that a change of it applies to the next task. The exception is what a worker does at its end.
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


is_worker = sys.argv[1:3] == ["celery", "worker"]
if is_worker or (sys.argv[1:2] == ["scheduler"] and conf.get_mandatory_value("core", "executor") == "LocalExecutor"):
    for name in LIBRARIES:
        importlib.import_module(name)
if is_worker:
    from celery.signals import worker_shutting_down

    from tributary.handover import pass_on_shutdown

    worker_shutting_down.connect(pass_on_shutdown)
