#!/usr/bin/env python3
"""`make bench-kafka`: Apache Kafka and Forelog side by side on this machine, row by row.

One load generator, the two brokers taking turns under the same load, each warmed up for the same time first (10 s, for
Kafka's JIT), the disk synced between; median of --repeats with the range. Rows accumulate in a file, so that a long
comparison can be made in pieces; --report only prints what is there, --write puts it into docs/benchmarks.md.
"""
import argparse
import json
import os
import shutil
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import cold  # noqa: E402
import peer  # noqa: E402
import report  # noqa: E402
from figures import disk_ceiling  # noqa: E402
from peer import harness  # noqa: E402

RESULTS = os.path.join(harness.ROOT, "build", "bench", "peers.json")
DOCUMENT = os.path.join(harness.ROOT, "docs", "benchmarks.md")


class Bench:
    def __init__(self, args, folder):
        self.args, self.folder, self.count = args, folder, 0

    def say(self, text):
        print(f"  {time.strftime('%T')}  {text}", file=sys.stderr, flush=True)

    def new(self, kind):
        self.count += 1
        return kind(os.path.join(self.folder, f"{kind.__name__.lower()}{self.count}"))

    def load(self, broker, mode, topic, **flags):
        command = [os.path.join(harness.BUILD, "bench", "load"), mode, broker.address, topic, "--broker-pid", str(broker.pid)]
        for key, value in flags.items():
            command += [f"--{key.replace('_', '-')}", str(value)]
        return json.loads(harness.run(command, timeout=400))

    def touch_memory(self):
        """A virtual machine's host takes back memory that has been free; to get it again costs whoever writes first. So the
        memory that a run fills with data is filled, and freed, just before it."""
        path, piece = os.path.join(self.folder, "memory"), bytes(1 << 20)
        with open(path, "wb", buffering=0) as f:
            for _ in range(self.args.megabytes * 5 // 4):
                f.write(piece)
        os.remove(path)

    def turns(self, brokers, action):
        """`action(broker, repeat)` for each broker in turn, --repeats times; {name: [figures]}."""
        out = {broker.name: [] for broker in brokers}
        for repeat in range(self.args.repeats):
            for broker in brokers:
                os.sync()
                self.touch_memory()
                figures = action(broker, repeat)
                out[broker.name].append(figures)
                shown = {k: v for k, v in figures.items() if isinstance(v, (int, float)) and k in report.SHOWN}
                self.say(f"{broker.name:8} {repeat + 1}/{self.args.repeats}  " + "  ".join(f"{k} {v:g}" for k, v in shown.items()))
        return out

    def warm_up(self, repeat):
        return self.args.warm_up if repeat == 0 else min(1, self.args.warm_up)

    def kinds(self):
        return [kind for kind in (peer.Kafka, peer.Forelog) if kind.name in self.args.brokers.split(",")]

    def both(self, action):
        brokers = []
        try:
            for kind in self.kinds():
                brokers.append(self.new(kind))
                brokers[-1].start()
            return self.turns(brokers, action)
        finally:
            for broker in brokers:
                broker.close()


# --- rows: each returns {broker: [figures of one run]} -----------------------------------------------------------------
# Forelog's durability is a topic's; Kafka has nothing like `wal`, and syncs each batch with flush.messages=1.
def durability(broker, kafka, forelog):
    return kafka if broker.name == "Kafka" else forelog


def produce(bench, forelog):
    def run(broker, repeat):
        topic = f"load{repeat}"
        broker.create(topic, 16, **durability(broker, {}, forelog))
        return bench.load(broker, "produce", topic, megabytes=bench.args.megabytes, warm_up=bench.warm_up(repeat))

    return bench.both(run)


def produce_page_cache(bench):
    return produce(bench, {"durability": "page-cache"})


def produce_wal(bench):
    return produce(bench, {"durability": "wal"})


def produce_20(bench):
    def run(broker, repeat):
        topic = f"load{repeat}"
        broker.create(topic, 16)
        return bench.load(broker, "rate", topic, records_per_second=20480, seconds=bench.args.seconds, linger=5, warm_up=bench.warm_up(repeat))

    return bench.both(run)


def durable(bench, connections):
    def run(broker, repeat):
        topic = f"load{repeat}"
        broker.create(topic, 64, **durability(broker, {"flush.messages": 1}, {"durability": "wal"}))
        return bench.load(
            broker, "produce", topic, partitions=64, connections=connections, run=16, batch_records=16, outstanding=2048,
            seconds=bench.args.seconds, warm_up=bench.warm_up(repeat))

    return bench.both(run)


def durable_1(bench):
    return durable(bench, 1)


def durable_4(bench):
    return durable(bench, 4)


def durable_rate(bench):
    def run(broker, repeat):
        topic = f"load{repeat}"
        broker.create(topic, 64, **durability(broker, {"flush.messages": 1}, {"durability": "wal"}))
        return bench.load(broker, "rate", topic, partitions=64, records_per_second=5000, seconds=bench.args.seconds, linger=2, warm_up=bench.warm_up(repeat))

    return bench.both(run)


def consume(bench):
    def run(broker, repeat):
        if repeat == 0:
            broker.create("load", 16, **durability(broker, {}, {"durability": "page-cache"}))
            bench.load(broker, "produce", "load", megabytes=bench.args.megabytes)
        return bench.load(broker, "consume", "load", megabytes=bench.args.megabytes, warm_up=bench.warm_up(repeat))

    return bench.both(run)


def end_to_end(bench):
    def run(broker, repeat):
        topic = f"load{repeat}"
        broker.create(topic, 16)
        return bench.load(broker, "end-to-end", topic, records_per_second=5000, seconds=bench.args.seconds, linger=0, warm_up=bench.warm_up(repeat))

    return bench.both(run)


def start_stop(bench):
    """An empty broker: its first start makes its files, the second finds them."""
    out = {}
    for repeat in range(bench.args.repeats):
        for kind in bench.kinds():
            broker = bench.new(kind)
            try:
                first = broker.start()
                broker.stop()
                again = broker.start()
                time.sleep(5)
                memory = broker.resident_megabytes()
                figures = {"first_start_s": first, "start_s": again, "idle_rss_mb": memory, "stop_s": broker.stop()}
            finally:
                broker.close()
            out.setdefault(broker.name, []).append(figures)
            bench.say(f"{broker.name:8} {repeat + 1}/{bench.args.repeats}  " + "  ".join(f"{k} {v:.3f}" for k, v in figures.items()))
    return out


def first_writes(bench, broker, partitions, warm_up):
    """A topic's creation, first writes to all its partitions from the first second on, a clean restart."""
    if warm_up > 0:
        broker.create("warm", 16)
        bench.load(broker, "rate", "warm", records_per_second=5000, seconds=warm_up, linger=5)
    before = broker.resident_megabytes()
    figures = {"create_s": broker.create("load", partitions)}
    figures["rss_mb"] = broker.resident_megabytes()
    figures["kib_per_partition"] = (figures["rss_mb"] - before) * 1024 / partitions
    figures |= bench.load(broker, "rate", "load", partitions=partitions, records_per_second=5000, seconds=bench.args.seconds, linger=5)
    written = dict(broker.ends(peer.Wire(broker), "load", partitions))
    figures["stop_s"] = broker.stop()
    figures["restart_s"] = broker.start(lambda wire: serves(broker, wire, "load", written))
    figures["restarted_rss_mb"] = broker.resident_megabytes()
    return figures


def serves(broker, wire, topic, written):
    """Whether every partition is led and has all that it had."""
    ends = broker.ends(wire, topic, len(written))
    return all(ends.get(p, -1) >= end for p, end in written.items())


def partitions_2000(bench):
    """Three times at most: Kafka takes two minutes each time."""
    out = {}
    for repeat in range(min(bench.args.repeats, 3)):
        for kind in bench.kinds():
            broker = bench.new(kind)
            try:
                broker.start()
                figures = first_writes(bench, broker, 2000, bench.args.warm_up)
            finally:
                broker.close()
            out.setdefault(broker.name, []).append(figures)
            bench.say(f"{broker.name:8} {repeat + 1}/{bench.args.repeats}  " + "  ".join(f"{k} {figures[k]:.3f}" for k in ("create_s", "p50_ms", "p99_ms", "first_second_p99_ms", "stop_s", "restart_s")))
    return out


def partitions_100000(bench):
    """Forelog alone: 50 topics of 2,000."""
    out = []
    topics, each = 50, 2000
    for repeat in range(min(bench.args.repeats, 3)):
        broker = bench.new(peer.Forelog)
        try:
            broker.start()
            time.sleep(1)
            empty = broker.resident_megabytes()
            figures = {"create_s": sum(broker.create(f"load{i}", each) for i in range(topics))}
            bench.say(f"created in {figures['create_s']:.2f} s")
            time.sleep(2)
            figures["rss_mb"] = broker.resident_megabytes()
            figures["kib_per_partition"] = (figures["rss_mb"] - empty) * 1024 / topics / each
            figures |= bench.load(broker, "rate", f"load{topics - 1}", partitions=each, records_per_second=5000, seconds=bench.args.seconds, linger=5)
            wire = peer.Wire(broker)
            written = [broker.ends(wire, f"load{i}", each) for i in range(topics)]
            figures["stop_s"] = broker.stop()
            figures["restart_s"] = broker.start(lambda w: all(serves(broker, w, f"load{i}", written[i]) for i in range(topics)))
            figures["restarted_rss_mb"] = broker.resident_megabytes()
        finally:
            broker.close()
        out.append(figures)
        bench.say("  ".join(f"{k} {figures[k]:.3f}" for k in ("create_s", "kib_per_partition", "p50_ms", "p99_ms", "stop_s", "restart_s")))
    return {"Forelog": out}


def cold_replay(bench):
    """Forelog alone, as `make bench-cold`: the archive is 50 ms away. Writes six times --cold-megabytes, so it is not
    among the rows that run by default."""
    counts = (1, 16, 50)
    folder = os.path.join(bench.folder, "cold")
    os.makedirs(folder)
    broker = harness.Broker(folder, **cold.SETTINGS, **{"cache.memory": 512 << 20})
    out, server = [], None
    try:
        server = cold.use_archive(broker, bench.args.archive)
        cold.prepare(broker, counts, bench.args.cold_megabytes)
        broker.settings["archive.first.byte.delay.ms"] = 50
        for repeat in range(bench.args.repeats):
            figures = {}
            for count in counts:
                size = bench.args.cold_megabytes - count * (cold.segment_bytes(count) >> 20)
                warm, _ = cold.consume(broker, f"warm{count}", count, size)
                far, _ = cold.consume(broker, f"cold{count}", count, size)
                bench.say(f"{count:2} partitions: warm {warm:.0f}, cold {far:.0f} MB/s")
                figures |= {f"warm{count}": warm, f"cold{count}": far, f"ratio{count}": far / warm}
            out.append(figures)
            bench.say(f"{repeat + 1}/{bench.args.repeats}  " + "  ".join(f"{k} {v:.3g}" for k, v in figures.items()))
    finally:
        broker.close()
        if server:
            server.stop()
    return {"Forelog": out}


ROWS = {
    "produce-page-cache": produce_page_cache, "produce-wal": produce_wal, "produce-20": produce_20, "durable-1": durable_1, "durable-4": durable_4,
    "durable-rate": durable_rate, "consume": consume, "end-to-end": end_to_end, "start-stop": start_stop,
    "partitions-2000": partitions_2000, "cold-replay": cold_replay, "partitions-100000": partitions_100000,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(row for row in ROWS if row != "cold-replay"), help="which, separated by commas: " + " ".join(ROWS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=2048, help="of loads that are as fast as they can be")
    parser.add_argument("--cold-megabytes", type=int, default=4096, help="of each topic that is replayed cold")
    cold.add_archive_option(parser)
    parser.add_argument("--seconds", type=int, default=10, help="of loads at a fixed rate")
    parser.add_argument("--warm-up", type=int, default=10, help="seconds, of each broker's first run of a row")
    parser.add_argument("--quick", action="store_true", help="one short run a row: a look, no figures")
    parser.add_argument("--brokers", default="Kafka,Forelog", help="Forelog alone: while working on it")
    parser.add_argument("--results", default=RESULTS)
    parser.add_argument("--report", action="store_true", help="measure nothing, print what is there")
    parser.add_argument("--write", action="store_true", help="put the table and the plots into docs/")
    args = parser.parse_args()
    if args.quick:
        args.repeats, args.megabytes, args.seconds, args.warm_up, args.cold_megabytes = 1, 512, 4, 3, 1024
    results = {}
    if os.path.exists(args.results):
        with open(args.results, encoding="utf-8") as f:
            results = json.load(f)
    names = [] if args.report else args.rows.split(",")
    for name in names:
        if name not in ROWS:
            parser.error(f"no row {name!r}; there are {' '.join(ROWS)}")
    for name in args.brokers.split(","):
        if name not in ("Kafka", "Forelog"):
            parser.error(f"no broker {name!r}; there are Kafka and Forelog")
    for name in names:
        folder = tempfile.mkdtemp(prefix="forelog-peers-", dir=os.environ.get("BENCH_FOLDER"))
        bench = Bench(args, folder)
        began = time.monotonic()
        try:
            disk = {"1 MiB": disk_ceiling(folder, 1 << 20, seconds=1.0), "16 KiB": disk_ceiling(folder, 16 << 10, seconds=1.0)}
            bench.say(f"{name}: the disk by itself syncs {disk['1 MiB']:.0f} MB/s in 1 MiB, {disk['16 KiB']:.0f} in 16 KiB")
            peers = ROWS[name](bench)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        results[name] = {
            "at": time.strftime("%Y-%m-%d %H:%M"), "kafka": peer.Kafka.version() if "Kafka" in peers else None, "forelog": peer.Forelog.version(), "disk": disk,
            "repeats": len(peers["Forelog"]) if "Forelog" in peers else args.repeats, "warm_up": args.warm_up, "peers": peers,
            "took_s": time.monotonic() - began,
        }
        bench.say(f"{name} took {results[name]['took_s']:.0f} s")
        os.makedirs(os.path.dirname(args.results), exist_ok=True)
        with open(args.results, "w", encoding="utf-8") as f:
            json.dump(results, f)
    print(report.table(results, list(ROWS)))
    if args.write:
        report.write(results, list(ROWS), DOCUMENT)


if __name__ == "__main__":
    main()
