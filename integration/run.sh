#!/bin/bash
# Starts broker and predictor in the foreground on embedded defaults. usage: integration/run.sh BUILD_DIR DATA_DIR
set -eu
build=$1
data=$2
here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$data/archive"

"$build/forelog-broker" "$here/docs/examples/server.properties" \
  --set "log.dirs=$data/log" --set "archive.url=file:$(cd "$data" && pwd)/archive" &
broker=$!
predictor=
stop() {
  trap - INT TERM
  if [ -n "$predictor" ]; then kill -TERM "$predictor" 2>/dev/null || true; wait "$predictor" 2>/dev/null || true; fi
  kill -TERM "$broker" 2>/dev/null || true
  wait "$broker" 2>/dev/null || true
  echo "stopped; data stays in $data"
}
trap 'stop; exit 0' INT TERM

for _ in $(seq 200); do
  curl -sf -o /dev/null http://127.0.0.1:9600/ready && break
  kill -0 "$broker" 2>/dev/null || { wait "$broker"; exit 1; }
  sleep 0.02
done
"$build/forelog-predictor" --bootstrap-server 127.0.0.1:9092 --set "state.dir=$data/predictor" &
predictor=$!

cat <<TEXT

Forelog is up on 127.0.0.1:9092. In another terminal:

  produce     echo "hello" | kcat -b 127.0.0.1:9092 -t greetings -P
  consume     kcat -b 127.0.0.1:9092 -t greetings -C -o beginning -e
  shards      $build/forelog shards greetings
  accesses    $build/forelog access-log --follow
  plans       $build/forelog plans --follow

  metrics     http://127.0.0.1:9600/metrics
  data        $data/log (log), $data/archive (archive), $data/predictor (what was learnt)

Ctrl-C stops both.

TEXT
wait "$broker" || true
stop
