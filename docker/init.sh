#!/bin/sh
# Before anything else starts: both databases at their newest version, roles, pools, the first user. Any step may be
# repeated; a pool or a user that is there stays as it is.
set -eu

airflow db migrate
python -m include.cli create-roles
python -m include.cli migrate

for vendor in $(python -c 'from include.vendors import VENDORS; print(*(vendor.name for vendor in VENDORS))'); do
	airflow pools get "${vendor}_api" >/dev/null 2>&1 ||
		airflow pools set "${vendor}_api" 6 "Tables of ${vendor} pulled at once"
done

airflow users create --username admin --role Admin --firstname First --lastname User --email admin@localhost \
	--password "$AIRFLOW_ADMIN_PASSWORD"
