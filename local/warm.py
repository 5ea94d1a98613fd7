"""Airflow's scheduler, with what tasks need already imported.

LocalExecutor forks its workers from the scheduler, and every task from a worker: what the scheduler has imported costs a task
nothing, and its memory is shared. Only libraries are imported here, so that a change of the project's code holds from the next
task on. Usage: `python -P warm.py scheduler ...`, as `airflow scheduler ...`.
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
    """Imports, and becomes Airflow."""
    for name in LIBRARIES:
        importlib.import_module(name)
    runpy.run_module("airflow", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    sys.argv[0] = "airflow"
    main()
