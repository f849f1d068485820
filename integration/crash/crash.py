#!/usr/bin/env python3
"""Kills the broker at random moments under load, takes from its files what a power cut might have lost, and looks for what it
had promised.

usage: integration/crash/crash.py [--runs N] [--seed S] [--folder DIR]

A world is one broker with drawn settings, three kinds of clients and about 25 kills; worlds go on until N kills are done.
After every restart: no partition ends before what was acknowledged or read, and the groups' offsets are there. At the end of
a world every record is read again: each acknowledged one is there once, in order, unchanged, with its timestamp; each that a
reader saw is what it saw; the offsets have no gap; no idempotent producer's record is there twice or before its predecessor.

The seed decides settings, moments and damage (not the clients' threads); it is printed with every world. Exit status 1, and
the folder is kept, when a promise was broken.
"""
import argparse
import os
import random
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import confluent_kafka  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

import harness  # noqa: E402
from crash import forge  # noqa: E402
from crash.load import GroupMember, KafkaPythonProducer, Producer, Told, digest  # noqa: E402

KILLS_OF_A_WORLD = 25
PARTITIONS = 3


def draw_settings(rng):
    return {
        "reactor.cores": rng.choice([1, 2, 3]),
        "log.segment.bytes": rng.choice([200_000, 1 << 20, 4 << 20]),
        "log.checkpoint.bytes": rng.choice([65536, 1 << 20, 64 << 20]),
        "wal.file.bytes": rng.choice([1 << 20, 4 << 20]),
        "wal.max.bytes": rng.choice([8 << 20, 64 << 20]),
        "log.tail.memory": rng.choice([8 << 20, 128 << 20]),
        "archive.url": None if rng.random() < 0.4 else "keep",
        "log.local.retention.ms": rng.choice([1, 1000, -2]),
        "producer.validation": rng.choice(["header", "full"]),
        "offsets.topic.num.partitions": rng.choice([1, 3]),
        "offsets.topic.replication.factor": 1,
    }


class World:
    def __init__(self, folder, seed):
        self.rng = random.Random(seed)
        self.folder, self.told = folder, Told()
        drawn = draw_settings(self.rng)
        self.broker = harness.Broker(folder)
        if drawn.pop("archive.url") is None:
            del self.broker.settings["archive.url"]
        self.broker.settings.update({k: str(v) for k, v in drawn.items()})
        self.settings = drawn
        self.topics, self.workers, self.names = ["wal", "python", "pages"], [], {}
        self.damage, self.restarts_slow = [], 0.0
        self.is_needed_always = set()  # topic ids of which nobody out here knows what was acknowledged

    def begin(self):
        self.broker.start()
        admin = AdminClient({"bootstrap.servers": self.broker.address, "log_level": 0})
        kept = {"retention.ms": "-1"}  # the records say that they are years old
        made = [NewTopic(name, PARTITIONS, 1, config=kept | ({"durability": "page-cache"} if name == "pages" else {})) for name in self.topics]
        for future in admin.create_topics(made).values():
            future.result(20)
        described = admin.describe_topics(confluent_kafka.TopicCollection(self.topics))
        for name, future in described.items():
            self.names[str(future.result(20).topic_id)] = name
        address, told, rng = self.broker.address, self.told, self.rng
        self.producers = [
            Producer(told, address, "wal", PARTITIONS, 0, random.Random(rng.random()), 2),
            Producer(told, address, "wal", PARTITIONS, 1, random.Random(rng.random()), 4),
            Producer(told, address, "pages", PARTITIONS, 2, random.Random(rng.random()), 1),
            KafkaPythonProducer(told, address, "python", PARTITIONS, random.Random(rng.random())),
        ]
        self.members = [GroupMember(told, address, "wal", "g1") for _ in range(2)] + [GroupMember(told, address, "python", "g2")]
        self.workers = self.producers + self.members

    def is_needed(self, topic_id, partition, first, _last):
        name = self.names.get(topic_id)
        if name is None:  # the groups' offsets, the access log: who knows
            return True
        with self.told.lock:
            return first <= self.told.highest.get((name, partition), -1)

    def wait_until_all_has_been_heard(self):
        """What the broker said before it died lies in the clients' sockets; wait until they have read it and told us."""
        time.sleep(0.15)
        turns = [worker.turns for worker in self.workers]
        end = time.monotonic() + 5
        while any(w.turns < t + 3 and w.is_alive() and not w.blocked for w, t in zip(self.workers, turns)) and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.05)

    def kill(self):
        early = self.rng.random() < 0.15
        if early:
            # In the middle of recovery, of opening, of registering.
            path = os.path.join(self.folder, "server.properties")
            self.broker.kill()
            self.lose()
            self.broker.process = harness.Process("broker", [os.path.join(harness.BUILD, "forelog-broker"), path], self.folder)
            time.sleep(self.rng.uniform(0, 0.15))
        else:
            time.sleep(self.rng.choice([0.02, 0.1, 0.3, 0.6, 1.0]) * self.rng.random() + 0.01)
        if self.rng.random() < 0.06 and not early:
            self.broker.stop()
        else:
            self.broker.kill()
            self.lose()
        began = time.monotonic()
        self.broker.start()
        self.restarts_slow = max(self.restarts_slow, time.monotonic() - began)
        self.look()

    def lose(self):
        self.wait_until_all_has_been_heard()
        self.damage += forge.forge(self.broker.settings["log.dirs"], self.is_needed, self.rng)

    def look(self):
        """What can be asked at once: ends of partitions, offsets of groups."""
        client = confluent_kafka.Consumer({"bootstrap.servers": self.broker.address, "group.id": "look", "log_level": 0})
        with self.told.lock:
            highest, committed = dict(self.told.highest), dict(self.told.committed)
        try:
            for (topic, partition), offset in highest.items():
                end = client.get_watermark_offsets(confluent_kafka.TopicPartition(topic, partition), timeout=30)[1]
                if end <= offset:
                    self.told.problem(f"{topic}-{partition} ends at {end}, but offset {offset} was acknowledged or read")
        finally:
            client.close()
        self.look_at_groups(committed)

    def look_at_groups(self, committed):
        for group in ("g1", "g2"):
            keys = [key for key in committed if key[0] == group]
            if not keys:
                continue
            client = confluent_kafka.Consumer({"bootstrap.servers": self.broker.address, "group.id": group, "log_level": 0})
            try:
                asked = [confluent_kafka.TopicPartition(topic, partition) for _, topic, partition in keys]
                found = {(p.topic, p.partition): p.offset for p in client.committed(asked, timeout=30)}
            finally:
                client.close()
            for key in keys:
                offset = max(found[key[1:]], -1)  # -1001: none
                with self.told.lock:
                    asked_for = self.told.committed[key][1]
                if offset < committed[key][0] or offset > asked_for:
                    self.told.problem(f"{key} has offset {offset}; {committed[key][0]} was acknowledged, up to {asked_for} asked for")

    def end(self):
        for worker in self.producers:
            worker.stopping.set()
        for worker in self.producers:
            worker.join(90)
        for worker in self.members:
            worker.stopping.set()
        for worker in self.members:
            worker.join(30)
        self.look()
        read = 0
        for topic in self.topics:
            for partition in range(PARTITIONS):
                read += self.read_again(topic, partition)
        self.broker.stop()
        return read

    def read_again(self, topic, partition):
        where = (topic, partition)
        acknowledged, seen = self.told.acknowledged.get(where, {}), self.told.seen.get(where, {})
        problem = self.told.problem
        client = confluent_kafka.Consumer(
            {"bootstrap.servers": self.broker.address, "group.id": "again", "enable.auto.commit": False, "log_level": 0, "check.crcs": True}
        )
        begin, end = client.get_watermark_offsets(confluent_kafka.TopicPartition(topic, partition), timeout=30)
        if begin != 0:
            problem(f"{where} begins at {begin}")
        client.assign([confluent_kafka.TopicPartition(topic, partition, begin)])
        expected, values, last = begin, set(), {}
        patience = time.monotonic() + 60
        while expected < end and time.monotonic() < patience:
            for message in client.consume(1000, 0.5):
                if message.error() is not None:
                    continue
                if message.offset() != expected:
                    problem(f"{where}: offset {message.offset()} follows {expected - 1}")
                expected = message.offset() + 1
                value = message.value()
                told = acknowledged.get(message.offset())
                if told is not None and told != (digest(value), message.timestamp()[1]):
                    problem(f"{where}: offset {message.offset()} is not what was acknowledged")
                if message.offset() in seen and seen[message.offset()] != digest(value):
                    problem(f"{where}: offset {message.offset()} is not what a reader saw")
                if value in values:
                    problem(f"{where}: {value[:30]!r} is there twice")
                values.add(value)
                producer, _, number, _ = value.split(b"/", 3)
                if int(number) <= last.get(producer, -1):
                    problem(f"{where}: {value[:30]!r} is out of order")
                last[producer] = int(number)
        client.close()
        if expected < end:
            problem(f"{where}: only {expected} of {end} offsets could be read")
        lost = [offset for offset in acknowledged if offset >= expected] + [offset for offset in seen if offset >= expected]
        if lost:
            problem(f"{where}: {len(lost)} records that were acknowledged or read are gone, from offset {min(lost)}")
        return expected - begin


def run_world(seed, kills, folder):
    world = World(folder, seed)
    drawn = " ".join(f"{k}={v}" for k, v in world.settings.items())
    print(f"world seed={seed} kills={kills} archive={'archive.url' in world.broker.settings} {drawn}", flush=True)
    began = time.monotonic()
    read = 0
    try:
        world.begin()
        for _ in range(kills):
            world.kill()
            if world.told.problems:
                break
        else:
            read = world.end()
    except Exception as e:  # pylint: disable=broad-except
        world.told.problem(f"the world ended: {e!r}"[:3000])
    finally:
        for worker in world.workers:
            worker.stopping.set()
        world.broker.close()
    commits = sum(1 for acknowledged, _ in world.told.committed.values() if acknowledged >= 0)
    print(
        f"  acknowledged {world.told.count()}, read again {read}, {commits} group offsets, {len(world.damage)} files damaged, "
        f"slowest restart {world.restarts_slow:.2f} s, {time.monotonic() - began:.0f} s",
        flush=True,
    )
    for problem in world.told.problems[:20]:
        print(f"  PROBLEM {problem}", flush=True)
    if world.told.problems:
        print("  damage: " + "; ".join(world.damage[-20:]), flush=True)
    elif world.told.count() < 20 * kills:
        world.told.problem("hardly anything was acknowledged: this run shows nothing")
        print("  PROBLEM hardly anything was acknowledged", flush=True)
    return world.told.problems, world.told.count(), len(world.damage)


def run(runs, seed, folder=None):
    """Returns how many worlds broke a promise."""
    root = folder or tempfile.mkdtemp(prefix="forelog-crash-")
    done = broken = acknowledged = damaged = 0
    number = 0
    while done < runs:
        kills = min(KILLS_OF_A_WORLD, runs - done)
        here = os.path.join(root, f"world{number}")
        os.makedirs(here)
        problems, told, lost = run_world(seed + number, kills, here)
        broken += bool(problems)
        acknowledged, damaged = acknowledged + told, damaged + lost
        if not problems:
            shutil.rmtree(here)
        done, number = done + kills, number + 1
    print(f"{done} kills, {acknowledged} acknowledged records, {damaged} files damaged, {broken} worlds with broken promises, seed {seed}")
    if not broken:
        shutil.rmtree(root)
    else:
        print(f"kept in {root}")
    return broken


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--folder")
    args = parser.parse_args()
    return 1 if run(args.runs, args.seed, args.folder) else 0


if __name__ == "__main__":
    sys.exit(main())
