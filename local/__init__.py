"""The whole project on one machine, without Docker: a PostgreSQL server and Airflow's processes."""
