# Tributary with pgBackRest and PostgreSQL's server, for restore drills. The package repository and its key are those of PostgreSQL's own image.
ARG TRIBUTARY_VERSION=latest
FROM postgres:18-trixie AS postgres
FROM tributary:${TRIBUTARY_VERSION}

USER root
COPY --from=postgres /etc/apt/sources.list.d/pgdg.list /etc/apt/sources.list.d/
COPY --from=postgres /usr/local/share/keyrings/postgres.gpg.asc /usr/local/share/keyrings/
# Without the setting, the package creates a server of its own.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates postgresql-common \
    && echo 'create_main_cluster = false' >> /etc/postgresql-common/createcluster.conf \
    && apt-get install --yes --no-install-recommends postgresql-18 pgbackrest \
    && rm -rf /var/lib/apt/lists/* /etc/pgbackrest.conf
USER tributary
