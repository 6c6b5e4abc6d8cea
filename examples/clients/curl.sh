#!/bin/sh
# Everything by curl alone; each answer is printed as it comes, and the first that is an error ends it.
#
#   [URL=http://127.0.0.1:5000] [MODELDROP_TOKEN=...] sh curl.sh [FILE.onnx]
set -eu

url=${URL:-http://127.0.0.1:5000}
file=${1:-$(dirname "$0")/../models/deploy_new.onnx}
model=by-curl
row='[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]'

ask() {
    curl --silent --show-error --fail-with-body --max-time 60 --write-out '\n' \
        ${MODELDROP_TOKEN:+--header "Authorization: Bearer $MODELDROP_TOKEN"} "$@"
}

echo "# predict with the default model: two rows"
ask "$url/predict" --data "{\"inputs\": [$row, $row]}"

echo "# the same by the Open Inference Protocol"
ask "$url/v2/models/default/infer" \
    --data "{\"inputs\": [{\"name\": \"input\", \"shape\": [1, 10], \"datatype\": \"FP32\", \"data\": $row}]}"

echo "# deploy a file as a model of its own name; the answer comes when it serves"
ask "$url/models/$model/upload?filename=$(basename "$file")" --upload-file "$file"

echo "# what serves now, and what happened to it; wait= holds the answer until there is something"
ask "$url/models/$model"
ask "$url/events?model=$model&wait=10&limit=10"

echo "# and predict with it"
ask "$url/models/$model/predict" --data "{\"inputs\": [$row]}"

echo "# an error has a status, a code for programs and a sentence for people"
if ask "$url/models/nobody/predict" --data "{\"inputs\": [$row]}" 2>/dev/null; then
    echo "expected an error" >&2
    exit 1
fi
