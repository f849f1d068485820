#!/usr/bin/env python3
"""`make bench`: what a single broker does on this machine, next to itself in one run.

Produce and fetch MB/s with the broker's CPU seconds per GiB, at acks=all, 16 partitions, 1 KiB records: durable (wal)
and page-cache; idle memory; time from start to first answer. Client and broker share the cores.
"""
import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import harness  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_megabytes(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024


def load(broker, mode, topic, megabytes, **flags):
    command = [os.path.join(harness.BUILD, "bench", "load"), mode, broker.address, topic, "--partitions", "16", "--megabytes", str(megabytes)]
    for key, value in flags.items():
        command += [f"--{key}", str(value)]
    before = cpu_seconds(broker.process.process.pid)
    figures = json.loads(harness.run(command, timeout=300))
    figures["broker_cpu_s_per_gib"] = (cpu_seconds(broker.process.process.pid) - before) / (figures["megabytes"] / 1024)
    figures["client_cpu_s_per_gib"] = figures["client_cpu_s"] / (figures["megabytes"] / 1024)
    return figures



def disk_ceiling(folder, size, seconds=2.0):
    """MB/s of one file written in pieces of `size`, each synced."""
    path = os.path.join(folder, "ceiling")
    block = os.urandom(size)
    with open(path, "wb", buffering=0) as f:
        start, written = time.monotonic(), 0
        while time.monotonic() - start < seconds:
            f.write(block)
            os.fdatasync(f.fileno())
            written += size
        took = time.monotonic() - start
    os.remove(path)
    return written / took / (1 << 20)


def start_times(folder, runs):
    """Seconds from the process's start to the first answer, empty and with data."""
    times = []
    for i in range(runs):
        sub = os.path.join(folder, f"start{i}")
        os.makedirs(sub)
        broker = harness.Broker(sub)
        for _ in range(2):  # the second start finds data
            began = time.monotonic()
            broker.start()
            times.append(time.monotonic() - began)
            if not os.path.exists(os.path.join(sub, "made")):
                harness.kcat(broker, "-t", "something", "-P", stdin="x\n")
                open(os.path.join(sub, "made"), "w", encoding="utf-8").close()
            broker.stop()
        broker.close()
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="forelog-bench-")
    rows = []
    try:
        for durability in ("wal", "page-cache"):
            produced, consumed = [], []
            for run in range(args.runs):
                sub = os.path.join(folder, f"{durability}{run}")
                os.makedirs(sub)
                broker = harness.Broker(sub, **{"durability": durability, "log.segment.bytes": 256 << 20, "log.tail.memory": 128 << 20, "num.partitions": 16})
                broker.start()
                try:
                    load(broker, "produce", "warmup", 64)
                    produced.append(load(broker, "produce", "load", args.megabytes))
                    consumed.append(load(broker, "consume", "load", args.megabytes))
                    broker.stop()
                finally:
                    broker.close()
                shutil.rmtree(sub)
            rows.append((f"produce, acks=all, durability={durability}", produced))
            rows.append((f"fetch, warm, durability={durability}", consumed))
        sub = os.path.join(folder, "idle")
        os.makedirs(sub)
        broker = harness.Broker(sub)
        broker.start()
        time.sleep(2)
        idle = resident_megabytes(broker.process.process.pid)
        broker.stop()
        broker.close()
        starts = start_times(folder, args.runs)
        synced = {size: disk_ceiling(folder, size) for size in (1 << 20, 16 << 10)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)

    def cell(figures, key, digits):
        values = sorted(f[key] for f in figures)
        return f"{statistics.median(values):.{digits}f} ({values[0]:.{digits}f}–{values[-1]:.{digits}f})"

    print("| load: 16 partitions, 1 KiB records | MB/s | broker CPU s/GiB | client CPU s/GiB |")
    print("|---|---:|---:|---:|")
    for name, figures in rows:
        print(f"| {name} | {cell(figures, 'mb_per_s', 0)} | {cell(figures, 'broker_cpu_s_per_gib', 2)} | {cell(figures, 'client_cpu_s_per_gib', 2)} |")
    print()
    print(f"Median of {args.runs} (range). The disk by itself: {synced[1 << 20]:.0f} MB/s in synced pieces of 1 MiB, {synced[16 << 10]:.1f} MB/s in 16 KiB.")
    print(f"Idle memory, two seconds after start, empty cache: {idle:.1f} MB resident.")
    print(f"Start to first answer of /ready: median {statistics.median(starts):.3f} s, worst {max(starts):.3f} s, polled every 20 ms.")


if __name__ == "__main__":
    main()
