#!/bin/sh
# Backs up both databases when it starts and every night at 02:00 UTC: everything on Sundays, otherwise what changed since. The first backup is a
# full one. Each backup carries a fingerprint of the warehouse, taken before it, with which a restored database is compared. The database records
# each backup, and Airflow sends an alert if one is missing.
set -eu
export PGBACKREST_STANZA=tributary

query() { psql --set=ON_ERROR_STOP=1 --no-psqlrc --tuples-only --no-align --dbname tributary --username postgres "$@"; }

until pgbackrest stanza-create; do sleep 30; done
while true; do
	kind=incr
	[ "$(date -u +%u)" = 7 ] && kind=full
	fingerprint=$(query --command 'select control.fingerprint()') &&
		pgbackrest backup --type="$kind" --annotation="fingerprint=$fingerprint" &&
		query --set=kind="$kind" --set=fingerprint="$fingerprint" <<-'END' && touch /tmp/backed_up ||
			insert into control.backup (kind, known_at) values (:'kind', (cast(:'fingerprint' as jsonb) ->> 'known_at')::timestamptz);
		END
		echo 'The backup failed; it is tried again in an hour' >&2
	pause=3600
	[ -n "$(find /tmp/backed_up -mmin -60 2>/dev/null)" ] && pause=$((86400 - ($(date +%s) - 7200) % 86400))
	sleep "$pause"
done
