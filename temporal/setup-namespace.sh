#!/bin/sh
# Creates or updates the namespace with its retention and search attributes. Needs `temporal` on the path.
# TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE select it; RETENTION_DAYS is the retention of closed jobs in days.
set -eu
here=$(dirname "$0")
namespace="${TEMPORAL_NAMESPACE:-default}"
retention="$((${RETENTION_DAYS:-30} * 24))h"

tries=60
until temporal operator cluster health >/dev/null 2>&1; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || { echo "Temporal does not answer at ${TEMPORAL_ADDRESS:-127.0.0.1:7233}" >&2; exit 1; }
    sleep 2
done

ensure_namespace() {
    if temporal operator namespace describe -n "$namespace" >/dev/null 2>&1; then
        temporal operator namespace update -n "$namespace" --retention "$retention"
    else
        temporal operator namespace create -n "$namespace" --retention "$retention"
    fi
}

tries=10
until ensure_namespace; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || exit 1
    sleep 3
done

sed -n 's/.*"\([A-Za-z]*\)": *"\([A-Za-z]*\)".*/\1 \2/p' "$here/search-attributes.json" | while read -r name type; do
    tries=30 # The servers load a new namespace within 10 s.
    until temporal operator search-attribute create -n "$namespace" --name "$name" --type "$type"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || exit 1
        sleep 2
    done
done
