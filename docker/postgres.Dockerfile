# PostgreSQL with pgBackRest, which archives the write-ahead log and makes backups, and with openssl, which makes certificates. The base image has PostgreSQL's own package repository.
FROM postgres:18-trixie

RUN apt-get update \
    && apt-get install --yes --no-install-recommends openssl pgbackrest \
    && rm -rf /var/lib/apt/lists/* /etc/pgbackrest.conf \
    && install -d -o postgres -g postgres -m 0750 /var/lib/pgbackrest
COPY backup.sh certificates.sh /opt/tributary/
