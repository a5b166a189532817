#!/bin/sh
# Creates or upgrades Temporal's two PostgreSQL databases. Needs `temporal-sql-tool` on the path (`make
# temporal-postgres`, or the admin-tools image) and SQL_HOST, SQL_PORT, SQL_USER, SQL_PASSWORD (or SQL_PASSWORD_FILE). May run again at any time.
set -eu
if [ -n "${SQL_PASSWORD_FILE:-}" ]; then
    SQL_PASSWORD="$(cat "$SQL_PASSWORD_FILE")"
    export SQL_PASSWORD
fi
export SQL_PLUGIN="${SQL_PLUGIN:-postgres12}"

prepare() {
    temporal-sql-tool --db "$1" create-database || echo "database $1 is there already"
    # In this order: `setup-schema` on a database that has a schema would reset its recorded version.
    temporal-sql-tool --db "$1" update-schema --schema-name "postgresql/v12/$2" || {
        temporal-sql-tool --db "$1" setup-schema -v 0.0 &&
            temporal-sql-tool --db "$1" update-schema --schema-name "postgresql/v12/$2"
    }
}

prepare_both() {
    prepare "${TEMPORAL_DB:-temporal}" temporal && prepare "${TEMPORAL_VISIBILITY_DB:-temporal_visibility}" visibility
}

tries=5
until prepare_both; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || { echo "PostgreSQL at $SQL_HOST:$SQL_PORT could not be prepared; the reason is above" >&2; exit 1; }
    sleep 3
done
