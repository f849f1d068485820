#!/usr/bin/env python3
"""Read-ahead alone over cold history: the same bytes from the archive (50 ms to the first byte) and from the local disk.

For each number of partitions one topic with remote.storage.enable=false (warm: page cache) and one that lies in the
archive alone (cold); one librdkafka consumer, first to last record. Warm and cold take turns, and the broker is started
anew before each, so that its cache is empty. `--data` keeps the topics for another run.
"""
import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import harness  # noqa: E402
import s3_server  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

SETTINGS = {"prefetch.mode": "read-ahead", "durability": "page-cache", "access.log.enable": "false"}


def load(broker, mode, topic, partitions, megabytes):
    command = [os.path.join(harness.BUILD, "bench", "load"), mode, broker.address, topic, "--partitions", str(partitions), "--megabytes", str(megabytes)]
    return json.loads(harness.run(command, timeout=600))


def cpu_seconds(broker):
    """Of the broker's process, from outside."""
    with open(f"/proc/{broker.process.process.pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def segment_bytes(partitions):
    return (64 if partitions == 1 else 16 if partitions <= 16 else 8) << 20


def add_archive_option(parser):
    parser.add_argument("--archive", choices=["file", "s3"], default="file", help="s3: versitygw on loopback; integration/prepare.sh s3 builds it")


def use_archive(broker, kind):
    """Lets `broker` archive there; what to stop afterwards, if anything."""
    if kind == "file":
        return None
    server = s3_server.S3Server(os.path.join(broker.folder, "s3")).start()
    broker.settings.update(server.settings())
    broker.environment = s3_server.keys()
    return server


def archived(broker, topic):
    rows = broker.json(f"/api/shards?topic={topic}")["shards"]
    return all(r["location"] == "archive" for r in rows if r["state"] != "open")


def prepare(broker, counts, megabytes):
    broker.start(**{"archive.first.byte.delay.ms": 0})
    client = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
    have = client.list_topics(timeout=10).topics
    for partitions in counts:
        if f"cold{partitions}" in have:
            continue
        segment = {"segment.bytes": str(segment_bytes(partitions))}
        topics = [
            NewTopic(f"warm{partitions}", partitions, 1, config={"remote.storage.enable": "false", **segment}),
            NewTopic(f"cold{partitions}", partitions, 1, config={"local.retention.ms": "1", **segment}),
        ]
        for future in client.create_topics(topics).values():
            future.result(30)
        for topic in topics:
            load(broker, "produce", topic.topic, partitions, megabytes)
    del client
    for partitions in counts:
        harness.wait_until(lambda p=partitions: archived(broker, f"cold{p}"), 600, "archiving")
    broker.stop()


def consume(broker, topic, partitions, megabytes):
    """MB/s and broker CPU seconds per GiB of a broker with an empty cache."""
    broker.start()
    before = cpu_seconds(broker)
    result = load(broker, "consume", topic, partitions, megabytes)
    cpu = (cpu_seconds(broker) - before) * 1024 / result["megabytes"]
    broker.stop()
    return result["mb_per_s"], cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1024, help="in each topic")
    parser.add_argument("--partitions", default="1,16,50")
    parser.add_argument("--delay-ms", type=int, default=50)
    parser.add_argument("--cache-megabytes", type=int, default=512)
    parser.add_argument("--runs", type=int, default=3)
    add_archive_option(parser)
    parser.add_argument("--data", help="a folder to keep the topics in, or to find them in")
    parser.add_argument("--prepare", action="store_true", help="only write the topics")
    args = parser.parse_args()
    counts = [int(p) for p in args.partitions.split(",")]
    folder = args.data or tempfile.mkdtemp(prefix="forelog-cold-")
    os.makedirs(folder, exist_ok=True)
    broker = harness.Broker(folder, **SETTINGS, **{"cache.memory": args.cache_megabytes << 20})
    server = None
    try:
        server = use_archive(broker, args.archive)
        prepare(broker, counts, args.megabytes)
        if args.prepare:
            return
        broker.settings["archive.first.byte.delay.ms"] = args.delay_ms
        print(f"{args.megabytes} MB in each topic; cache {args.cache_megabytes} MiB, empty before each run; median (range) of {args.runs}.\n")
        print(f"| partitions | warm MB/s | cold MB/s, {args.delay_ms} ms, read-ahead | cold ÷ warm | CPU s/GiB warm | cold |\n|---:|---:|---:|---:|---:|---:|")
        for partitions in counts:
            warm, cold = [], []
            # What still lies in the open shards is local; it is left out of both.
            size = args.megabytes - partitions * (segment_bytes(partitions) >> 20)
            for _ in range(args.runs):
                warm.append(consume(broker, f"warm{partitions}", partitions, size))
                cold.append(consume(broker, f"cold{partitions}", partitions, size))

            def text(values, digits=0):
                return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"

            ratios = [c[0] / w[0] for c, w in zip(cold, warm)]
            print(
                f"| {partitions} | {text([w[0] for w in warm])} | {text([c[0] for c in cold])} | {text(ratios, 2)} "
                f"| {statistics.median(w[1] for w in warm):.2f} | {statistics.median(c[1] for c in cold):.2f} |",
                flush=True,
            )
    finally:
        broker.close()
        if server:
            server.stop()
        if not args.data:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
