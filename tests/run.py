#!/usr/bin/env python3
"""Runs test programs (GoogleTest) and scripts one after another and sums them up.

usage: tests/run.py [--tidy] [--report FILE] PROGRAM...

Prints a line for each program, everything a failing one said, and at the end 'N passed, N failed[, N skipped]' alone on
a line. Exit status 1 when anything failed or nothing ran.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time

CLOSING = re.compile(r"^(?:\w+: )?(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.M)


def gtest_counts(path):
    with open(path, encoding="utf-8") as f:
        report = json.load(f)
    counts = [0, 0, 0]
    for suite in report["testsuites"]:
        for case in suite["testsuite"]:
            if case.get("result") == "SKIPPED":
                counts[2] += 1
            elif case.get("failures"):
                counts[1] += 1
            else:
                counts[0] += 1
    return counts


def run(program):
    """(passed, failed, skipped), output, seconds."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        report = os.path.join(scratch, "report.json")
        command = [program] if program.endswith((".py", ".sh")) else [program, f"--gtest_output=json:{report}", "--gtest_brief=1"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        output = done.stdout.decode(errors="replace")
        if os.path.exists(report):
            counts = gtest_counts(report)
        else:
            closing = CLOSING.findall(output)
            counts = [int(n or 0) for n in closing[-1]] if closing else [0, 0, 0]
        if done.returncode != 0 and counts[1] == 0:
            counts[1] = 1  # it crashed, or a sanitizer spoke, without counting a failure
            output += f"\n{program}: exit status {done.returncode}\n"
        return counts, output, time.monotonic() - began


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tidy", action="store_true", help="also run the checks of the sources: tests/tidy, tests/wire/check_schemas.py, planted.py")
    parser.add_argument("programs", nargs="*")
    args = parser.parse_args()
    programs = list(args.programs)
    if args.tidy:
        here = os.path.dirname(os.path.abspath(__file__))
        programs = [os.path.join(here, "tidy", "tidy.py"), os.path.join(here, "wire", "check_schemas.py"),
                    os.path.join(here, "simulation", "planted", "planted.py"), *programs]
    total = [0, 0, 0]
    for program in programs:
        counts, output, seconds = run(program)
        name = os.path.relpath(program)
        print(f"{name:<44} {counts[0]:>5} passed {counts[1]:>3} failed {counts[2]:>3} skipped {seconds:7.1f} s", flush=True)
        if counts[1] or (counts[2] and program.endswith(".py")):
            print(output, flush=True)  # a script that skips says why
        total = [a + b for a, b in zip(total, counts)]
    print(f"{total[0]} passed, {total[1]} failed" + (f", {total[2]} skipped" if total[2] else ""))
    return 1 if total[1] or total[0] == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
