#!/bin/sh
# Makes the daemon's policy and its token in the OpenBao at BAO_ADDR; may be run repeatedly.
# No token is ever an argument: they travel in the environment and on standard input.
set -eu
secrets="${SECRETS:-/run/secrets}"
BAO_TOKEN="$(cat "$secrets/openbao-root/token")"
export BAO_TOKEN

bao policy write page-token-sync - <<'HCL'
path "secret/data/meta/pages/*"     { capabilities = ["create", "read", "update"] }
path "secret/metadata/meta/pages/*" { capabilities = ["read", "patch", "list"] }
path "secret/config"                { capabilities = ["read"] }
path "auth/token/lookup-self" { capabilities = ["read"] }
path "sys/capabilities-self"  { capabilities = ["update"] }
HCL

token="$(cat "$secrets/openbao-daemon/token")"
if ! BAO_TOKEN="$token" bao token lookup >/dev/null 2>&1; then
    printf '{"id": "%s", "policies": ["page-token-sync"], "period": "768h"}' "$token" |
        bao write auth/token/create - >/dev/null
fi
echo "The daemon's token is ready."
