#!/bin/bash
# Fetches what the integration tests use, once, into build/clients: a Python environment with the clients, and Apache
# Kafka's tools from Maven Central. usage: integration/prepare.sh [python|bench]   (python: only the first; bench: that and
# the broker to measure beside)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
into=$here/../build/clients
mkdir -p "$into"

packages=""
if [ "${1:-all}" != python ]; then
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
if [ "${1:-all}" = bench ] && ! cmp -s "$here/bench/pom.xml" "$into/kafka-broker/pom.xml"; then
  echo "fetching the broker of Apache Kafka"
  rm -rf "$into/kafka-broker"
  mvn -q -B -f "$here/bench/pom.xml" dependency:copy-dependencies -DoutputDirectory="$into/kafka-broker" -DincludeScope=runtime
  cp "$here/bench/pom.xml" "$into/kafka-broker/pom.xml"
fi
[ "${1:-all}" = all ] || exit 0
for version in 3.9.1 4.1.0; do
  if [ ! -e "$into/kafka-$version/.complete" ]; then
    echo "fetching the tools of Apache Kafka $version"
    mvn -q -B -f "$here/clients/pom.xml" "-Dkafka.version=$version" dependency:copy-dependencies \
      -DoutputDirectory="$into/kafka-$version" -DincludeScope=runtime
    touch "$into/kafka-$version/.complete"
  fi
done
