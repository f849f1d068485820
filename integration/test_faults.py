"""What an operator meets: a stop while clients wait, a full disk, rotten archive objects, settings that cannot be."""
import contextlib
import os
import subprocess
import threading
import time
import urllib.error
import uuid

import confluent_kafka
import pytest

import harness
from harness import free_port, wait_until
from test_archive import settled, shards
from test_python_clients import admin, consume, create, produce


def consumer(broker, group, **settings):
    return confluent_kafka.Consumer({"bootstrap.servers": broker.address, "group.id": group, "auto.offset.reset": "earliest", **settings})


# --- stopping


def test_a_stop_waits_neither_for_long_polls_nor_for_rebalances(new_broker):
    broker = new_broker()
    create(broker, "quiet", 1)
    poll = consumer(broker, "poll", **{"fetch.wait.max.ms": 200_000, "socket.timeout.ms": 290_000})
    poll.assign([confluent_kafka.TopicPartition("quiet", 0, 0)])
    poll.poll(1)
    members = [consumer(broker, "slow", **{"session.timeout.ms": 60_000, "max.poll.interval.ms": 300_000}) for _ in range(2)]
    for member in members:
        member.subscribe(["quiet"])
    members[0].poll(3)  # then it is busy, and the rebalance waits for it
    waiting = threading.Thread(target=members[1].poll, args=(4,))
    waiting.start()
    time.sleep(2)
    began = time.monotonic()
    broker.stop()
    assert time.monotonic() - began < 8
    waiting.join()


def test_a_stop_does_not_wait_for_an_archive_that_does_not_answer(new_broker):
    broker = new_broker()
    content = settled(broker, "cold", 4000)
    broker.stop()
    broker.start(**{"archive.first.byte.delay.ms": 60_000})
    create(broker, "sealed", 1, segment_bytes=1 << 20, local_retention_ms=1)
    more = [os.urandom(1000) for _ in range(4000)]
    produce(broker, "sealed", more, partition=0, **{"linger.ms": 5})
    reader = consumer(broker, "waits", **{"fetch.wait.max.ms": 60_000, "socket.timeout.ms": 90_000})
    reader.assign([confluent_kafka.TopicPartition("cold", 0, 0)])
    assert reader.poll(1) is None
    wait_until(lambda: broker.metric("forelog_archiver_waiting_shards") > 0, 20, "a shard to wait for its upload")

    def look_up_by_time():  # waits in the broker itself
        with contextlib.suppress(confluent_kafka.KafkaException):
            reader.offsets_for_times([confluent_kafka.TopicPartition("cold", 0, 1)], 20)

    threading.Thread(target=look_up_by_time, daemon=True).start()
    time.sleep(0.5)
    began = time.monotonic()
    broker.stop()
    assert time.monotonic() - began < 3
    broker.start(**{"archive.first.byte.delay.ms": 0})
    wait_until(lambda: all(r["location"] == "archive" for r in shards(broker, "sealed") if r["state"] != "open"), 60, "archiving to go on")
    assert [m.value() for m in consume(broker, "sealed", len(more), seconds=60)] == more
    assert [m.value() for m in consume(broker, "cold", len(content), seconds=60)] == content


def test_an_archive_that_hangs_in_the_system_hangs_nobody_else(new_broker):
    # A pipe that nobody writes to: opening it never returns, as with a network file system whose server is gone.
    broker = new_broker(**{"cache.load.timeout.ms": 1000})
    content = settled(broker, "cold", 6000)
    row = shards(broker, "cold")[2]
    path = next(os.path.join(d, f) for d, _, files in os.walk(broker.archive) for f in files if f.startswith(f"{row['base']:020d}."))
    broker.stop()
    os.rename(path, path + ".kept")
    os.mkfifo(path)
    broker.start()
    assert unreadable(broker, "cold", row["base"] + 5, seconds=4)
    # What comes before it, and the tail, are there as ever.
    assert [m.value() for m in consume(broker, "cold", row["base"], seconds=30)] == content[: row["base"]]
    create(broker, "tail", 1, remote_storage_enable="false")
    produce(broker, "tail", [b"new"], partition=0)
    assert [m.value() for m in consume(broker, "tail", 1)] == [b"new"]
    began = time.monotonic()
    broker.stop()
    assert time.monotonic() - began < 4
    os.rename(path + ".kept", path)
    broker.start()
    assert [m.value() for m in consume(broker, "cold", len(content), seconds=60)] == content


# --- the archive


def unreadable(broker, topic, offset, seconds=2):
    """True when nothing comes from there for a while, though the broker answers."""
    reader = consumer(broker, uuid.uuid4().hex, **{"fetch.error.backoff.ms": 50})
    reader.assign([confluent_kafka.TopicPartition(topic, 0, offset)])
    message = reader.poll(seconds)
    reader.close()
    return message is None


@pytest.mark.parametrize("damage", ["rotten", "truncated", "missing"])
def test_a_damaged_object_is_named_and_stops_nobody_else(new_broker, damage):
    broker = new_broker()
    topic = f"damaged-{damage}"
    content = settled(broker, topic, 6000)
    row = shards(broker, topic)[2]
    path = next(os.path.join(d, f) for d, _, files in os.walk(broker.archive) for f in files if f.startswith(f"{row['base']:020d}."))
    with open(path, "rb") as f:
        sound = f.read()
    broker.stop()  # what is in the cache is sound
    if damage == "rotten":
        data = bytearray(sound)
        for at in range(1000, row["size"], 50_000):
            data[at] ^= 0xFF
        with open(path, "wb") as f:
            f.write(data)
    elif damage == "truncated":
        os.truncate(path, len(sound) // 3)
    else:
        os.remove(path)
    broker.start()
    assert unreadable(broker, topic, row["end"] - 10)
    named = [line for line in broker.process.log().splitlines() if "archive_read_failed" in line]
    assert any(f"@{row['base']}.0" in line for line in named) and len(named) < 10, named
    reader = consumer(broker, "after")
    reader.assign([confluent_kafka.TopicPartition(topic, 0, row["end"])])
    assert wait_until(lambda: reader.poll(0.5), 10, "the shard behind").value() == content[row["end"]]
    reader.close()
    with open(path, "wb") as f:
        f.write(sound)
    assert [m.value() for m in consume(broker, topic, len(content), seconds=30)] == content


def test_deleted_records_in_the_middle_of_an_archived_shard_are_not_found_by_time(new_broker):
    broker = new_broker()
    create(broker, "start", 1, segment_bytes=1 << 20, local_retention_ms=1)
    base = int(time.time() * 1000) - 10_000_000
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.address, "linger.ms": 50})
    for i in range(4000):
        producer.produce("start", os.urandom(1000), partition=0, timestamp=base + i * 1000)
        producer.poll(0)
    producer.flush(30)
    wait_until(lambda: all(r["location"] == "archive" for r in shards(broker, "start")[:-1]), 30, "archiving")
    middle = shards(broker, "start")[1]["base"] + 137
    client = admin(broker)
    for future in client.delete_records([confluent_kafka.TopicPartition("start", 0, middle)]).values():
        assert future.result(20).low_watermark == middle
    asked = consumer(broker, "q")
    at = lambda i: asked.offsets_for_times([confluent_kafka.TopicPartition("start", 0, base + i * 1000)], 20)[0].offset
    assert [at(i) for i in (0, middle - 1, middle, middle + 5)] == [middle, middle, middle, middle + 5]
    asked.close()


def test_a_batch_larger_than_the_cache_is_refused_with_the_reason(new_broker):
    broker = new_broker(**{"message.max.bytes": 8 << 20, "cache.memory": 64 << 20})
    create(broker, "large", 1, segment_ms=1000, local_retention_ms=1)
    value = os.urandom(6 << 20)
    produce(broker, "large", [value], partition=0, **{"message.max.bytes": 8 << 20})
    wait_until(lambda: shards(broker, "large")[0]["location"] == "archive", 30, "archiving")
    broker.stop()
    broker.start(**{"cache.memory": 2 << 20})
    assert unreadable(broker, "large", 0)
    named = [line for line in broker.process.log().splitlines() if "archive_read_failed" in line]
    assert len(named) == 1 and "cache.memory is too small" in named[0]
    assert broker.metric("forelog_archive_get_requests_total") < 10, "not loaded again and again"
    broker.stop()
    broker.start(**{"cache.memory": 64 << 20})
    assert [m.value() for m in consume(broker, "large", 1)] == [value]


# --- the disk


@pytest.fixture
def small_disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", path], check=False).returncode != 0:
        pytest.skip("needs the right to mount a file system")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


class Numbers:
    """A producer of numbered records that does not give up soon, and knows which ones are acknowledged."""

    def __init__(self, broker, topic):
        self.topic, self.acknowledged = topic, []
        self.producer = confluent_kafka.Producer(
            {"bootstrap.servers": broker.address, "enable.idempotence": True, "linger.ms": 5, "retry.backoff.ms": 100, "message.timeout.ms": 120_000}
        )

    def send(self, start):
        for i in range(start, start + 5000):
            self.producer.produce(self.topic, f"{i:09d}".encode() * 20, on_delivery=lambda e, m, i=i: e or self.acknowledged.append(i))
            self.producer.poll(0)


def test_a_full_disk_refuses_and_recovers(new_broker, small_disk):
    broker = new_broker(**{"log.dirs": small_disk / "log", "wal.file.bytes": 4 << 20, "wal.max.bytes": 12 << 20})
    create(broker, "full", 1)
    numbers = Numbers(broker, "full")
    producer, acknowledged = numbers.producer, numbers.acknowledged
    numbers.send(0)
    assert producer.flush(30) == 0 and len(acknowledged) == 5000
    filler = small_disk / "filler"
    with open(filler, "wb", buffering=0) as f:
        try:
            while True:
                f.write(b"\0" * 4096)
        except OSError:
            pass
    numbers.send(5000)
    producer.flush(2)
    errors = []
    once = confluent_kafka.Producer({"bootstrap.servers": broker.address, "retries": 0})
    once.produce("full", b"x" * 5000, on_delivery=lambda e, m: errors.append(e))
    assert once.flush(10) == 0 and errors[0].code() == confluent_kafka.KafkaError.KAFKA_STORAGE_ERROR
    # Who looks sees it; restarting would not help, so the process is healthy but not ready.
    with pytest.raises(urllib.error.HTTPError) as unready:
        broker.http("/ready")
    assert unready.value.code == 503 and "disk is full" in unready.value.read().decode()
    assert "degraded" in broker.http("/health")
    began = time.monotonic()
    with pytest.raises(confluent_kafka.KafkaException, match="MiB are left for|No space left"):
        create(broker, "refused", 1)
    assert time.monotonic() - began < 5
    reader = consumer(broker, "assigned", **{"enable.auto.commit": False})  # a commit would wait for the disk
    reader.assign([confluent_kafka.TopicPartition("full", 0, 0)])
    read = []
    wait_until(lambda: read.extend(reader.consume(1000, 0.2)) or len(read) >= 5000, 10, "reads while the disk is full")
    reader.close()
    filler.unlink()
    assert producer.flush(30) == 0 and len(acknowledged) == 10_000
    wait_until(broker.ready, 10, "the broker to be ready again")
    later = [f"later-{i}" for i in range(5)]
    for name in later:
        create(broker, name, 1)
    broker.kill()
    broker.start()
    assert set(later) <= set(admin(broker).list_topics(timeout=10).topics), "created after the disk was full, and lost"
    seen = [m.value() for m in consume(broker, "full", 10_000)]
    kept = [int(v[:9]) for v in seen if v[:1] == b"0"]
    assert kept[:10_000] == list(range(10_000))


@pytest.fixture
def own_disk(tmp_path):
    """A file system of the test's own in a file; `abort` makes it read-only under who writes to it, as ext4 does after an I/O error."""

    class Disk:
        path, image = tmp_path / "own", tmp_path / "image"

        def mount(self):
            return subprocess.run(["mount", "-o", "loop", self.image, self.path], check=False).returncode == 0

        def abort(self):
            subprocess.run(["mount", "-o", "remount,abort", self.path], check=True)

        def unmount(self):
            subprocess.run(["umount", self.path], check=True)

    disk = Disk()
    disk.path.mkdir()
    with open(disk.image, "wb") as f:
        f.truncate(256 << 20)
    made = os.geteuid() == 0 and subprocess.run(["mkfs.ext4", "-q", "-F", disk.image], check=False).returncode == 0
    if not made or not disk.mount():
        pytest.skip("needs the right to mount a file system")
    yield disk
    subprocess.run(["umount", "-l", disk.path], check=True)


def test_a_disk_that_turns_read_only_refuses_and_loses_nothing(new_broker, own_disk):
    broker = new_broker(**{"log.dirs": own_disk.path / "log", "archive.url": "", "wal.file.bytes": 4 << 20})
    create(broker, "fixed", 1)
    numbers = Numbers(broker, "fixed")
    producer, acknowledged = numbers.producer, numbers.acknowledged
    numbers.send(0)
    assert producer.flush(30) == 0 and len(acknowledged) == 5000
    own_disk.abort()
    errors = []
    once = confluent_kafka.Producer({"bootstrap.servers": broker.address, "retries": 0})
    for _ in range(3):
        once.produce("fixed", b"x" * 5000, on_delivery=lambda e, m: errors.append(e))
        assert once.flush(10) == 0
    assert [e and e.code() for e in errors] == [confluent_kafka.KafkaError.KAFKA_STORAGE_ERROR] * 3
    with pytest.raises(urllib.error.HTTPError) as unready:
        broker.http("/ready")
    assert unready.value.code == 503 and "Read-only file system" in unready.value.read().decode()
    assert "degraded" in broker.http("/health")
    with pytest.raises(confluent_kafka.KafkaException):
        create(broker, "refused", 1)
    numbers.send(5000)  # the client keeps these, and tries on
    reader = consumer(broker, "assigned", **{"enable.auto.commit": False})
    reader.assign([confluent_kafka.TopicPartition("fixed", 0, 0)])
    read = []
    wait_until(lambda: read.extend(reader.consume(1000, 0.2)) or len(read) >= 5000, 10, "reads while the disk is read-only")
    assert [int(m.value()[:9]) for m in read[:5000]] == list(range(5000))
    reader.close()
    # Such a disk has to be repaired. What was not synced is gone.
    broker.stop()
    own_disk.unmount()
    assert own_disk.mount()
    broker.start()
    assert producer.flush(60) == 0 and sorted(acknowledged) == list(range(10_000))
    kept = [int(m.value()[:9]) for m in consume(broker, "fixed", 10_000) if m.value()[:1] == b"0"]
    assert kept[:10_000] == list(range(10_000))
    create(broker, "later", 1)
    wait_until(broker.ready, 10, "the broker to be ready again")


# --- settings


@pytest.mark.parametrize(
    "setting, says",
    [
        ("num.partition=3", "did you mean num.partitions?"),
        ("num.partitions=0", "allowed: 1 to"),
        ("log.dirs=/tmp/a,/tmp/b", "one directory"),
        ("zookeeper.connect=127.0.0.1:2181", "embedded"),
        ("archive.url=ftp://bucket", "file:/"),
        ("listeners=SASL_PLAINTEXT://127.0.0.1:9092", "only PLAINTEXT"),
        ("listeners=PLAINTEXT://0.0.0.0:9092", "advertised.listeners"),
        ("authorizer.class.name=kafka.security.authorizer.AclAuthorizer", "access control"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(tmp_path, setting, says):
    config = tmp_path / "server.properties"
    config.write_text(f"log.dirs={tmp_path}/log\nlisteners=PLAINTEXT://127.0.0.1:{free_port()}\n")
    command = [os.path.join(harness.BUILD, "forelog-broker"), str(config), "--set", setting]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1 and says in done.stderr and setting.split("=", maxsplit=1)[0] in done.stderr


def test_a_directory_is_no_settings_file(tmp_path):
    command = [os.path.join(harness.BUILD, "forelog-broker"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1 and "is a directory" in done.stderr


def test_two_brokers_do_not_share_a_directory(new_broker, tmp_path):
    first = new_broker()
    config = tmp_path / "second.properties"
    lines = {**first.settings, "listeners": f"PLAINTEXT://127.0.0.1:{free_port()}", "admin.listeners": "", "hint.listeners": ""}
    config.write_text("".join(f"{k}={v}\n" for k, v in lines.items()))
    done = subprocess.run([os.path.join(harness.BUILD, "forelog-broker"), str(config)], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1 and "log.dirs" in done.stderr and "another broker" in done.stderr
    produce(first, "still", [b"served"])


def test_two_brokers_do_not_share_a_disk_cache(new_broker, tmp_path):
    first = new_broker(**{"cache.disk.path": tmp_path / "cache"})
    config = tmp_path / "second.properties"
    lines = {"listeners": f"PLAINTEXT://127.0.0.1:{free_port()}", "log.dirs": tmp_path / "other", "cache.disk.path": tmp_path / "cache"}
    config.write_text("".join(f"{k}={v}\n" for k, v in {**lines, "admin.listeners": "", "hint.listeners": ""}.items()))
    done = subprocess.run([os.path.join(harness.BUILD, "forelog-broker"), str(config)], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1 and "cache.disk.path" in done.stderr and str(tmp_path / "cache") in done.stderr
    # It says whose it is.
    assert first.settings["log.dirs"] in done.stderr and str(first.process.process.pid) in done.stderr
    produce(first, "still", [b"served"])
    first.kill()  # which frees it
    first.start()


# --- the local disk


def test_an_unreadable_segment_concerns_its_readers_alone(new_broker):
    broker = new_broker(log_segment_bytes=100_000, archive_url="")
    create(broker, "hurt", 1)
    create(broker, "whole", 1)
    values = [f"{i:09d}".encode() * 30 for i in range(3000)]
    for topic in ("hurt", "whole"):
        produce(broker, topic, values, **{"batch.size": 4000})
    broker.stop()
    by_folder = {}
    for folder, _, files in os.walk(os.path.join(broker.folder, "log", "segments")):
        by_folder[folder] = sorted(os.path.join(folder, name) for name in files if name.endswith(".log"))
    # The second segment of either topic loses its beginning.
    folder = next(f for f, paths in by_folder.items() if len(paths) > 3)
    damaged = by_folder[folder][1]
    with open(damaged, "r+b") as f:
        f.write(b"\xee" * 50_000)
    first = int(os.path.basename(damaged)[:20])
    broker.start()
    got = {}
    for topic in ("hurt", "whole"):
        reader = consumer(broker, uuid.uuid4().hex, **{"fetch.error.backoff.ms": 50})
        reader.assign([confluent_kafka.TopicPartition(topic, 0, first)])
        got[topic] = reader.poll(2)
        reader.close()
    assert sorted(message is None for message in got.values()) == [False, True], "one topic's segment is damaged, the other's is not"
    assert broker.metric("forelog_read_failures_total") > 0
    assert any("read_failed" in line and os.path.basename(damaged) in line for line in broker.process.log().splitlines())
    bad = next(topic for topic, message in got.items() if message is None)
    behind = int(os.path.basename(by_folder[folder][2])[:20])
    reader = consumer(broker, "behind")
    reader.assign([confluent_kafka.TopicPartition(bad, 0, behind)])
    assert wait_until(lambda: reader.poll(0.5), 10, "the segment behind").value() == values[behind]
    reader.close()
    produce(broker, bad, [b"it still takes records"])


def test_a_read_only_disk_is_named_at_the_start(new_broker, small_disk):
    broker = new_broker(**{"log.dirs": small_disk / "log"})
    create(broker, "fixed", 1)
    produce(broker, "fixed", [b"before"])
    broker.stop()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    command = [os.path.join(harness.BUILD, "forelog-broker"), os.path.join(broker.folder, "server.properties")]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, check=False)
    assert done.returncode == 1, done.stdout[-2000:]
    assert b"Read-only file system" in done.stdout and str(small_disk).encode() in done.stdout, done.stdout[-2000:]
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    broker.start()
    assert [m.value() for m in consume(broker, "fixed", 1)] == [b"before"]
