#!/usr/bin/env python3
"""Runs fuzz targets one after another, each for some time, and says what they saw.

usage: tests/fuzz/fuzz.py [--seconds N] [--distil] TARGET...

Begins with the checked-in corpus (tests/fuzz/corpus/TARGET) and with what earlier runs found (build/fuzz/corpus/TARGET).
Leaks are looked for when a target ends: asking after each input makes whole worlds twenty times slower.
An input that crashes, takes over 20 s or 2 GiB is kept in build/fuzz/findings, and the exit status is 1.
--distil writes the smallest set of inputs with the same coverage back into the checked-in corpus.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CHECKED_IN = os.path.join(ROOT, "tests", "fuzz", "corpus")
BUILD = os.path.join(ROOT, "build", "fuzz")
CORPUS_FILES_MAX = 48  # of one target: every test run goes through all of them
CORPUS_FILE_MAX = 2048


def folder(*parts):
    path = os.path.join(*parts)
    os.makedirs(path, exist_ok=True)
    return path


def corpora(target):
    return [folder(BUILD, "corpus", target), folder(CHECKED_IN, target)]


def run(target, seconds):
    findings = folder(BUILD, "findings")
    command = [os.path.join(BUILD, "fuzz", target), f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=2048", "-max_len=4096", "-detect_leaks=0",
               "-print_final_stats=1", f"-artifact_prefix={findings}/{target}-", *corpora(target)]
    environment = dict(os.environ)
    symbolizer = shutil.which("llvm-symbolizer-19") or shutil.which("llvm-symbolizer")
    if symbolizer:
        environment.setdefault("ASAN_SYMBOLIZER_PATH", symbolizer)
    with tempfile.TemporaryFile() as log:
        # From the root, as tests run; what a target itself says is not the fuzzer's.
        status = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=log, check=False).returncode
        log.seek(0)
        said = log.read().decode(errors="replace")
    stats = dict(re.findall(r"^stat::(\w+):\s+(\d+)", said, re.M))
    coverage = re.findall(r" cov: (\d+) ft: (\d+)", said)
    covered, features = coverage[-1] if coverage else ("?", "?")
    print(f"{target:<14} {stats.get('number_of_executed_units', '?'):>10} runs  {seconds:>5} s  {covered:>6} edges  {features:>7} features  "
          f"{stats.get('peak_rss_mb', '?'):>5} MiB  {'ok' if status == 0 else 'FAILED'}", flush=True)
    if status != 0:
        print("\n".join(said.splitlines()[-120:]), flush=True)
    return status == 0


def distil(target):
    """A small set with (nearly) the same coverage: the fuzzer's own minimal cover, smallest inputs first."""
    with tempfile.TemporaryDirectory() as kept:
        command = [os.path.join(BUILD, "fuzz", target), "-set_cover_merge=1", f"-max_len={CORPUS_FILE_MAX}", "-timeout=20", kept, *corpora(target)]
        subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        # More than a test run should go through are thinned out evenly over their sizes, so that small and large ones stay.
        files = sorted((os.path.getsize(os.path.join(kept, name)), name) for name in os.listdir(kept))
        files = files[:: max(1, -(-len(files) // CORPUS_FILES_MAX))]
        into = folder(CHECKED_IN, target)
        known = set(os.listdir(into))
        for name in known:
            if not name.startswith("seed-") and not name.startswith("finding-"):
                os.remove(os.path.join(into, name))
        for _, name in files:
            shutil.copy(os.path.join(kept, name), os.path.join(into, name[:16]))
    print(f"{target:<14} {len(os.listdir(into))} inputs in tests/fuzz/corpus/{target}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--distil", action="store_true")
    parser.add_argument("targets", nargs="+")
    args = parser.parse_args()
    if args.distil:
        for target in args.targets:
            distil(target)
        return 0
    passed = sum(run(target, args.seconds) for target in args.targets)
    print(f"{passed} passed, {len(args.targets) - passed} failed")
    return 0 if passed == len(args.targets) else 1


if __name__ == "__main__":
    sys.exit(main())
