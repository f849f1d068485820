#!/usr/bin/env python3
"""Read-ahead alone over cold history: the same bytes from the archive (50 ms to the first byte) and from the local disk.

One topic with remote.storage.enable=false (warm: page cache), one that lies in the archive alone (cold), for 1 and 16
partitions; one librdkafka consumer each, first to last record, taking turns in one run.
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
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402


def load(broker, mode, topic, partitions, megabytes):
    command = [os.path.join(harness.BUILD, "bench", "load"), mode, broker.address, topic, "--partitions", str(partitions), "--megabytes", str(megabytes)]
    return json.loads(harness.run(command, timeout=600))["mb_per_s"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=2048, help="in each topic")
    parser.add_argument("--delay-ms", type=int, default=50)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="forelog-cold-")
    broker = harness.Broker(folder, **{"cache.memory": 192 << 20, "prefetch.mode": "read-ahead", "durability": "page-cache"})
    try:
        broker.start()
        client = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
        topics = []
        for partitions in (1, 16):
            segment = {"segment.bytes": str(64 << 20) if partitions == 1 else str(16 << 20)}
            topics.append(NewTopic(f"warm{partitions}", partitions, 1, config={"remote.storage.enable": "false", **segment}))
            topics.append(NewTopic(f"cold{partitions}", partitions, 1, config={"local.retention.ms": "1", **segment}))
        for future in client.create_topics(topics).values():
            future.result(30)
        for topic in topics:
            load(broker, "produce", topic.topic, topic.num_partitions, args.megabytes)
        del client

        def archived(topic):
            rows = broker.json(f"/api/shards?topic={topic}")["shards"]
            return all(r["location"] == "archive" for r in rows if r["state"] != "open")

        harness.wait_until(lambda: archived("cold1") and archived("cold16"), 300, "archiving")
        broker.stop()
        broker.start(**{"archive.first.byte.delay.ms": args.delay_ms})
        print(f"| consumer of | warm MB/s | cold MB/s, {args.delay_ms} ms, read-ahead | cold ÷ warm |\n|---|---:|---:|---:|")
        for partitions in (1, 16):
            warm, cold = [], []
            # What still lies in the open shards is local; it is left out of both.
            size = args.megabytes - (64 if partitions == 1 else 16 * 16)
            for _ in range(args.runs):
                warm.append(load(broker, "consume", f"warm{partitions}", partitions, size))
                cold.append(load(broker, "consume", f"cold{partitions}", partitions, size))
            ratio = statistics.median(c / w for c, w in zip(cold, warm))
            print(f"| {partitions} partition{'s' if partitions > 1 else ''} | {statistics.median(warm):.0f} ({min(warm):.0f}–{max(warm):.0f}) "
                  f"| {statistics.median(cold):.0f} ({min(cold):.0f}–{max(cold):.0f}) | {ratio:.2f} |", flush=True)
        broker.stop()
    finally:
        broker.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
