"""What the server of forked test processes imports once: Airflow, and what its tasks import. See `tests.forked`."""

import gc
import importlib
import os
import sys

SUPERVISOR = "airflow.sdk.execution_time.supervisor"
MODULES = (
    "airflow.api_fastapi.core_api.routes.public", "airflow.api_fastapi.core_api.routes.ui", "airflow.api_fastapi.execution_api.app",
    "airflow.dag_processing.dagbag", "airflow.providers.postgres.hooks.postgres", "airflow.sdk.execution_time.task_runner", SUPERVISOR,
    "airflow.providers.standard.decorators.branch_python", "airflow.providers.standard.decorators.short_circuit",
    "airflow.providers.standard.operators.trigger_dagrun", "airflow.providers.standard.sensors.external_task",
    "great_expectations", "pgpq", "pyarrow.dataset", "include.validation.check", "include.gateway.api.app", "include.gateway.webhooks.app",
    "include.identity.preview", "include.operations.metrics", "include.rules.evaluation", "include.crm.sync.preview", "limits",
    "include.crm.sync.load", "tests.conftest", "tests.faults.worker",
)  # fmt: skip

os.environ["GX_ANALYTICS_ENABLED"] = "false"
# Airflow initializes itself only in the forked process, from that process's settings.
os.environ["_AIRFLOW__AS_LIBRARY"] = "1"
for name in MODULES:
    importlib.import_module(name)
# `dag.test()` runs its tasks against this API, which takes five seconds to build all its versions.
sys.modules[SUPERVISOR].in_process_api_server().app._cadwyn_initialize()
del os.environ["_AIRFLOW__AS_LIBRARY"]
# A collection of cycles in a forked process would look at all of this, and so copy its memory.
gc.freeze()
