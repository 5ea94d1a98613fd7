"""Airflow's API server with all of the project's DAGs in its database, and no scheduler: what is started waits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from local import airflow
from local.airflow_api import AirflowApi
from tests.api_server import serve
from tests.dags.airflow_home import ROOT, run, said

_STORE = """
import json
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db

manager = DagBundlesManager()
manager.sync_bundles_to_db()
for bundle in manager.get_all_dag_bundles():
    bundle.initialize()
    bag = BundleDagBag(bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
    sync_bag_to_db(bag, bundle.name, bundle_version=bundle.get_current_version())
print("DAGS", json.dumps(sorted(bag.dags)))
"""


@contextmanager
def serve_dags(
    folder: Path,
    known: Path,
    roles: Mapping[str, str] | None = None,
    connections: Mapping[str, str] | None = None,
    **environment: str,
) -> Iterator[tuple[AirflowApi, dict[str, str], list[str]]]:
    """Yields the API, logged in, the settings of that Airflow's processes, and the ids of its DAGs.

    Args:
        folder: Of this server alone.
        known: Where Airflow's empty database is kept (the fixture `airflow_database`).
        roles: User -> role, with the administrator; by default, the administrator alone.
        connections: As Airflow reads them from the environment; by default, none.
        environment: More of its environment.
    """
    environment["AIRFLOW__CORE__DAGS_FOLDER"] = str(ROOT / "dags")
    with serve(folder, known, connections or {}, roles, **environment) as (url, passwords):
        port, metadata = urlsplit(url).port or 0, f"sqlite:///{folder / 'home'}/airflow.db"
        settings = airflow.environment(folder / "home", metadata, port, ROOT) | environment
        dag_ids = json.loads(said(run(settings, _STORE), "DAGS"))
        api = AirflowApi(url, airflow.USER, passwords[airflow.USER])
        api.log_in()
        yield api, settings, dag_ids
