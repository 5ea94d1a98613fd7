#!/bin/sh
# Runs before all other services: checks the go-live date and the firm's folder, migrates both databases, and creates roles, pools and the
# first user. Each step can be repeated; an existing user is not changed.
set -eu

# Airflow gives a run that a user starts no tasks if its logical date is before the first day of the schedules, and reports it as a success.
if [ "$(date -u --date "$TRIBUTARY_GO_LIVE" +%F 2>/dev/null)" != "$TRIBUTARY_GO_LIVE" ] || ! [ "$TRIBUTARY_GO_LIVE" \< "$(date -u +%F)" ]; then
	echo "TRIBUTARY_GO_LIVE=$TRIBUTARY_GO_LIVE must be a date before today (UTC) in the form YYYY-MM-DD: enter yesterday's date" >&2
	exit 1
fi

if [ "$AIRFLOW__CORE__PARALLELISM" -lt $((TRIBUTARY_PULL_SLOTS + TRIBUTARY_LOAD_SLOTS)) ]; then
	echo "TRIBUTARY_PARALLELISM=$AIRFLOW__CORE__PARALLELISM must be at least TRIBUTARY_PULL_SLOTS + TRIBUTARY_LOAD_SLOTS" \
		"= $((TRIBUTARY_PULL_SLOTS + TRIBUTARY_LOAD_SLOTS)): otherwise long pulls keep other tasks from starting" >&2
	exit 1
fi

python -m include.cli config check

airflow db migrate
python -m include.cli create-roles
python -m include.cli migrate

airflow pools set pulls "$TRIBUTARY_PULL_SLOTS" "Tables that daily runs pull at once" >/dev/null
airflow pools set default_pool "$TRIBUTARY_LOAD_SLOTS" "All other tasks" >/dev/null

# With an identity provider, there are no local users.
if [ -z "${TRIBUTARY_OIDC_ISSUER:-}" ]; then
	airflow users create --username "$AIRFLOW_ADMIN_USER" --role Admin --firstname First --lastname User --email "$AIRFLOW_ADMIN_USER@localhost" \
		--password "$AIRFLOW_ADMIN_PASSWORD"
fi
