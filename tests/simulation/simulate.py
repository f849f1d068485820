#!/usr/bin/env python3
"""Runs many seeds of the simulation, on all CPUs, and sums up what they met.

  simulate.py PROGRAM            SEED=42: that seed, in full; SEEDS=1000: seeds 1 to 1000 (FROM=n: from n on)

Each process takes a few seeds: what a simulated power cut leaves in memory is never freed, and a CHECK ends only the
process that met it.
"""
import collections
import concurrent.futures
import os
import subprocess
import sys
import time

CHUNK = 10
FAULTS = ("crash crash-all clean-restart full-disk disk-errors slow-disk archive-slow archive-failing archive-outage "
          "archive-silent archive-breaks archive-wrong-bytes resets silence wall-jump metadata-failures").split()


def run(program, first, count):
    environment = dict(os.environ, SEED=str(first), SEEDS=str(count))
    done = subprocess.run([program, "--gtest_filter=Search.*", "--gtest_brief=1"], env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return first, count, done.returncode, done.stdout


def seeds_of(output):
    """One dict a finished seed, and the seed that was begun last."""
    seeds, begun = [], None
    for line in output.splitlines():
        if line.startswith("begin="):
            begun = line.removeprefix("begin=")
        elif line.startswith("seed=") and "events=" in line:
            seeds.append(dict(part.split("=", 1) for part in line.split()))
    return seeds, begun


def main():
    program = sys.argv[1]
    if "SEED" in os.environ and "SEEDS" not in os.environ:
        _, _, status, output = run(program, int(os.environ["SEED"]), 1)
        print(output, end="")
        return 1 if status else 0
    total, first = int(os.environ.get("SEEDS", "100")), int(os.environ.get("FROM", "1"))
    chunks = [(at, min(CHUNK, first + total - at)) for at in range(first, first + total, CHUNK)]
    sums, sources, failed, finished, start = collections.Counter(), collections.Counter(), [], 0, time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for future in concurrent.futures.as_completed([pool.submit(run, program, *chunk) for chunk in chunks]):
            at, count, status, output = future.result()
            seeds, begun = seeds_of(output)
            for seed in seeds:
                sources[seed.pop("source")] += 1
                seed.pop("seed")
                sums.update({key: int(value) for key, value in seed.items()})
            finished += len(seeds)
            if status:
                failed.append(at)
                print(f"\n--- seeds {at} to {at + count - 1} (the last one begun: {begun})\n{output}")
            print(f"\r{finished} of {total} seeds, {len(failed)} failures ", end="", flush=True)
    seconds = time.monotonic() - start
    print(f"\n\n{'fault':<22}{'met':>8}")
    for fault in FAULTS:
        print(f"{fault:<22}{sums.pop(fault, 0):>8}")
    print(f"\n{'predictor':<22}{'seeds':>8}")
    for source, seeds in sorted(sources.items()):
        print(f"{source:<22}{seeds:>8}")
    hours = sums.pop("virtual_ms", 0) / 3_600_000
    events = sums.pop("events", 0)
    print("\n" + ", ".join(f"{value:,} {key}" for key, value in sums.items()))
    print(f"{events:,} events, {hours:.1f} virtual hours, each seen three times, in {seconds:.0f} s")
    return 1 if failed or finished < total else 0


if __name__ == "__main__":
    sys.exit(main())
