"""Plants each violation in a small tree and looks whether its rule, and only its rule, finds it."""
import os
import shutil
import tempfile

import rules

GOOD = {
    "Makefile": "LAYERS := base env log api\n",
    "broker/base/a.h": "// a.h\n#pragma once\n",
    "broker/base/a.cc": '#include "broker/base/a.h"\n// std::thread in a comment is no call\nauto s = "rand()";\nint n = 1\'000;\n',
    "broker/env/real/clock.cc": "auto t = std::chrono::steady_clock::now();\n#include <boost/asio/post.hpp>\n",
    "broker/log/b.cc": '#include "broker/base/a.h"\nint x = operand(3); auto d = s.time(0); thing->open(path);\n',
    "predictor/p.cc": '#include "broker/base/a.h"\n',
}

# (rule, path, text): each must yield exactly one finding, of that rule.
PLANTED = [
    ("layer_order", "broker/base/c.cc", '#include "broker/log/b.h"\n'),
    ("layer_order", "predictor/q.cc", '#include "broker/log/b.h"\n'),
    ("layer_order", "broker/log/c.cc", '#include "predictor/q.h"\n'),
    ("libraries", "broker/log/c.cc", "#include <boost/asio/post.hpp>\n"),
    ("libraries", "broker/log/c.cc", "#include <boost/asio/awaitable.hpp>\n"),
    ("libraries", "broker/log/c.cc", "#include <leveldb/db.h>\n"),
    ("libraries", "broker/api/c.cc", "#include <thrift/Thrift.h>\n"),
    ("libraries", "broker/base/c.cc", "#include <boost/json.hpp>\n"),
    ("banned_calls", "broker/log/c.cc", "auto t = std::chrono::system_clock::now();\n"),
    ("banned_calls", "broker/log/c.cc", "auto t = time(nullptr);\n"),
    ("banned_calls", "broker/log/c.cc", "int r = rand();\n"),
    ("banned_calls", "broker/log/c.cc", "auto* f = fopen(path, mode);\n"),
    ("banned_calls", "broker/log/c.cc", "int f = ::open(path, 0);\n"),
    ("banned_calls", "broker/log/c.cc", "std::ifstream in(path);\n"),
    ("banned_calls", "broker/log/c.cc", "std::thread t(run);\n"),
    ("banned_calls", "predictor/q.cc", "usleep(10);\n"),
    ("markers", "broker/log/c.cc", "// TO" + "DO: later\n"),
    ("markers", "docs/guide.md", "FIX" + "ME\n"),
    ("long_files", "broker/log/c.cc", "\n" * 600 + "int x;\n"),
    ("headers", "tests/log/c.h", "// c.h\n#include <vector>\n#pragma once\n"),
    ("dead_files", "broker/log/c.h", "#pragma once\n"),
    ("own_header_first", "broker/base/a.cc", '#include <vector>\n#include "broker/base/a.h"\n'),
]


def findings_in(files):
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)) or root, exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as f:
                f.write(text)
        tree = rules.Tree(root)
        return [(rule.__name__, found) for rule in rules.RULES for found in rule(tree)]


def run():
    """What is wrong with the checker; nothing when all is well."""
    for name, found in findings_in(GOOD):
        yield f"{name} finds fault with a good tree: {found}"
    for name, path, text in PLANTED:
        found = findings_in({**GOOD, path: text})
        if [rule for rule, _ in found] != [name] or found[0][1][0] != path:
            yield f"planted in {path} for {name}: {text.strip()!r}, found {found}"
    styled = {"Makefile": GOOD["Makefile"], ".clang-format": "BasedOnStyle: Google\n", "broker/base/a.cc": "int  x;\n", "broker/base/b.cc": "int x;\n"}
    expected = [("style", "broker/base/a.cc")] if shutil.which("clang-format-19") else []
    found = [(name, where[0]) for name, where in findings_in(styled)]
    if found != expected:
        yield f"of one file out of style, found {found}"
