#!/bin/sh
# The server with nothing but curl. Usage: curl.sh [http://127.0.0.1:8000]
set -eu
url=${1:-http://127.0.0.1:8000}

echo "One review, the short way:"
curl --fail-with-body -sS "$url/v2/models/sentiment/generate" \
    -d '{"text": "A delight from the first minute to the last."}'

echo; echo "Two reviews in one request:"
curl --fail-with-body -sS "$url/v2/models/sentiment/generate" \
    -d '{"text": ["A delight from the first minute to the last.", "Dull, badly acted and far too long."]}'

echo; echo "The same by the standard inference protocol, which names shapes and types:"
curl --fail-with-body -sS "$url/v2/models/sentiment/infer" -d '{
    "inputs": [{
        "name": "text", "shape": [2, 1], "datatype": "BYTES",
        "data": ["A delight from the first minute to the last.", "Dull, badly acted and far too long."]
    }]
}'
echo
