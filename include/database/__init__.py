"""PostgreSQL: binary COPY, planner statistics, lock holders."""
