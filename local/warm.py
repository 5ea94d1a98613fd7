"""Start Airflow's scheduler with the libraries of tasks already imported: `python -P warm.py scheduler ...`.

The arguments are those of `airflow`. LocalExecutor forks its workers from the scheduler, and every task from a worker. So tasks start
faster and share the memory of these imports. The project's own code is not imported, so that a change of it applies to the next task.
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
