#!/usr/bin/env python3
"""Does the cache's disk tier stand in the way of producers? Latency of durable produces at a fixed rate, while a reader goes
through archived history at a fixed rate: without a disk tier, while the tier is written, and while it is read.

The three take turns on one disk, which holds log and tier both: the worst place for it.
"""
import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import confluent_kafka  # noqa: E402
import harness  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

RECORD = 64 << 10
PARTITIONS = 8


class Reader(threading.Thread):
    """Reads the history again and again at a fixed rate."""

    def __init__(self, broker, megabytes_per_second):
        super().__init__()
        self.broker, self.rate, self.done, self.read = broker, megabytes_per_second << 20, False, 0

    def run(self):
        consumer = confluent_kafka.Consumer({"bootstrap.servers": self.broker.address, "group.id": uuid.uuid4().hex, "enable.auto.commit": False,
                                             "enable.partition.eof": True, "queued.max.messages.kbytes": 16384})
        begin = [confluent_kafka.TopicPartition("history", p, 0) for p in range(PARTITIONS)]
        began, ended = time.monotonic(), 0
        consumer.assign(begin)
        while not self.done:
            for message in consumer.consume(50, 0.2):
                if message.error():
                    ended += 1
                else:
                    self.read += RECORD
            if ended == PARTITIONS:
                ended = 0
                consumer.assign(begin)
            time.sleep(max(0, self.read / self.rate - (time.monotonic() - began)))
        consumer.close()


def load(broker, *arguments):
    command = [os.path.join(harness.BUILD, "bench", "load"), *arguments]
    return json.loads(harness.run(command, timeout=120))


def prepare(broker, megabytes):
    broker.start()
    client = AdminClient({"bootstrap.servers": broker.address})
    topics = [NewTopic("history", PARTITIONS, 1, config={"local.retention.ms": "1", "segment.bytes": str(8 << 20)}),
              NewTopic("live", 16, 1, config={"remote.storage.enable": "false", "retention.bytes": str(64 << 20)})]
    for future in client.create_topics(topics).values():
        future.result(30)
    load(broker, "produce", broker.address, "history", "--partitions", str(PARTITIONS), "--megabytes", str(megabytes), "--record", str(RECORD))
    rows = lambda: broker.json("/api/shards?topic=history")["shards"]
    harness.wait_until(lambda: all(r["location"] == "archive" for r in rows() if r["state"] != "open"), 120, "archiving")
    broker.stop()


def measure(broker, args):
    broker.start()
    reader = Reader(broker, args.read_megabytes)
    reader.start()
    time.sleep(1)
    before, began, read = broker.metrics(), time.monotonic(), reader.read
    result = load(broker, "rate", broker.address, "live", "--partitions", "16", "--records-per-second", str(args.rate), "--seconds", str(args.seconds),
                  "--warm-up", "2", "--linger", "2", "--acks", "all")
    seconds = time.monotonic() - began
    after = broker.metrics()
    reader.done = True
    reader.join()
    broker.stop()
    delta = lambda name: (after.get(name, 0) - before.get(name, 0)) / seconds / (1 << 20)
    return result, (reader.read - read) / seconds / (1 << 20), delta("forelog_cache_disk_written_bytes_total"), delta('forelog_cache_hit_bytes_total{tier="disk"}')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--read-megabytes", type=int, default=60, help="a second")
    parser.add_argument("--rate", type=int, default=5000, help="records a second of 1 KiB")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="forelog-disk-tier-")
    tier = os.path.join(folder, "tier")
    broker = harness.Broker(folder, **{"cache.memory": 64 << 20, "prefetch.mode": "read-ahead", "access.log.enable": "false"})
    rows = {"no disk tier": [], "tier is written": [], "tier is read": []}
    try:
        prepare(broker, args.megabytes)
        for _ in range(args.runs):
            for name, found in rows.items():
                if name == "no disk tier":
                    broker.settings.pop("cache.disk.path", None)
                else:
                    broker.settings.update({"cache.disk.path": tier, "cache.disk.bytes": str(4 << 30), "cache.disk.free.bytes": "0"})
                if name == "tier is written":
                    shutil.rmtree(tier, ignore_errors=True)
                found.append(measure(broker, args))
        print(f"{args.rate} records/s of 1 KiB, acks=all, write-ahead log on, linger 2 ms; a reader at {args.read_megabytes} MB/s; median (range) of {args.runs}.\n")
        print("| | produce p50 ms | p99 ms | read MB/s | tier written MB/s | tier read MB/s |\n|---|---:|---:|---:|---:|---:|")
        for name, found in rows.items():

            def text(values, digits=1):
                return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"

            p50, p99 = ([f[0][key] for f in found] for key in ("p50_ms", "p99_ms"))
            print(f"| {name} | {text(p50)} | {text(p99)} | {text([f[1] for f in found], 0)} | {text([f[2] for f in found], 0)} | {text([f[3] for f in found], 0)} |")
    finally:
        broker.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
