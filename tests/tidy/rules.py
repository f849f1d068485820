"""The rules of the source tree that a machine can check. Each rule yields (path, line, what is wrong, what to do)."""
import os
import re
import shutil
import subprocess

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')
LINES_MAX = 600

# Outside libraries, and the only places that may include them (architecture, section 4).
LIBRARIES = [
    (re.compile(r"^boost/asio/awaitable\.hpp$"), ["broker/env/"], "use Task<T> of broker/env/task.h"),
    (re.compile(r"^boost/asio/buffer\.hpp$"), ["broker/env/", "broker/admin/"], "only Beast's parser wants buffers of Asio"),
    (re.compile(r"^boost/asio"), ["broker/env/"], "use the seams of broker/env"),
    (re.compile(r"^boost/beast"), ["broker/admin/"], "only the HTTP server parses HTTP"),
    (re.compile(r"^boost/json"), ["broker/base/json.cc"], "use broker/base/json.h"),
    (re.compile(r"^curl/"), ["broker/env/", "broker/cli/"], "use the seams of broker/env"),
    (re.compile(r"^(leveldb|zookeeper|hiredis)/"), ["broker/env/"], "use the seams of broker/env"),
    (re.compile(r"^(openssl/|expat\.h$)"), ["broker/env/s3/"], "only S3 signs requests and answers in XML"),
    (re.compile(r"^thrift/"), ["broker/prefetch/", "predictor/", "broker/cli/", "tests/prefetch/", "tests/predictor/",
                              "tests/simulation/", "tests/fuzz/"], "only the hint service and its clients speak Thrift"),
    (re.compile(r"^librdkafka/"), ["predictor/", "broker/cli/", "integration/", "tests/predictor/"],
     "the broker is no client of Kafka"),
]

# Calls that ask the world something; only env/real may. Each with the seam to use instead.
CALLS = [
    (r"std::chrono::(?:system|steady|high_resolution)_clock", "env::Clock"),
    (r"\b(?:gettimeofday|clock_gettime|timespec_get|localtime|gmtime)\s*\(", "env::Clock"),
    (r"(?<![\w.>:])(?:std::)?time\s*\(\s*(?:nullptr|NULL|0|&\w+)\s*\)", "env::Clock"),
    (r"\bstd::random_device\b|\bstd::mt19937|(?<![\w.>:])(?:std::)?s?rand\s*\(", "env::Random"),
    (r"\bstd::[io]?fstream\b|(?<![\w.>:])(?:std::)?fopen\s*\(|(?<![\w.>:])::open\s*\(|\bstd::filesystem::",
     "env::Files"),
    (r"(?<![\w.>:])(?:::)?(?:socket|accept4?)\s*\(\s*AF_|(?<![\w.>:])::connect\s*\(", "env::Network"),
    (r"\bstd::j?thread\b|\bstd::async\b|\bpthread_create\b", "env::Cores"),
    (r"\bstd::this_thread::sleep|(?<![\w.>:])u?sleep\s*\(|\bnanosleep\s*\(", "sleep_until"),
]
CALLS = [(re.compile(pattern), seam) for pattern, seam in CALLS]
# Who may: the real world, programs that are no part of the broker's logic, and adapters of libraries with threads.
CALLS_ALLOWED = [
    "broker/env/real/", "broker/main.cc", "broker/config_file.cc", "broker/cli/", "predictor/main.cc", "integration/", "tests/bench/",
    "broker/prefetch/hint_service.cc", "broker/prefetch/hint_client.cc", "predictor/hint_client.cc",
    "predictor/replay/",  # an offline program over a trace file
]
# One line each, with the reason.
CALLS_ALLOWED_LINES = {
    "broker/base/log.cc": "a log line tells people the time; no decision hangs on it",
}

# Spelled in two parts, so that this file passes its own rule.
MARKERS = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read().split("\n")


def without_comments(lines):
    """The lines with comments and the insides of string literals blanked."""
    out, in_block = [], False
    for line in lines:
        code, i, quote = "", 0, None
        while i < len(line):
            two = line[i:i + 2]
            if in_block:
                if two == "*/":
                    in_block, i = False, i + 1
            elif quote:
                if line[i] == "\\":
                    i += 1
                elif line[i] == quote:
                    quote = None
            elif two == "//":
                break
            elif two == "/*":
                in_block, i = True, i + 1
            elif line[i] in "\"'" and not (line[i] == "'" and code[-1:].isalnum()):
                quote = line[i]
                code += line[i]
            else:
                code += line[i]
            i += 1
        out.append(code)
    return out


class Tree:
    def __init__(self, root):
        self.root = root
        with open(os.path.join(root, "Makefile"), encoding="utf-8") as f:
            layers = re.search(r"^LAYERS := (.*)$", f.read(), re.M)
        self.layers = layers.group(1).split()
        self.sources, self.texts = [], []
        for folder, folders, files in os.walk(root):
            folders[:] = sorted(d for d in folders if d not in ("build", ".git", "node_modules", "data", "__pycache__"))
            for name in sorted(files):
                path = os.path.relpath(os.path.join(folder, name), root)
                if name.endswith((".cc", ".h")):
                    self.sources.append(path)
                if name.endswith((".cc", ".h", ".def", ".py", ".sh", ".md", ".thrift", ".txt")) or name == "Makefile":
                    self.texts.append(path)

    def lines(self, path):
        return read(os.path.join(self.root, path))


def includes(lines):
    for number, line in enumerate(lines, 1):
        found = INCLUDE.match(line)
        if found:
            yield number, found.group(1) == '"', found.group(2)


def layer_of(tree, path):
    parts = path.split("/")
    return parts[1] if parts[0] == "broker" and len(parts) > 2 and parts[1] in tree.layers else None


def layer_order(tree):
    order = {layer: i for i, layer in enumerate(tree.layers)}
    for path in tree.sources:
        for number, own, name in includes(tree.lines(path)):
            if not own:
                continue
            mine, theirs = layer_of(tree, path), layer_of(tree, name)
            if mine and theirs and order[theirs] > order[mine]:
                yield (path, number, f"layer {mine} includes {name}, and {theirs} stands to its right in LAYERS",
                       "move the code, or take a small interface by constructor")
            elif mine and name.startswith(("predictor/", "tests/", "broker/cli/")):
                yield path, number, f"layer {mine} includes {name}", "layers include only layers"
            elif path.startswith("predictor/") and name.startswith("broker/"):
                pure = path.startswith("predictor/replay/") and theirs in ("cache", "prefetch", "log", "archive")
                shared = theirs in ("base", "env") or name in ("broker/prefetch/hint.h", "broker/prefetch/settings.h")
                if not shared and not pure:
                    yield (path, number, f"the predictor includes {name}",
                           "it may include broker/base, broker/env and broker/prefetch/hint.h; predictor/replay also the pure "
                           "parts of cache and prefetch")


def libraries(tree):
    for path in tree.sources:
        if not path.startswith(("broker/", "predictor/")):
            continue
        for number, own, name in includes(tree.lines(path)):
            for pattern, allowed, hint in LIBRARIES:
                if not own and pattern.match(name):
                    if not path.startswith(tuple(allowed)):
                        yield path, number, f"includes <{name}>", hint
                    elif name != "boost/asio/awaitable.hpp" and name.startswith("boost/asio") and path.endswith(".h") \
                            and not path.startswith(("broker/env/real/", "broker/env/simulated/")):
                        yield path, number, f"a common header includes <{name}>", "only awaitable.hpp: the rest is dear"
                    break


def banned_calls(tree):
    for path in tree.sources:
        if not path.startswith(("broker/", "predictor/")) or path.startswith(tuple(CALLS_ALLOWED)):
            continue
        if path in CALLS_ALLOWED_LINES:
            continue
        for number, line in enumerate(without_comments(tree.lines(path)), 1):
            for pattern, seam in CALLS:
                found = pattern.search(line)
                if found:
                    yield path, number, f"calls {found.group(0).strip()}", f"use {seam}, passed in through Env"


def markers(tree):
    for path in tree.texts:
        for number, line in enumerate(tree.lines(path), 1):
            found = MARKERS.search(line)
            if found:
                yield path, number, f"a leftover marker: {found.group(0)}", "do it, or say in DECISIONS.md why not"


def long_files(tree):
    for path in tree.sources:
        count = len(tree.lines(path))
        if count > LINES_MAX:
            yield path, LINES_MAX, f"{count} lines", f"split it: a file has at most {LINES_MAX}"


def headers(tree):
    for path in tree.sources:
        if path.endswith(".h"):
            code = [line for line in tree.lines(path) if line.strip() and not line.lstrip().startswith("//")]
            if not code or code[0].strip() != "#pragma once":
                yield path, 1, "no #pragma once before the first code", "add it below the opening comment"


def dead_files(tree):
    included = set()
    for path in tree.sources:
        for _, own, name in includes(tree.lines(path)):
            if own:
                included.add(name)
    for path in tree.sources:
        if path.endswith(".h") and path.startswith(("broker/", "predictor/")) and path not in included:
            yield path, 1, "nobody includes it", "delete it, or include it where it is meant to be used"


def own_header_first(tree):
    for path in tree.sources:
        if path.endswith(".cc") and path.startswith(("broker/", "predictor/")) and path[:-3] + ".h" in tree.sources:
            first = next(includes(tree.lines(path)), None)
            if first and first[2] != path[:-3] + ".h":
                yield path, first[0], "its own header is not its first include", "so that the header proves to stand alone"


def style(tree):
    """Where clang-format is installed, and says what the tree's style is."""
    program = shutil.which("clang-format-19")
    if not program or not tree.sources or not os.path.exists(os.path.join(tree.root, ".clang-format")):
        return
    done = subprocess.run([program, "--dry-run", *tree.sources], cwd=tree.root, stderr=subprocess.PIPE, text=True, check=False)
    first = {}
    for path, number in re.findall(r"^(\S+?):(\d+):\d+: warning: code should be clang-formatted", done.stderr, re.M):
        first.setdefault(path, int(number))
    for path, number in first.items():
        yield path, number, "is not in the project's style", "make format"


RULES = [layer_order, libraries, banned_calls, markers, long_files, headers, dead_files, own_header_first, style]
