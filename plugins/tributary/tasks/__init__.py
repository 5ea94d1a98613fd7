"""The tasks of the DAGs, a few lines around each step of the pipeline."""
