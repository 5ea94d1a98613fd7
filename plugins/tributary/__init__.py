"""The parts that Airflow loads: connections, retry policy, forms, alerts, tasks, triggers and pages."""
