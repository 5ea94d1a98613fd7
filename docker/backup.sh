#!/bin/sh
# Backs up both databases when it starts and every night at 02:00 UTC: everything on Sundays, otherwise what changed since. The first backup is a
# full one. Each backup carries a fingerprint of the warehouse, taken before it, with which a restored database is compared.
set -eu
export PGBACKREST_STANZA=tributary

until pgbackrest stanza-create; do sleep 30; done
while true; do
	kind=incr
	[ "$(date -u +%u)" = 7 ] && kind=full
	fingerprint=$(psql --no-psqlrc --tuples-only --no-align --dbname tributary --username postgres --command 'select control.fingerprint()') &&
		pgbackrest backup --type="$kind" --annotation="fingerprint=$fingerprint" && touch /tmp/backed_up ||
		echo 'The backup failed; it is tried again in an hour' >&2
	pause=3600
	[ -n "$(find /tmp/backed_up -mmin -60 2>/dev/null)" ] && pause=$((86400 - ($(date +%s) - 7200) % 86400))
	sleep "$pause"
done
