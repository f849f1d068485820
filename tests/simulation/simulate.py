#!/usr/bin/env python3
"""Runs many seeds of the simulation, on all CPUs, and sums up what they met.

  simulate.py PROGRAM            SEED=42: that seed, in full; SEEDS=1000: seeds 1 to 1000 (FROM=n: from n on)

At the end it prints which oracle has checked anything after which fault, and writes the same to a file beside the program
(REPORT=FILE: another one). Each process takes a few seeds: what a simulated power cut leaves in memory is never freed, and a
CHECK ends only the process that met it.
"""
import collections
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time

CHUNK = 10
TELL_EVERY = 30  # seconds


def run(program, first, count):
    environment = dict(os.environ, SEED=str(first), SEEDS=str(count))
    done = subprocess.run([program, "--gtest_filter=Search.FindsNothing", "--gtest_brief=1"], env=environment, text=True,
                          errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return first, count, done.returncode, done.stdout


def names(program):
    """Of oracles and of faults, in the program's order."""
    said = subprocess.run([program, "--gtest_filter=Search.NamesItsOracles"], text=True, stdout=subprocess.PIPE, check=True).stdout
    line = next(line for line in said.splitlines() if line.startswith("oracles="))
    oracles, faults = (part.split("=", 1)[1].split(",") for part in line.split())
    return oracles, faults


def seeds_of(output):
    """One dict a finished seed, and the seed that was begun last."""
    seeds, begun = [], None
    for line in output.splitlines():
        if line.startswith("begin="):
            begun = line.removeprefix("begin=")
        elif line.startswith("seed=") and " events=" in line:
            seeds.append(dict(part.split("=", 1) for part in line.split()))
    return seeds, begun


class Sums:
    def __init__(self, oracles, faults):
        self.oracles, self.faults = oracles, faults
        self.counts, self.sources, self.shapes = collections.Counter(), collections.Counter(), collections.Counter()
        self.checks = [0] * len(oracles)
        self.met, self.runs_met = collections.Counter(), collections.Counter()
        self.runs = {fault: [0] * len(oracles) for fault in faults}   # that met the fault, and checked something afterwards
        self.after = {fault: [0] * len(oracles) for fault in faults}  # checks made afterwards

    def add(self, seed):
        seed.pop("seed")
        self.sources[seed.pop("source")] += 1
        self.shapes[seed.pop("shape")] += 1
        self.checks = [a + int(b) for a, b in zip(self.checks, seed.pop("checks").split(","))]
        for key in [key for key in seed if key.startswith("fault:")]:
            fault, (times, after) = key.removeprefix("fault:"), seed.pop(key).split(":")
            self.met[fault] += int(times)
            self.runs_met[fault] += 1
            for i, count in enumerate(map(int, after.split(","))):
                self.after[fault][i] += count
                self.runs[fault][i] += 1 if count else 0
        self.counts.update({key: int(value) for key, value in seed.items()})

    def table(self, title, cells, last, last_row):
        width = max(len(fault) for fault in self.faults) + 1
        columns = [max(len(oracle), 6) + 1 for oracle in self.oracles]
        lines = [title, f"{'':<{width}}{'phases':>7}{'runs':>6} " + "".join(f"{o:>{w}}" for o, w in zip(self.oracles, columns))]
        for fault in self.faults:
            row = "".join(f"{short(cell):>{w}}" for cell, w in zip(cells[fault], columns))
            lines.append(f"{fault:<{width}}{self.met[fault]:>7}{self.runs_met[fault]:>6} {row}")
        lines.append(f"{last:<{width}}{'':>13} " + "".join(f"{short(cell):>{w}}" for cell, w in zip(last_row, columns)))
        return "\n".join(lines)

    def text(self, seconds, finished, failed):
        counts = dict(self.counts)
        hours, events = counts.pop("virtual_ms", 0) / 3_600_000, counts.pop("events", 0)
        return "\n".join([
            self.table("Runs in which a fault was met and the oracle checked something after it:", self.runs, "any", [finished] * len(self.oracles)),
            "",
            self.table("Checks made after the fault was first met:", self.after, "all checks", self.checks),
            "",
            "worlds: " + ", ".join(f"{count} {shape}" for shape, count in sorted(self.shapes.items())),
            "predictor: " + ", ".join(f"{count} {source}" for source, count in sorted(self.sources.items())),
            ", ".join(f"{value:,} {key.replace('_', ' ')}" for key, value in counts.items()),
            f"{finished} seeds, {failed} failed; {events:,} events and {hours:.1f} virtual hours, each run twice and once more without "
            f"prefetching, in {seconds:.0f} s ({3 * events / max(seconds, 1e-9):,.0f} events a second)",
        ])


def short(count):
    return str(count) if count < 100_000 else f"{count / 1e3:.0f}k" if count < 10_000_000 else f"{count / 1e6:.0f}M"


def main():
    program = sys.argv[1]
    if "SEED" in os.environ and "SEEDS" not in os.environ:
        _, _, status, output = run(program, int(os.environ["SEED"]), 1)
        print(output, end="")
        return 1 if status else 0
    total, first = int(os.environ.get("SEEDS", "100")), int(os.environ.get("FROM", "1"))
    chunks = [(at, min(CHUNK, first + total - at)) for at in range(first, first + total, CHUNK)]
    sums, failed, finished, start = Sums(*names(program)), [], 0, time.monotonic()
    told = start
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("JOBS", os.cpu_count()))) as pool:
        for future in concurrent.futures.as_completed([pool.submit(run, program, *chunk) for chunk in chunks]):
            at, count, status, output = future.result()
            seeds, begun = seeds_of(output)
            for seed in seeds:
                sums.add(seed)
            finished += len(seeds)
            if status:
                failed.append(at)
                print(f"\n--- seeds {at} to {at + count - 1}; the last one begun: make simulate SEED={begun}\n{output}", flush=True)
            if sys.stdout.isatty() or time.monotonic() - told >= TELL_EVERY or finished == total:
                told = time.monotonic()
                left = (told - start) / max(finished, 1) * (total - finished)
                print(f"{finished} of {total} seeds, {len(failed)} failures, {left:.0f} s to go",
                      end="\r" if sys.stdout.isatty() and finished < total else "\n", flush=True)
    text = sums.text(time.monotonic() - start, finished, len(failed))
    report = pathlib.Path(os.environ.get("REPORT", pathlib.Path(program).parent / "simulation.txt"))
    report.write_text(text + "\n")
    print(f"\n{text}\nwritten to {report}")
    return 1 if failed or finished < total else 0


if __name__ == "__main__":
    sys.exit(main())
