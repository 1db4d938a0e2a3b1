#!/bin/sh
# Starts Triton on every exported model of a repository. Further arguments are tritonserver's own. Environment:
#   MODEL_REPOSITORY   default /models
#   MODEL_CONFIG_NAME  "gpu" picks configs/gpu.pbtxt inside each model folder
#   OTEL_EXPORTER_OTLP_ENDPOINT  collector that gets the traces of requests with a traceparent; empty: no tracing
#   ADMIN_KEY          value of the header admin-key that opens the restricted APIs; random when empty
set -eu
repository=${MODEL_REPOSITORY:-/models}

for config in "$repository"/*/config.pbtxt; do
    folder=${config%/config.pbtxt}
    # Only models with a version folder: a repository may hold the configuration of a precision not exported.
    for version in "$folder"/[0-9]*/; do
        [ -d "$version" ] || continue
        set -- --load-model="${folder##*/}" "$@"
        models=yes
        break
    done
done
if [ -z "${models:-}" ]; then
    echo "error: no exported model in $repository: run \`make export\` on the host first" >&2
    exit 1
fi

[ -z "${MODEL_CONFIG_NAME:-}" ] || set -- --model-config-name="$MODEL_CONFIG_NAME" "$@"
if [ -n "${OTEL_EXPORTER_OTLP_ENDPOINT:-}" ]; then
    # Rate 0: only what brings a context.
    set -- --trace-config=mode=opentelemetry --trace-config=level=TIMESTAMPS --trace-config=rate=0 \
        --trace-config=opentelemetry,url="${OTEL_EXPORTER_OTLP_ENDPOINT%/}/v1/traces" \
        --trace-config=opentelemetry,resource=service.name=triton "$@"
fi

# Closed to callers without the key: shared memory (a way into the server's memory), loading and unloading models,
# and the two that change what the server writes to disk.
key=${ADMIN_KEY:-$(od -An -tx1 -N16 /dev/urandom | tr -d ' \n')}
closed="shared-memory,model-repository,trace,logging:admin-key=$key"

exec tritonserver \
    --model-repository="$repository" \
    --model-control-mode=explicit \
    --exit-on-error=true \
    --exit-timeout-secs=30 \
    --http-restricted-api="$closed" \
    --grpc-restricted-protocol="$closed" \
    "$@"
