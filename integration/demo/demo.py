#!/usr/bin/env python3
"""`make demo`: the same job over archived history, three times: prefetch off, read-ahead, predictor.

A topic of a few hundred MB is written, archived, and dropped from the local disk; every request to the archive then
takes 50 ms to its first byte. A consumer group of two librdkafka members runs a job: in each of its partitions it reads
three ranges, one after another. Between runs another client scans other history, so that nothing of the job is left in
the cache. Waits come from the broker's own access log: from the first request for bytes to these bytes ready.
"""
import argparse
import json
import math
import os
import shutil
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

import confluent_kafka  # noqa: E402
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType  # noqa: E402

import harness  # noqa: E402
import plot  # noqa: E402

MIB = 1 << 20
TOPIC, OTHER = "orders", "unrelated"
PARTITIONS = 8
RECORD = 10_000
WORK = 25e-9  # seconds that a member spends on each byte
# Of a partition's records: what the job reads, in this order.
RANGES = [(0.05, 0.20), (0.55, 0.65), (0.30, 0.40)]


def say(text):
    print(text, flush=True)


class Demo:
    def __init__(self, broker, megabytes):
        self.broker = broker
        self.records = megabytes * MIB // RECORD // PARTITIONS  # a partition
        self.admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})

    def create(self, topic, partitions):
        config = {"segment.bytes": str(8 * MIB), "local.retention.ms": "1", "prefetch.mode": "off"}
        for future in self.admin.create_topics([NewTopic(topic, partitions, 1, config=config)]).values():
            future.result(30)

    def write(self, topic, partitions, records):
        producer = confluent_kafka.Producer(
            {"bootstrap.servers": self.broker.address, "linger.ms": 20, "batch.size": 256 * 1024, "queue.buffering.max.kbytes": 65536, "log_level": 0}
        )
        noise = os.urandom(RECORD * 64)
        for i in range(records):
            for partition in range(partitions):
                at = (i * 7919 + partition * 104729) % (len(noise) - RECORD)
                while True:
                    try:
                        producer.produce(topic, noise[at : at + RECORD], partition=partition)
                        break
                    except BufferError:
                        producer.poll(0.05)
            producer.poll(0)
        producer.flush(120)

    def archived(self, topic):
        rows = self.broker.json(f"/api/shards?topic={topic}")["shards"]
        return len(rows) > 1 and all(r["location"] == "archive" for r in rows if r["state"] != "open")

    @property
    def topic_id(self):
        return self.broker.json(f"/api/shards?topic={TOPIC}")["topic_id"]

    def mode(self, mode):
        resource = ConfigResource(
            ResourceType.TOPIC, TOPIC, incremental_configs=[ConfigEntry("prefetch.mode", mode, incremental_operation=AlterConfigOpType.SET)]
        )
        self.admin.incremental_alter_configs([resource])[resource].result(20)

    def scan_other(self):
        """Reads enough of another topic to leave nothing of the job in the cache."""
        consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": self.broker.address, "group.id": "scan", "client.id": "scan", "enable.auto.commit": False, "log_level": 0}
        )
        consumer.assign([confluent_kafka.TopicPartition(OTHER, p, 0) for p in range(2)])
        wanted = self.broker.cache * 2
        size = 0
        while size < wanted:
            for message in consumer.consume(1000, 1.0):
                size += len(message.value()) if message.error() is None else 0
        consumer.close()

    def job(self):
        """One run of the job; seconds it took, and bytes it read."""
        read = [0, 0]
        all_done = threading.Barrier(2)
        times = []  # of the assignments, then of the members' ends

        def member(number):
            consumer = confluent_kafka.Consumer(
                {
                    "bootstrap.servers": self.broker.address,
                    "group.id": "nightly-report",
                    "client.id": "nightly-report",
                    "enable.auto.commit": False,
                    "partition.assignment.strategy": "range",
                    "fetch.message.max.bytes": MIB,
                    "queued.max.messages.kbytes": 2048,
                    # By default a client whose queue is full asks for nothing for a second.
                    "fetch.queue.backoff.ms": 5,
                }
            )
            steps = {}  # partition → what is left of its ranges

            def assigned(c, partitions):
                times.append(time.monotonic())
                for p in partitions:
                    steps[p.partition] = [(int(a * self.records), int(b * self.records)) for a, b in RANGES]
                    p.offset = steps[p.partition][0][0]
                c.assign(partitions)

            consumer.subscribe([TOPIC], on_assign=assigned)
            done = set()
            while not steps or len(done) < len(steps):
                messages = consumer.consume(100, 0.5)
                time.sleep(len(messages) * RECORD * WORK)
                for message in messages:
                    if message.error() is not None:
                        raise confluent_kafka.KafkaException(message.error())
                    partition, offset = message.partition(), message.offset()
                    left = steps[partition]
                    if not left or not left[0][0] <= offset < left[0][1]:
                        continue
                    read[number] += len(message.value())
                    if offset + 1 < left[0][1]:
                        continue
                    left.pop(0)
                    if left:
                        consumer.seek(confluent_kafka.TopicPartition(TOPIC, partition, left[0][0]))
                    else:
                        done.add(partition)
                        consumer.pause([confluent_kafka.TopicPartition(TOPIC, partition)])
            times.append(time.monotonic())
            # Who left first would make the other one start over with its partitions.
            all_done.wait()
            consumer.close()

        threads = [threading.Thread(target=member, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return times[-1] - times[0], sum(read)

    def accesses(self):
        lines = self.broker.cli("access-log", timeout=60)
        return [json.loads(line) for line in lines.splitlines() if line.startswith("{")]

    def measure(self, name):
        before = self.broker.metrics()
        since = time.time() * 1000
        seconds, size = self.job()
        time.sleep(0.5)  # the access log is written in batches
        after = self.broker.metrics()
        delta = lambda key: sum(v - before.get(k, 0) for k, v in after.items() if k.startswith(key))  # noqa: E731
        first, events, connections = {}, [], {}
        topic_id = self.topic_id
        for event in self.accesses():
            if "reader" in event:
                connections[event["reader"]["reader"]] = event["reader"]["connection"]
            access = event.get("access")
            if access is None or event["wall_ms"] < since or access["topic_id"] != topic_id:
                continue
            if access["bytes"].get("memory", 0) + access["bytes"].get("archive", 0) == 0:
                continue
            wait = access["wait_us"] / 1000
            events.append((event["monotonic_us"], wait, connections.get(access["reader"])))
            first.setdefault((access["reader"], access["partition"]), wait)
        events.sort(key=lambda e: e[0])
        memory, archive = delta('forelog_read_bytes_total{tier="memory"}'), delta('forelog_read_bytes_total{tier="archive"}')
        loaded = delta("forelog_archive_get_bytes_total")
        # Waste: prefetched bytes that nobody has read by the end of the run, of all bytes from the archive.
        prefetched = delta('forelog_cache_load_bytes_total{kind="prefetch"}') + delta('forelog_cache_load_bytes_total{kind="head"}')
        read = sum(delta(f'forelog_cache_prefetch_outcome_bytes_total{{outcome="{o}"}}') for o in ("used", "late"))
        return {
            "name": name,
            "seconds": seconds,
            "megabytes": size / MIB,
            "waits": sorted(w for _, w, _ in events),
            "later": sorted(w for _, w, _ in later(events)),
            "first": sorted(first.values()),
            "hit": memory / max(1, memory + archive),
            "waste": max(0.0, prefetched - read) / max(1, loaded),
            "gets": int(delta("forelog_archive_get_requests_total")),
        }


def later(events):
    """Without the rows of the run's very first answer: what one connection was given at once."""
    if not events:
        return []
    begin, _, connection = events[0]
    return [e for e in events if e[2] != connection or e[0] > begin + 1000]


def quantile(values, q):
    """The nearest rank: the smallest value that a share of `q` does not exceed."""
    return values[max(0, math.ceil(q * len(values)) - 1)] if values else float("nan")


def table(results):
    rows = [
        ("waits, p50 ms", lambda r: f"{quantile(r['waits'], 0.5):.1f}"),
        ("waits, p99 ms", lambda r: f"{quantile(r['waits'], 0.99):.1f}"),
        ("waits, worst ms", lambda r: f"{r['waits'][-1]:.1f}" if r["waits"] else "-"),
        ("… without the very first answer, p99 ms", lambda r: f"{quantile(r['later'], 0.99):.1f}"),
        ("first fetches, p50 ms", lambda r: f"{quantile(r['first'], 0.5):.1f}"),
        ("first fetches, p99 ms", lambda r: f"{quantile(r['first'], 0.99):.1f}"),
        ("first fetches, worst ms", lambda r: f"{r['first'][-1]:.1f}" if r["first"] else "-"),
        ("job, seconds", lambda r: f"{r['seconds']:.2f}"),
        ("throughput, MB/s", lambda r: f"{r['megabytes'] / r['seconds']:.0f}"),
        ("bytes from memory", lambda r: f"{100 * r['hit']:.1f} %"),
        ("waste", lambda r: f"{100 * r['waste']:.1f} %"),
        ("archive GETs", lambda r: str(r["gets"])),
        ("fetches of archived data", lambda r: str(len(r["waits"]))),
    ]
    lines = ["| | " + " | ".join(r["name"] for r in results) + " |", "|---|" + "---:|" * len(results)]
    for name, cell in rows:
        lines.append(f"| {name} | " + " | ".join(cell(r) for r in results) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=640)
    parser.add_argument("--delay-ms", type=int, default=50)
    parser.add_argument("--svg", default=os.path.join(harness.ROOT, "build", "demo.svg"))
    parser.add_argument("--json", help="also write the figures here")
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="forelog-demo-")
    cache = 128 * MIB
    broker = harness.Broker(folder, **{"cache.memory": cache, "log.tail.memory": 16 * MIB, "group.initial.rebalance.delay.ms": 1000})
    broker.cache = cache
    try:
        # Written without the delay, which is about reading.
        broker.start()
        demo = Demo(broker, args.megabytes)
        say(f"writing {args.megabytes} MB to {TOPIC} ({PARTITIONS} partitions) and {2 * cache // MIB + 64} MB to {OTHER}")
        demo.create(TOPIC, PARTITIONS)
        demo.create(OTHER, 2)
        demo.write(TOPIC, PARTITIONS, demo.records)
        demo.write(OTHER, 2, (2 * cache + 64 * MIB) // RECORD // 2)
        say("waiting until it lies in the archive alone")
        harness.wait_until(lambda: demo.archived(TOPIC) and demo.archived(OTHER), 120, "archiving")
        broker.stop()
        broker.start(**{"archive.first.byte.delay.ms": args.delay_ms})

        results = []
        # A night between two runs is a few seconds here, and so is the time that something stays in the cache.
        predictor = broker.start_predictor(**{"session.idle.ms": 3000, "window.ms": 3000, "holdout.share": 0})
        for name, mode in (("off", "off"), ("read-ahead", "read-ahead"), ("predictor", "predict")):
            demo.mode(mode)
            time.sleep(3)
            demo.scan_other()
            say(f"running the job, prefetch.mode={mode}")
            results.append(demo.measure(name))
            assert predictor.running(), predictor.log()[-2000:]
        text = table(results)
        say("\n" + text + "\n")
        os.makedirs(os.path.dirname(args.svg), exist_ok=True)
        with open(args.svg, "w", encoding="utf-8") as f:
            f.write(plot.waits_svg(results, args.delay_ms))
        say(f"plot: {args.svg}")
        if args.json:
            with open(args.json, "w", encoding="utf-8") as f:
                json.dump(results, f)
        broker.stop()
    finally:
        broker.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
