"""Settings that all DAGs share: retries, alerts, deadlines, and the asset that announces new data in the warehouse."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import (
    Asset,
    AsyncCallback,
    DeadlineAlert,
    DeadlineReference,
    ExceptionRetryPolicy,
    RetryAction,
    RetryDecision,
    RetryRule,
)

from include.errors import ConfigurationError
from include.firm.content import require_valid
from tributary.alerts import Alert
from tributary.outages import alert_of_outage

# With a mistake in the firm's folder, no DAG can be imported, and the import error lists all mistakes.
require_valid()

# An event only announces new data. It carries none, because Airflow merges events: the DAG `salesforce` reads the warehouse.
WAREHOUSE = Asset(name="warehouse_updated", uri="x-tributary://warehouse")

# First day of all schedules; a firm sets it to its go-live date.
GO_LIVE = os.environ.get("TRIBUTARY_GO_LIVE", "2026-01-01")

_ON_DEMAND, _LIVE = "_on_demand", "_live"

SHOW_RUN_ID = "{{ task.trigger_run_id }}"
"""Template that names a mapped task instance by the run that it starts."""


def _read_number(name: str, default: str, unit: str) -> float:
    text = os.environ.get(name) or default
    try:
        return float(text)
    except ValueError as error:
        raise ConfigurationError(f"{name} must be a number of {unit}, not {text!r}") from error


# A run that takes longer sends an alert.
DEADLINE_HOURS = _read_number("TRIBUTARY_DEADLINE_HOURS", "2", "hours")
# A vendor that is unreachable for longer causes an alert.
OUTAGE_MINUTES = _read_number("TRIBUTARY_OUTAGE_MINUTES", "10", "minutes")


# Errors of a session, server or network that is unavailable for a moment. Our engine translates most of them to `TargetUnavailable`, a
# `RetriableError`; a driver's cursor, a pool or Airflow's client raises the others as they are.
PASSING = (
    "include.errors.RetriableError",
    "sqlalchemy.exc.OperationalError",
    "sqlalchemy.exc.InterfaceError",
    "sqlalchemy.exc.PendingRollbackError",
    "sqlalchemy.exc.TimeoutError",
    "psycopg.OperationalError",
    "psycopg.InterfaceError",
    "psycopg2.OperationalError",
    "psycopg2.InterfaceError",
    "httpx.TransportError",
)


class Retries(ExceptionRetryPolicy):
    """Decide by the class of the error whether a task is retried.

    Retried are:

    - the classes in `PASSING` and in `also`
    - `RateLimited`, after 20 minutes
    - an error of Airflow itself, if its API server was unavailable. Airflow raises one class for all of its errors, so the HTTP status
      of the error decides.

    Any other error fails the task at once.

    Args:
        also: Dotted names of further classes to retry.
    """

    def __init__(self, *also: str) -> None:
        # For a long pause that a vendor requests; the task itself waits for a short one.
        patient = RetryRule(
            exception="include.errors.RateLimited", action=RetryAction.RETRY, retry_delay=timedelta(minutes=20)
        )
        passing = RetryRule(exception=[*PASSING, *also], action=RetryAction.RETRY)
        super().__init__(rules=[patient, passing], default=RetryAction.FAIL)

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        """Return the decision about a failed try, by the class of the error, or by the HTTP status in an error of Airflow itself."""
        if _is_airflow_away(exception):
            return RetryDecision.retry(reason="Airflow's API server or database was unavailable")
        return super().evaluate(exception, try_number, max_tries, context)


def _is_airflow_away(exception: BaseException) -> bool:
    """Return whether Airflow's API server did not respond, or responded with 5xx or 429."""
    from airflow.sdk.api.client import ServerResponseError
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType

    if isinstance(exception, AirflowRuntimeError):
        if exception.error.error is not ErrorType.API_SERVER_ERROR:
            return False
        status = (exception.error.detail or {}).get("status_code")
    elif isinstance(exception, ServerResponseError):
        status = exception.response.status_code
    else:
        return False
    return status is None or status >= 500 or status == 429


DEFAULTS: dict[str, Any] = {
    "owner": "tributary",
    "retries": 4,
    "execution_timeout": timedelta(hours=3),
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
    "retry_policy": Retries(),
    "on_failure_callback": Alert("Failed"),
    "on_retry_callback": alert_of_outage,
}

PULLS = "pulls"
"""Queue and pool of the tasks that wait for a vendor for a long time. All other tasks use the default ones, so that no pull keeps them waiting."""

_PULL_SLOTS = int(_read_number("TRIBUTARY_PULL_SLOTS", "8", "slots"))

VENDOR_RETRIES = 12
"""Retries of a task that calls a vendor: a night's maintenance of two hours ends by itself. An alert reports an outage long before."""

# A vendor's rate limits decide how long a pull takes. 2,000 simulations take over ten hours at the 192 an hour that are left for batch
# runs. A pull that times out is retried, because a fan-out resumes where it stopped.
PULL: dict[str, Any] = {
    "retries": VENDOR_RETRIES,
    "execution_timeout": timedelta(hours=12),
    "retry_policy": Retries("airflow.sdk.exceptions.AirflowTaskTimeout"),
    # Half of the pool: a backfill leaves the other half to the current day, and one vendor to the others. The rate budget is enforced in the
    # database, so more pulls at once never exceed it.
    "max_active_tis_per_dagrun": max(1, _PULL_SLOTS // 2),
}


def show_argument(name: str) -> str:
    """Return a `map_index_template` that names each mapped task instance by the value of one of its arguments."""
    return f"{{{{ task.op_kwargs['{name}'] }}}}"


MOST_LATE = timedelta(days=1)
"""A scheduled run that starts later than this disposes of nothing."""


def is_dry_run(params: Any, dag_run: Any) -> bool:
    """Return whether a run only lists: a manual run by its form, a scheduled run if it starts more than a day late."""
    if dag_run.run_type == "scheduled":
        return bool(datetime.now(UTC) - dag_run.run_after > MOST_LATE)
    return bool(params["dry_run"])


def on_demand(vendor_name: str) -> str:
    """Return the id of the DAG that refreshes single clients of a vendor."""
    return f"{vendor_name}{_ON_DEMAND}"


def live(vendor_name: str) -> str:
    """Return the id of the DAG that pulls a vendor's edits between the daily runs."""
    return f"{vendor_name}{_LIVE}"


def vendor_of(dag_id: str) -> str:
    """Return the name of the vendor of a daily, on-demand or live DAG; return any other id unchanged."""
    return dag_id.removesuffix(_ON_DEMAND).removesuffix(_LIVE)


def deadline(name: str, hours: float = DEADLINE_HOURS) -> DeadlineAlert:
    """Return an alert for a run that is not finished this many hours after it was queued. Airflow has no deadlines for single tasks.

    The interval is passed in seconds: with a `timedelta`, Airflow 3.3.2 refuses to clear a run, because it can't move the stored deadline
    (apache/airflow#70368).
    """
    return DeadlineAlert(
        name=name,
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=hours * 3600,  # type: ignore[arg-type]
        callback=AsyncCallback(Alert, kwargs={"what": f"Deadline missed: {name}"}),
    )
