#!/usr/bin/env python3
"""What a cold replay costs its neighbours: latency of producers and tail readers beside it, in one run.

Records are produced at a fixed rate to a topic of its own and read at its end, in three phases that take turns: quiet;
beside a replay of as many partitions from the local disk (warm); beside the same from an archive 50 ms away (cold), at
the same MB/s. Latency counts from the moment a record was due. The replaying client is nicer than everybody else, as
it would run on another machine. Beside each phase stands what a bare echo over loopback sees at the same rate: what
the machine itself makes of the load.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import cold  # noqa: E402
import harness  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

LOAD = os.path.join(harness.BUILD, "bench", "load")
PHASES = ("quiet", "warm", "cold")


def replay(broker, topic, args, megabytes, seconds):
    """Reads the topic from its beginning, again and again for so many seconds."""
    command = ["chrt", "--idle", "0", LOAD, "consume", broker.address, topic, "--partitions", str(args.partitions), "--megabytes", str(megabytes)]
    command += ["--warm-up", str(seconds), "--megabytes-per-second", str(args.replay_mb_per_s)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def measure(broker, phase, args, megabytes):
    broker.start()
    beside = None
    if phase != "quiet":
        beside = replay(broker, f"{phase}{args.partitions}", args, megabytes, args.seconds + args.echo_seconds + 8)
    archive = broker.metric("forelog_archive_get_bytes_total")
    reads = broker.metric("forelog_read_bytes_total")
    tail = [LOAD, "end-to-end", broker.address, "tail", "--partitions", "8", "--records-per-second", str(args.records_per_s)]
    tail += ["--seconds", str(args.seconds), "--warm-up", "2", "--linger", "0"]
    figures = json.loads(harness.run(tail, timeout=args.seconds + 60))
    figures["archive_mb"] = (broker.metric("forelog_archive_get_bytes_total") - archive) / (1 << 20)
    figures["read_mb"] = (broker.metric("forelog_read_bytes_total") - reads) / (1 << 20)
    echo = [LOAD, "echo", "-", "-", "--records-per-second", str(args.records_per_s), "--seconds", str(args.echo_seconds)]
    figures["echo_p99_ms"] = json.loads(harness.run(echo, timeout=60))["p99_ms"]
    if beside:
        beside.terminate()
        beside.wait()
    broker.stop()
    assert figures["missing"] == 0 and figures["failed"] == 0, figures
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1024, help="in each replayed topic")
    parser.add_argument("--partitions", type=int, default=50)
    parser.add_argument("--replay-mb-per-s", type=int, default=200)
    parser.add_argument("--records-per-s", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--echo-seconds", type=int, default=5)
    parser.add_argument("--delay-ms", type=int, default=50)
    parser.add_argument("--cache-megabytes", type=int, default=512)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--durability", default="wal")
    cold.add_archive_option(parser)
    parser.add_argument("--data", help="a folder to keep the topics in, or to find them in")
    args = parser.parse_args()
    folder = args.data or tempfile.mkdtemp(prefix="forelog-neighbours-")
    os.makedirs(folder, exist_ok=True)
    broker = harness.Broker(folder, **{**cold.SETTINGS, "durability": args.durability, "cache.memory": args.cache_megabytes << 20})
    server = None
    try:
        server = cold.use_archive(broker, args.archive)
        cold.prepare(broker, [args.partitions], args.megabytes)
        broker.start()
        client = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
        if "tail" not in client.list_topics(timeout=10).topics:
            client.create_topics([NewTopic("tail", 8, 1, config={"remote.storage.enable": "false"})])["tail"].result(30)
        del client
        broker.stop()
        broker.settings["archive.first.byte.delay.ms"] = args.delay_ms
        size = args.megabytes - args.partitions * (cold.segment_bytes(args.partitions) >> 20)
        runs = {phase: [] for phase in PHASES}
        for _ in range(args.runs):
            for phase in PHASES:
                runs[phase].append(measure(broker, phase, args, size))
        print(f"{args.records_per_s} records/s of 1 KiB, linger 0, durability={args.durability}; {args.partitions} partitions replayed at "
              f"{args.replay_mb_per_s} MB/s at most; median (range) of {args.runs}.\n")
        print("| beside | end to end p50 ms | p99 ms | acknowledged p99 ms | a bare echo's p99 ms | MB read | of these from the archive |\n|---|---:|---:|---:|---:|---:|---:|")
        for phase in PHASES:
            def text(key, digits=2, phase=phase):
                values = [figures[key] for figures in runs[phase]]
                return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"
            print(f"| {phase} | {text('p50_ms')} | {text('p99_ms')} | {text('acknowledged_p99_ms')} | {text('echo_p99_ms')} | {text('read_mb', 0)} | {text('archive_mb', 0)} |")

        def ratio(key, over, under):
            return statistics.median(a[key] / b[key] for a, b in zip(runs[over], runs[under]))

        print(f"\nTail p99, cold ÷ quiet: {ratio('p99_ms', 'cold', 'quiet'):.2f}, cold ÷ warm: {ratio('p99_ms', 'cold', 'warm'):.2f}; "
              f"a bare echo's, cold ÷ quiet: {ratio('echo_p99_ms', 'cold', 'quiet'):.2f}; "
              f"acknowledged p99, cold ÷ warm: {ratio('acknowledged_p99_ms', 'cold', 'warm'):.2f}")
    finally:
        broker.close()
        if server:
            server.stop()
        if not args.data:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
