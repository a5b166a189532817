#!/bin/sh
# Creates a role for Temporal and one for the job index, each with access to its own databases only. A superuser runs this
# once on an empty server; in docker-compose.yml PostgreSQL's image does. The passwords are files in SECRETS_DIR.
set -eu
secrets="${SECRETS_DIR:-/run/secrets}"
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres \
    --set temporal="$(cat "$secrets/temporal_db_password")" \
    --set orchestrator="$(cat "$secrets/orchestrator_db_password")" <<'SQL'
CREATE ROLE temporal LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'temporal';
CREATE ROLE orchestrator LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'orchestrator';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
CREATE DATABASE orchestrator OWNER orchestrator;
REVOKE ALL ON DATABASE temporal, temporal_visibility, orchestrator FROM PUBLIC;
SQL
