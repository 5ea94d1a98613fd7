#!/bin/sh
# Fills in each empty secret of .env with a random value; a value that is set stays. TRIBUTARY_RECEIVING_KEY follows from TRIBUTARY_KEYS,
# so the image prints it: see .env.example. Run it on the host, in the project's folder.
set -eu
umask 077
command -v openssl >/dev/null || { echo "openssl is not installed; nothing was written" >&2; exit 1; }
file=${1:-.env}
[ -e "$file" ] || cp .env.example "$file"
chmod 600 "$file"

# fill NAME VALUE: set a variable that is empty.
fill() {
	grep -q "^$1=$" "$file" || return 0
	[ -n "$2" ] || { echo "No random value for $1" >&2; exit 1; }
	sed -i "s|^$1=$|$1=$2|" "$file"
	echo "Filled in $1"
}

key() { echo "$1:$(date +%F):$(openssl rand -hex 32)"; }

for name in POSTGRES_PASSWORD AIRFLOW_DB_PASSWORD TRIBUTARY_MIGRATE_PASSWORD TRIBUTARY_LOAD_PASSWORD TRIBUTARY_READ_PASSWORD \
	TRIBUTARY_LISTENER_PASSWORD TRIBUTARY_GATEWAY_PASSWORD TRIBUTARY_API_PASSWORD TRIBUTARY_WEB_PASSWORD AIRFLOW_ADMIN_PASSWORD \
	REDIS_PASSWORD OBJECT_STORE_USER OBJECT_STORE_PASSWORD; do
	fill "$name" "$(openssl rand -hex 24)"
done
for name in TRIBUTARY_BACKUP_KEY AIRFLOW_SECRET_KEY AIRFLOW_JWT_SECRET; do
	fill "$name" "$(openssl rand -hex 32)"
done
fill AIRFLOW_FERNET_KEY "$(openssl rand -base64 32 | tr '+/' '-_')"
fill TRIBUTARY_KEYS "$(key hash) $(key seal) $(key audit) $(key inbox)"
fill TRIBUTARY_STAGING_KEYS "$(key staging)"
