"""Pages and routes inside Airflow's API server."""
