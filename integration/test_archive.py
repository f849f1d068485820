"""History in an archive: shards cut, sealed, archived, dropped locally; old offsets readable; retention at the old end."""
import json
import os
import subprocess
import time
import uuid

import confluent_kafka

from harness import BUILD, wait_until
from test_python_clients import admin, consume, create, produce

RECORD = 1000


def values(count, start=0):
    return [f"{i:09d}".encode() + os.urandom(RECORD - 9) for i in range(start, start + count)]


def shards(broker, topic):
    return broker.json(f"/api/shards?topic={topic}")["shards"]


def archived_and_dropped(broker, topic):
    """All shards but the open one lie in the archive alone."""
    rows = shards(broker, topic)
    return rows and all(r["location"] == "archive" for r in rows if r["state"] != "open") and len(rows) > 1


def settled(broker, topic, records):
    """A topic of 1 MiB shards with `records` records, all sealed shards in the archive only."""
    create(broker, topic, 1, segment_bytes=1 << 20, local_retention_ms=1)
    content = values(records)
    produce(broker, topic, content, partition=0, **{"linger.ms": 5})
    wait_until(lambda: archived_and_dropped(broker, topic), 60, f"the shards of {topic} to be archived")
    return content


def test_old_offsets_come_back_unchanged(new_broker):
    broker = new_broker()
    topic = f"history-{uuid.uuid4().hex[:6]}"
    content = settled(broker, topic, 8000)
    got = consume(broker, topic, len(content), seconds=60)
    assert [m.value() for m in got] == content
    assert [m.offset() for m in got] == list(range(len(content)))
    rows = shards(broker, topic)
    assert len(rows) >= 6
    assert all(a["end"] == b["base"] for a, b in zip(rows, rows[1:]))
    assert broker.metric('forelog_reads_total{tier="archive"}') + broker.metric('forelog_reads_total{tier="memory"}') > 0


def test_archived_history_survives_a_restart_and_the_loss_of_the_local_disk_cache(new_broker):
    broker = new_broker()
    topic = f"restart-{uuid.uuid4().hex[:6]}"
    content = settled(broker, topic, 4000)
    broker.stop()
    broker.start()
    assert [m.value() for m in consume(broker, topic, len(content), seconds=60)] == content


def test_single_offsets_and_times_in_the_archive(new_broker):
    broker = new_broker()
    topic = f"lookup-{uuid.uuid4().hex[:6]}"
    create(broker, topic, 1, segment_bytes=1 << 20, local_retention_ms=1)
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.address, "linger.ms": 5})
    base = int(time.time() * 1000) - 10_000_000
    for i in range(5000):
        producer.produce(topic, f"{i}".encode() + os.urandom(900), partition=0, timestamp=base + i * 1000)
        producer.poll(0)
    producer.flush(30)
    wait_until(lambda: archived_and_dropped(broker, topic), 60, "the shards to be archived")
    consumer = confluent_kafka.Consumer({"bootstrap.servers": broker.address, "group.id": uuid.uuid4().hex})
    for i in (0, 1, 777, 2500, 4999):
        found = consumer.offsets_for_times([confluent_kafka.TopicPartition(topic, 0, base + i * 1000 - 10)], 20)[0].offset
        assert found == i
        consumer.assign([confluent_kafka.TopicPartition(topic, 0, i)])
        message = wait_until(lambda: consumer.poll(0.5), 20, f"offset {i}")
        assert message.error() is None and message.offset() == i and message.value().startswith(f"{i}".encode())
    consumer.close()


def test_retention_removes_the_old_end_wherever_it_lies(new_broker):
    broker = new_broker()
    topic = f"retention-{uuid.uuid4().hex[:6]}"
    settled(broker, topic, 8000)
    before = sum(len(files) for _, _, files in os.walk(broker.archive))
    client = admin(broker)
    resource = confluent_kafka.admin.ConfigResource(
        confluent_kafka.admin.ResourceType.TOPIC,
        topic,
        incremental_configs=[
            confluent_kafka.admin.ConfigEntry("retention.bytes", str(3 << 20), incremental_operation=confluent_kafka.admin.AlterConfigOpType.SET)
        ],
    )
    client.incremental_alter_configs([resource])[resource].result(20)
    wait_until(lambda: shards(broker, topic)[0]["base"] > 0, 60, "the oldest shards to go")
    first = shards(broker, topic)[0]["base"]
    wait_until(lambda: sum(len(files) for _, _, files in os.walk(broker.archive)) < before, 30, "objects to go")
    got = consume(broker, topic, 8000 - first, seconds=60)
    assert got[0].offset() == first and got[-1].offset() == 7999


def test_deleting_a_topic_empties_the_archive(new_broker):
    broker = new_broker()
    topic = f"deleted-{uuid.uuid4().hex[:6]}"
    settled(broker, topic, 3000)
    client = admin(broker)
    for future in client.delete_topics([topic]).values():
        future.result(20)
    left = lambda: [f for _, _, files in os.walk(broker.archive) for f in files]
    wait_until(lambda: left() == ["archive.id"], 60, "the archive to be empty but for its id")
    # A topic of the same name has another id and none of the old bytes.
    create(broker, topic, 1)
    produce(broker, topic, [b"new"], partition=0)
    assert [m.value() for m in consume(broker, topic, 1)] == [b"new"]


def test_cli_shows_shards_and_inspects_files(new_broker):
    broker = new_broker()
    topic = f"cli-{uuid.uuid4().hex[:6]}"
    settled(broker, topic, 3000)
    text = broker.cli("shards", topic)
    assert "archive" in text and "open" in text
    assert "1 of 1 partitions accepted" in broker.cli("warm", topic, "--from", "0", "--to", "500")
    wait_until(lambda: broker.metric('forelog_cache_load_bytes_total{kind="prefetch"}') > 0, 10, "the range to be loaded")
    before = broker.metric('forelog_reads_total{tier="archive"}')
    consumer = confluent_kafka.Consumer({"bootstrap.servers": broker.address, "group.id": uuid.uuid4().hex, "fetch.message.max.bytes": 100_000})
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, 100)])
    assert wait_until(lambda: consumer.poll(0.5), 20, "a record").offset() == 100
    consumer.close()
    assert broker.metric('forelog_reads_total{tier="memory"}') > 0
    assert broker.metric('forelog_reads_total{tier="archive"}') >= before
    objects = [os.path.join(d, f) for d, _, files in os.walk(broker.archive) for f in files if f[0].isdigit()]
    assert objects
    text = broker.cli("inspect", sorted(objects)[0])
    assert "offset" in text


def test_archive_away_and_back(new_broker):
    broker = new_broker(**{"log.tail.memory": 1 << 20})
    topic = f"away-{uuid.uuid4().hex[:6]}"
    content = settled(broker, topic, 4000)
    hidden = broker.archive + ".hidden"
    os.rename(broker.archive, hidden)
    with open(broker.archive, "w", encoding="utf-8") as f:
        f.write("a file where a directory was: every request fails")
    try:
        more = values(3000, 4000)
        produce(broker, topic, more, partition=0)
        tail = confluent_kafka.Consumer({"bootstrap.servers": broker.address, "group.id": uuid.uuid4().hex})
        tail.assign([confluent_kafka.TopicPartition(topic, 0, 6990)])
        message = wait_until(lambda: tail.poll(0.5), 20, "a tail read while the archive is away")
        assert message.error() is None and message.offset() == 6990
        tail.close()
    finally:
        os.remove(broker.archive)
        os.rename(hidden, broker.archive)
    wait_until(lambda: archived_and_dropped(broker, topic), 90, "archiving to resume")
    assert [m.value() for m in consume(broker, topic, 7000, seconds=60)] == content + more


def test_verify_finds_nothing_sound_where_there_is_no_archive(new_broker):
    """A directory that is not mounted, a prefix that is mistyped: nobody should read of 0 damaged objects, and be content."""
    broker = new_broker()
    wait_until(lambda: "archive_identified" in broker.process.log(), 20, "the archive to get its id")
    broker.kill()
    command = [os.path.join(BUILD, "forelog"), "archive", "verify", "--bucket-only", "--config", os.path.join(broker.folder, "server.properties")]
    run = lambda: subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    assert run().returncode == 0
    os.rename(broker.archive, broker.archive + ".away")
    done = run()
    assert done.returncode == 1 and "mount it, or correct archive.url" in done.stdout, done.stdout
    assert not os.path.exists(broker.archive)
    os.mkdir(broker.archive)
    done = run()
    assert done.returncode == 1 and "archive.prefix" in done.stdout, done.stdout


def test_a_strange_archive_is_left_alone(new_broker):
    """As when a bucket's name is mistyped, or a directory is not mounted."""
    broker = new_broker()
    topic = f"own-{uuid.uuid4().hex[:6]}"
    content = settled(broker, topic, 3000)
    broker.stop()
    right, wrong = broker.settings["archive.url"], broker.archive + ".wrong"
    half = os.path.join(wrong, ".uploading", "half")  # somebody is uploading there
    os.makedirs(os.path.dirname(half))
    with open(half, "w", encoding="utf-8") as f:
        f.write("of somebody else")
    broker.start(**{"archive.url": f"file:{wrong}"})
    wait_until(lambda: "archive_is_another" in broker.process.log(), 20, "the broker to notice")
    assert "archive.url does not lead to this cluster's archive" in broker.http("/health")
    assert broker.http("/ready") == "ready\n" and broker.metric("forelog_archive_foreign") == 1
    more = values(2000, 3000)
    produce(broker, topic, more, partition=0)  # and clients are served, as far as it goes without history
    tail = confluent_kafka.Consumer({"bootstrap.servers": broker.address, "group.id": uuid.uuid4().hex})
    tail.assign([confluent_kafka.TopicPartition(topic, 0, 4999)])
    assert wait_until(lambda: tail.poll(0.5), 20, "the last record").value() == more[-1]
    tail.close()
    time.sleep(1)
    assert [f for _, _, files in os.walk(wrong) for f in files] == ["half"]
    broker.kill()
    half, identity = os.path.join(broker.archive, ".uploading", "half"), os.path.join(broker.archive, "forelog", "archive.id")
    with open(half, "w", encoding="utf-8") as f:
        f.write("of a life before")
    with open(identity, encoding="utf-8") as f:
        own = f.read()
    for text, says in (("<html>", f"write {own} into it"), (own.replace('"version":1', '"version":2'), "start the release that wrote it")):
        with open(identity, "w", encoding="utf-8") as f:
            f.write(text)
        broker.start(**{"archive.url": right})
        said = wait_until(lambda: broker.http("/health") != "ok\n" and broker.http("/health"), 20, "the broker to say so")
        assert said.startswith("degraded") and "forelog/archive.id" in said and says in said
        assert os.path.exists(half)
        broker.kill()
    with open(identity, "w", encoding="utf-8") as f:
        f.write(own)
    broker.start(**{"archive.url": right})
    wait_until(lambda: not os.path.exists(half), 20, "what a crash left to be cleared away")
    wait_until(lambda: archived_and_dropped(broker, topic), 60, "archiving to go on")
    assert [m.value() for m in consume(broker, topic, 5000, seconds=60)] == content + more
    assert broker.http("/health") == "ok\n" and broker.metric("forelog_archive_foreign") == 0
    broker.kill()  # its log has said that somebody should look
