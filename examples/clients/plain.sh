#!/bin/sh
# A client in plain shell, with no tools but curl and sed: it deploys a file, follows the events until it serves, and
# predicts. Sentences and values are taken out of JSON by sed, which is enough for the names and numbers used here.
#
#   [URL=http://127.0.0.1:5000] [MODELDROP_TOKEN=...] sh plain.sh [FILE.onnx]
set -eu

url=${URL:-http://127.0.0.1:5000}
file=${1:-$(dirname "$0")/../models/deploy_new.onnx}
model=by-plain-shell
row='[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]'

# ask PATH CURL_OPTION...: the answer's body; ends with 1 where it is an error, which $body then holds.
ask() {
    path=$1
    shift
    told=$(curl --silent --show-error --max-time 60 --write-out '\n%{http_code}' \
        ${MODELDROP_TOKEN:+--header "Authorization: Bearer $MODELDROP_TOKEN"} "$@" "$url$path") || return 1
    status=$(printf '%s\n' "$told" | sed '$!d')
    printf '%s\n' "$told" | sed '$d'
    [ "$status" = 200 ]
}

# field NAME: the value of a text or number in the JSON that comes in.
field() {
    sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"
}

# row_of: the numbers of the first row of the output in the JSON that comes in.
row_of() {
    sed -n 's/.*"output":\[\[\([^]]*\)\].*/\1/p'
}

# failed BODY: says what is wrong, and ends the client.
failed() {
    echo "refused: $1" >&2
    exit 1
}

# predict MODEL: what it gives for a row of ones, and which version that was.
predict() {
    body=$(ask "/models/$1/predict" --data "{\"inputs\": [$row]}") || failed "$body"
    echo "$1 version $(echo "$body" | field version): $(echo "$body" | row_of)"
}

# follow AFTER: waits until an event beyond the id AFTER says that the model is live.
follow() {
    after=$1
    turn=0
    while [ "$turn" -lt 6 ]; do
        body=$(ask "/events?after=$after&model=$model&wait=5") || failed "$body"
        case $body in *'"event":"live"'*) return 0 ;; esac
        after=$(echo "$body" | field last)
        turn=$((turn + 1))
    done
    failed "$model is not live after half a minute"
}

predict default

body=$(ask '/events?limit=0') || failed "$body"
last=$(echo "$body" | field last)
body=$(ask "/models/$model/upload?filename=$(basename "$file")" --upload-file "$file") || failed "$body"
outcome=$(echo "$body" | field outcome)
[ "$outcome" != live ] || follow "$last"
echo "$model: $outcome"
predict "$model"

if body=$(ask /models/nobody/predict --data "{\"inputs\": [$row]}"); then
    failed "expected an error, got $body"
fi
echo "as it should be: $(echo "$body" | field code)"
