"""The HTTP API for programs: `/api/v1`. It depends only on the database and never calls Airflow."""
