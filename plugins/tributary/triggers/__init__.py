"""Event triggers: Airflow's triggerer waits for rows in the database and for events of Salesforce."""
