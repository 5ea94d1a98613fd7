#!/bin/sh
# Runs at the first start of an empty server: creates Airflow's database and role. The server itself creates the database `tributary`.
set -eu

psql --set ON_ERROR_STOP=1 --username postgres --dbname postgres <<'SQL'
\getenv password AIRFLOW_DB_PASSWORD
create role airflow login password :'password';
create database airflow owner airflow;
revoke all on database airflow from public;
-- A component that stopped in the middle of a transaction must not keep its locks.
alter database airflow set idle_in_transaction_session_timeout = '2min';
SQL
