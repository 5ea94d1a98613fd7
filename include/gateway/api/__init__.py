"""The HTTP API for programs: `/api/v1`. It needs the database and nothing else, and never talks to Airflow."""
