"""On the first of each month, restore the newest backup into a scratch server, check it, and record how long it took.

The check is that of `check-restore`: the restored database is compared with the fingerprint that is stored with the backup. The run fails, and
so alerts, if the restore fails or the database differs. `control.recovery_drill` has the results: the recovery point (RPO), the recovery
time (RTO) and the problems.

The task needs pgBackRest, the programs of PostgreSQL's server, and space for the whole database in the work folder. Where the programs
are not installed, it is skipped. See docs/how-to/drilling_a_restore.md.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import CronTriggerTimetable, dag, task

from tributary.policy import DEFAULTS, GO_LIVE


@dag(
    dag_id="restore_drill",
    dag_display_name="Restore drill",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 8 1 * *", timezone="UTC"),
    start_date=pendulum.parse(GO_LIVE, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["watch"],
)
def restore_drill() -> None:
    """Restore, check, measure and delete, in one task: the scratch server does not outlive it."""

    @task(execution_timeout=timedelta(hours=12))
    def drill(run_id: Any = None) -> str:
        import logging

        from airflow.sdk.exceptions import AirflowSkipException

        from include.errors import DataQualityError
        from include.recovery import drill as drills
        from include.recovery.pgbackrest import PgBackRest
        from tributary import connections

        programs = drills.find_programs()
        if programs is None:
            raise AirflowSkipException("No drill: pgBackRest or PostgreSQL's server is not installed where tasks run")
        site = connections.site()
        result = drills.drill(PgBackRest(), programs, connections.work_folder(), site.keyring)
        drills.record(site.engine, run_id, result)
        logging.getLogger(__name__).info("%s", result)
        if result.problems:
            raise DataQualityError(f"The newest backup is not as the database was: {'; '.join(result.problems[:5])}")
        return str(result)

    drill()


restore_drill()
