#!/usr/bin/env python3
"""Compares our field lists (tests/wire/field_lists.txt) with Kafka's message schemas.

Kafka's JSON is not part of this repository: KAFKA_MESSAGES names a folder with a subfolder for each Kafka version (`3.9`,
`trunk`, …) that holds `clients/src/main/resources/common/message/*.json`, and optionally
`coordinator-records/<version>/group-coordinator/*.json`. Names, order, types, version ranges, nullability, tags and
numeric defaults (where a peer can see them) must agree wherever both sides have a version.
"""
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
LISTS = os.path.join(HERE, "field_lists.txt")
DEFAULT_FOLDER = os.path.join(HERE, "../../../shared/reference/kafka-messages")
ENDLESS = 32767


def range_of(text):
    """'3+', '0-7', '2' or 'none' as (min, max)."""
    if text == "none":
        return (ENDLESS, -1)
    if text.endswith("+"):
        return (int(text[:-1]), ENDLESS)
    low, _, high = text.partition("-")
    return (int(low), int(high or low))


def meet(a, b):
    return (max(a[0], b[0]), min(a[1], b[1]))


def is_empty(versions):
    return versions[0] > versions[1]


def plain(name):
    return name.replace("_", "").lower()


class Field:
    """One field of either side, with effective ranges."""

    def __init__(self, path, kind, versions, null, tag, default):
        self.path, self.kind, self.versions = path, kind, versions
        self.null, self.tag, self.default = null, tag, default

    def clipped(self, versions):
        null = meet(self.null, versions) if self.null else None
        return Field(self.path, self.kind, meet(self.versions, versions),
                     None if null is None or is_empty(null) else null, self.tag, self.default)

    def text(self, parent_since):
        # A field that comes with its struct shows no default; ours may be the safer one (no leader: -1).
        shows_default = self.tag is not None or self.versions[0] > parent_since
        return (f"{self.path} {self.kind} {self.versions[0]}-{self.versions[1]}"
                + (f" null {self.null[0]}-{self.null[1]}" if self.null else "")
                + (f" tag {self.tag}" if self.tag is not None else "")
                + (f" default {self.default}" if self.default and shows_default else ""))


def read_ours():
    """{message: (versions, flexible, [Field])}"""
    messages = {}
    with open(LISTS, encoding="utf-8") as lists:
        for line in lists:
            words = line.split()
            depth = (len(line) - len(line.lstrip())) // 2
            if depth == 0:
                fields, path = [], []
                flexible = None if words[3] == "none" else int(words[3])
                messages[words[0]] = (range_of(words[1]), flexible, fields)
                continue
            path = path[:depth - 1] + [plain(words[0])]
            notes = dict(zip(words[3::2], words[4::2]))
            fields.append(Field(".".join(path), words[1], range_of(words[2]),
                                range_of(notes["null"]) if "null" in notes else None,
                                int(notes["tag"]) if "tag" in notes else None, int(notes.get("default", 0))))
    return messages


def read_json(path):
    with open(path, encoding="utf-8") as file:
        text = re.sub(r"(?m)^\s*//.*$", "", file.read())
    return json.loads(re.sub(r"(?m)\s//.*$", "", text))


def number_of(default):
    if default in (None, "", "null"):
        return 0
    if isinstance(default, bool) or str(default).lower() in ("true", "false"):
        return int(str(default).lower() == "true")
    return int(str(default), 0)


def kafka_fields(schema):
    common = {struct["name"]: struct["fields"] for struct in schema.get("commonStructs", [])}

    def walk(fields, parent, path):
        for field in fields:
            versions = meet(range_of(field["versions"]), parent)
            name = path + [plain(field["name"])]
            element = field["type"].removeprefix("[]")
            nested = field.get("fields") or common.get(element)
            kind = field["type"].replace(element, "struct") if nested else field["type"]
            null = meet(range_of(field["nullableVersions"]), versions) if "nullableVersions" in field else None
            scalar = null is None and element in ("bool", "int8", "int16", "int32", "int64", "uint16", "uint32")
            default = number_of(field.get("default")) if scalar and not field["type"].startswith("[]") else 0
            yield Field(".".join(name), kind, versions, null, field.get("tag"), default)
            if nested:
                yield from walk(nested, versions, name)

    return list(walk(schema["fields"], range_of(schema["validVersions"]), []))


def differences(name, ours, schema):
    """Lines that tell where the two sides disagree."""
    our_versions, our_flexible, our_fields = ours
    versions = meet(our_versions, range_of(schema["validVersions"]))
    if is_empty(versions):
        return [f"{name}: no version in common"]
    found = []
    kafka_flexible = range_of(schema["flexibleVersions"])[0]
    if (our_flexible if our_flexible is not None else ENDLESS) != kafka_flexible:
        found.append(f"{name}: flexible since {our_flexible}, Kafka says {kafka_flexible}")

    def effective(fields):
        clipped = (field.clipped(versions) for field in fields)
        return [field for field in clipped if not is_empty(field.versions)]

    mine, theirs = effective(our_fields), effective(kafka_fields(schema))
    known = {field.path for field in theirs}
    # A tag may come with any release, and older ones skip it.
    mine = [field for field in mine if field.tag is None or field.path in known]
    def texts(side):
        since = {field.path: field.versions[0] for field in side}
        return [field.text(since.get(field.path.rpartition(".")[0], versions[0])) for field in side]

    ours_text, theirs_text = texts(mine), texts(theirs)
    found += [f"{name}: only ours:    {line}" for line in ours_text if line not in theirs_text]
    found += [f"{name}: only Kafka's: {line}" for line in theirs_text if line not in ours_text]
    if not found and ours_text != theirs_text:
        found.append(f"{name}: the order differs")
    return found


def main():
    folder = os.environ.get("KAFKA_MESSAGES", DEFAULT_FOLDER)
    if not os.path.isdir(folder):
        print(f"check_schemas: nothing compared, as there is no folder {folder}; set KAFKA_MESSAGES")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    messages = read_ours()
    failures, compared, found_somewhere = [], 0, set()
    for version in sorted(entry for entry in os.listdir(folder) if entry != "coordinator-records"):
        for name, ours in messages.items():
            paths = [os.path.join(folder, version, name + ".json"),
                     os.path.join(folder, "coordinator-records", version, "group-coordinator", name + ".json")]
            schemas = [read_json(path) for path in paths if os.path.exists(path)]
            # Kafka 4 gave coordinator keys an apiKey and restarted their versions: the bytes stayed those of 3.9.
            schemas = [schema for schema in schemas if schema["type"] != "coordinator-key"]
            for schema in schemas:
                compared += 1
                found_somewhere.add(name)
                failures += [f"{version}: {line}" for line in differences(name, ours, schema)]
    failures += [f"{name}: no schema found" for name in messages if name not in found_somewhere]
    print("\n".join(failures + [f"check_schemas: {len(messages)} messages, {compared} comparisons, "
                                f"{len(failures)} differences"]))
    print(f"{compared - min(len(failures), compared)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
