#!/usr/bin/env python3
"""Plants bugs in the broker, and shows that the simulator finds them. bugs.toml lists them.

  planted.py check                   every bug still fits the sources it changes (part of make test)
  planted.py write DIRECTORY         copies of the sources that bugs change, with all bugs in them, each behind a switch
  planted.py run PROGRAM [BUG...]    looks for each bug, seed by seed from 1 (or FROM) on, at most SEEDS (2000) of them;
                                     QUICK=1: only those marked quick, in 100 seeds. REPORT=FILE: a table for docs/simulation.md

A bug counts as found when a seed fails with it and does not fail without it. One build holds all bugs; which of them is on,
the environment says, so that only the changed sources are compiled anew.
"""
import concurrent.futures
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
CHUNK = 10
QUICK_SEEDS = 100
SEED_SECONDS_MAX = 120


def bugs():
    with open(HERE / "bugs.toml", "rb") as f:
        return tomllib.load(f)


def place_of(change, text, bug):
    """Where the change begins in its file, or None and why."""
    whole = change.get("before", "") + change["old"] + change.get("after", "")
    found = text.count(whole)
    if found != 1:
        return None, f"{bug}: {change['file']} has {found} times, not once:\n{whole}"
    return text.index(whole) + len(change.get("before", "")), None


def switched(bug, change):
    kind, old, new = change.get("kind", "statement"), change["old"], change["new"]
    if kind == "text":
        return new
    if kind == "expression":
        return f'(::forelog::planted("{bug}") ? ({new}) : ({old}))'
    return f'if (::forelog::planted("{bug}")) {{ {new} }} else {{ {old} }}'


def planted_sources():
    """File → text with all bugs in it; and what does not fit."""
    texts, wrong = {}, []
    for bug, entry in bugs().items():
        for change in entry["change"]:
            path = change["file"]
            text = texts.get(path) or (ROOT / path).read_text()
            at, why = place_of(change, text, bug)
            if why:
                wrong.append(why)
                continue
            texts[path] = text[:at] + switched(bug, change) + text[at + len(change["old"]):]
    return texts, wrong


def check():
    _, wrong = planted_sources()
    count = len(bugs())
    for why in wrong:
        print(why)
    print(f"{count - len(wrong)} passed, {len(wrong)} failed")
    return 1 if wrong else 0


def write(directory):
    texts, wrong = planted_sources()
    if wrong:
        print("\n".join(wrong))
        return 1
    directory = pathlib.Path(directory)
    for old in directory.rglob("*.cc"):
        if str(old.relative_to(directory)) not in texts:
            old.unlink()
    for path, text in texts.items():
        target = directory / path
        text = f'#include "tests/simulation/planted/planted.h"\n#line 1 "{path}"\n' + text
        if target.exists() and target.read_text() == text:
            continue  # or it would be compiled anew
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return 0


def search(program, bug, first, count):
    """The first of these seeds that fails, and what it said."""
    environment = dict(os.environ, SEED=str(first), SEEDS=str(count), FIRST_FAILURE="1")
    environment.pop("PLANTED", None)
    if bug:
        environment["PLANTED"] = bug
    # Of CPU time: a busy machine makes no bug.
    seconds = SEED_SECONDS_MAX * count
    done = subprocess.run([program, "--gtest_filter=Search.*", "--gtest_brief=1"], env=environment, text=True, errors="replace",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds)))
    status, output = done.returncode, done.stdout
    if status in (-signal.SIGKILL, -signal.SIGXCPU):
        output += "\n  progress: no end in real time\n"
    begun = re.findall(r"^begin=(\d+)", output, re.M)
    return (int(begun[-1]) if status and begun else None), output


def oracle_of(output):
    """Which oracle spoke, and what it said."""
    said = re.search(r"make simulate SEED=\d+\):\n  ([a-z-]+): (.*)", output)
    if said:
        return said[1], said[2]
    crashed = re.search(r"(?:CHECK|check) .*", output)
    return ("check", crashed[0]) if crashed else ("other", output.strip().splitlines()[-1] if output.strip() else "?")


def find(program, bug, seeds, first):
    began = time.monotonic()
    for at in range(first, first + seeds, CHUNK):
        seed, output = search(program, bug, at, min(CHUNK, first + seeds - at))
        while seed is not None:
            innocent, _ = search(program, "", seed, 1)
            if innocent is None:
                return {"bug": bug, "seeds": seed - first + 1, "oracle": oracle_of(output)[0], "said": oracle_of(output)[1],
                        "seconds": time.monotonic() - began}
            print(f"seed {seed} fails without any bug: make simulate SEED={seed}", flush=True)
            rest = at + CHUNK - seed - 1
            seed, output = search(program, bug, seed + 1, rest) if rest > 0 else (None, "")
    return {"bug": bug, "seeds": None, "oracle": "-", "said": f"not found in {seeds} seeds", "seconds": time.monotonic() - began}


def run(program, wanted):
    known = bugs()
    quick = os.environ.get("QUICK") == "1"
    names = wanted or [name for name, entry in known.items() if entry.get("quick") or not quick]
    # Quick ones are found within a few seeds; where they no longer are, `make test` shall say so and not search for an hour.
    seeds, first = int(os.environ.get("SEEDS", QUICK_SEEDS if quick else 2000)), int(os.environ.get("FROM", "1"))
    results = []
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("JOBS", os.cpu_count()))) as pool:
        for done in concurrent.futures.as_completed([pool.submit(find, program, bug, seeds, first) for bug in names]):
            result = done.result()
            results.append(result)
            count = f"{result['seeds']} seeds" if result["seeds"] else "NOT FOUND"
            print(f"{result['bug']:<26}{count:>12}{result['seconds']:>7.0f} s  {result['oracle']}: {result['said'][:120]}", flush=True)
    missed = [result["bug"] for result in results if result["seeds"] is None]
    if "REPORT" in os.environ:
        results.sort(key=lambda result: names.index(result["bug"]))
        with open(os.environ["REPORT"], "w") as f:
            print("| bug | what it does | seeds until found | found by |\n|---|---|---|---|", file=f)
            for result in results:
                print(f"| `{result['bug']}` | {known[result['bug']]['what']} | {result['seeds'] or 'not found'} | "
                      f"{result['oracle']} |", file=f)
    print(f"{len(results) - len(missed)} passed, {len(missed)} failed")
    return 1 if missed else 0


def main():
    command = sys.argv[1] if len(sys.argv) > 1 else "check"
    if command == "check":
        program = os.environ.get("PLANTED_PROGRAM")  # make test, where it has built one
        if not program or check():
            return check()
        os.environ["QUICK"] = "1"
        return run(program, [])
    if command == "write" and len(sys.argv) == 3:
        return write(sys.argv[2])
    if command == "run" and len(sys.argv) > 2:
        return run(sys.argv[2], sys.argv[3:])
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main())
