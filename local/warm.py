"""Airflow's scheduler with the tasks' libraries preloaded.

LocalExecutor forks its workers from the scheduler, and every task from a worker, so tasks share the scheduler's imports and their
memory. Only libraries are imported here, so that a change of the project's code applies to the next task. Usage:
`python -P warm.py scheduler ...`, like `airflow scheduler ...`.
"""

from __future__ import annotations

import importlib
import runpy
import sys

LIBRARIES = (
    "great_expectations", "orjson", "pandas", "pgpq", "psycopg", "pyarrow.compute", "pyarrow.csv", "pyarrow.dataset",
    "pyarrow.json", "pyarrow.parquet", "requests", "sqlalchemy.dialects.postgresql", "tenacity",
)  # fmt: skip


def main() -> None:
    """Import the libraries, then run Airflow."""
    for name in LIBRARIES:
        importlib.import_module(name)
    runpy.run_module("airflow", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    sys.argv[0] = "airflow"
    main()
