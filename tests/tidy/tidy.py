#!/usr/bin/env python3
"""Checks the rules of the source tree (rules.py), after checking the checker on planted violations.

Prints each finding with what to do, and at the end 'N passed, N failed' alone on a line.
"""
import os
import sys

sys.dont_write_bytecode = True
import rules  # noqa: E402
import self_test  # noqa: E402


def main():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    passed = failed = 0
    for wrong in self_test.run():
        print(f"tests/tidy/self_test.py: {wrong}")
        failed += 1
    tree = rules.Tree(root)
    for rule in rules.RULES:
        findings = list(rule(tree))
        for path, line, wrong, advice in findings:
            print(f"{path}:{line}: {wrong}: {advice} [{rule.__name__}]")
        passed, failed = passed + (not findings), failed + len(findings)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
