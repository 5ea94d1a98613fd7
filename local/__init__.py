"""Run the whole project on one machine without Docker: a PostgreSQL server, the sandbox and Airflow's processes."""
