"""The tasks of the DAGs. Each calls one step of the pipeline in `include`."""
