#!/bin/bash
# Fetches what the integration tests use, once, into build/clients: a Python environment with the clients, and Apache
# Kafka's tools from Maven Central. usage: integration/prepare.sh [python]   (python: only the first)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
into=$here/../build/clients
mkdir -p "$into"

packages=""
if [ "${1:-all}" = all ]; then
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
[ "${1:-all}" = all ] || exit 0
for version in 3.9.1 4.1.0; do
  if [ ! -e "$into/kafka-$version/.complete" ]; then
    echo "fetching the tools of Apache Kafka $version"
    mvn -q -B -f "$here/clients/pom.xml" "-Dkafka.version=$version" dependency:copy-dependencies \
      -DoutputDirectory="$into/kafka-$version" -DincludeScope=runtime
    touch "$into/kafka-$version/.complete"
  fi
done
