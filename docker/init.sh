#!/bin/sh
# Runs before all other services: checks the go-live date and the firm's folder, migrates both databases, and creates roles, pools and the
# first user. Each step can be repeated; an existing pool or user is not changed.
set -eu

# Airflow gives a run that a user starts no tasks if its logical date is before the first day of the schedules, and reports it as a success.
if [ "$(date -u --date "$TRIBUTARY_GO_LIVE" +%F 2>/dev/null)" != "$TRIBUTARY_GO_LIVE" ] || ! [ "$TRIBUTARY_GO_LIVE" \< "$(date -u +%F)" ]; then
	echo "TRIBUTARY_GO_LIVE=$TRIBUTARY_GO_LIVE must be a date before today (UTC) in the form YYYY-MM-DD: enter yesterday's date" >&2
	exit 1
fi

python -m include.cli config check

airflow db migrate
python -m include.cli create-roles
python -m include.cli migrate

for vendor in $(python -c 'from include.vendors import VENDORS; print(*(vendor.name for vendor in VENDORS))'); do
	airflow pools get "${vendor}_api" >/dev/null 2>&1 ||
		airflow pools set "${vendor}_api" 6 "Tables of ${vendor} pulled at once"
done

# With an identity provider, there are no local users.
if [ -z "${TRIBUTARY_OIDC_ISSUER:-}" ]; then
	airflow users create --username "$AIRFLOW_ADMIN_USER" --role Admin --firstname First --lastname User --email "$AIRFLOW_ADMIN_USER@localhost" \
		--password "$AIRFLOW_ADMIN_PASSWORD"
fi
