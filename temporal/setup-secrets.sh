#!/bin/sh
# Creates the passwords and keys of docker-compose.yml, one file each, in the folder of the first argument (secrets).
# Existing files are not changed: the secret key must be kept for good.
set -eu
folder="${1:-secrets}"
umask 077
mkdir -p "$folder"
chmod 700 "$folder" # Closed to other users of this machine.
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
keep() {
    [ -s "$folder/$1" ] || printf '%s\n' "$2" >"$folder/$1"
    chmod 644 "$folder/$1" # The users inside the containers have other ids.
}
keep postgres_password "$(random)"
keep temporal_db_password "$(random)"
keep orchestrator_db_password "$(random)"
keep orchestrator_database_url "postgresql://orchestrator:$(cat "$folder/orchestrator_db_password")@postgres:5432/orchestrator"
keep redis_conf "requirepass $(random)"
keep orchestrator_redis_url "redis://:$(sed -n 's/^requirepass //p' "$folder/redis_conf")@redis:6379/0"
keep orchestrator_secret_key "$(random)"
keep orchestrator_admin_api_key "dvr_sk_live_$(random)"
