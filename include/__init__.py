"""The domain of Tributary: plain Python that runs, and is tested, without Airflow."""
