"""What lets a broker run for months: compaction, merging, deleting records, bounded producers, versions that are refused."""
import contextlib
import glob
import json
import os
import re
import time
import uuid

import confluent_kafka
import pytest

from harness import kafka_tool, kcat, wait_until
from kafka_wire import Wire
from test_faults import consumer
from test_python_clients import consume, create, produce

RECORD = 1000


def shards(broker, topic):
    return broker.json(f"/api/shards?topic={topic}")["shards"]


def keyed(broker, topic, pairs, compression="none"):
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.address, "linger.ms": 20, "batch.num.messages": 100, "compression.type": compression, "enable.idempotence": True})
    for key, value in pairs:
        producer.produce(topic, value, key, partition=0)
        producer.poll(0)
    assert producer.flush(30) == 0


def compacted(broker, topic, passes=1):
    wait_until(lambda: broker.metric("forelog_compaction_passes_total") >= passes, 60, "a pass of compaction")
    wait_until(lambda: any(r["generation"] > 0 for r in shards(broker, topic)), 60, "a rewritten shard")


def table_of(broker, topic):
    """Every key's last value, read by librdkafka from the start until it says that the end is reached; and how many records that took."""
    reader = consumer(broker, f"reader-{uuid.uuid4().hex[:6]}", **{"enable.partition.eof": True})
    reader.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
    table, records, give_up = {}, 0, time.time() + 60
    while True:
        assert time.time() < give_up, "the end is never reached"
        message = reader.poll(1)
        if message is None:
            continue
        if message.error() is not None:
            assert message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF, message.error()
            break
        records += 1
        table[message.key().decode()] = message.value().decode() if message.value() is not None else None
    reader.close()
    return {key: value for key, value in table.items() if value is not None}, records


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_compacted_topic_keeps_the_newest_of_each_key(new_broker, compression):
    broker = new_broker()
    create(broker, "table", 1, cleanup_policy="compact", segment_bytes=100_000, min_cleanable_dirty_ratio=0.1)
    pairs = [(f"key-{i % 50}", None if i % 50 == 7 and i > 7900 else f"value-{i}-" + os.urandom(25).hex()) for i in range(8000)]
    keyed(broker, "table", pairs, compression)
    expected = {key: value for key, value in dict(pairs).items() if value is not None}
    compacted(broker, "table")
    broker.stop()
    broker.start()  # nothing is in memory any more
    assert table_of(broker, "table")[0] == expected
    wait_until(lambda: table_of(broker, "table")[1] < 4000, 60, "most records to go")  # a slow writer's first pass saw little
    assert table_of(broker, "table")[0] == expected
    if compression == "none":
        for version in ("3.9.1", "4.1.0"):
            at = ["--bootstrap-server", broker.address, "--topic", "table"]
            text = kafka_tool(version, "console-consumer", *at, "--from-beginning", "--timeout-ms", "5000", "--property", "print.key=true", check=False)
            seen = dict(line.split("\t", 1) for line in text.splitlines() if line.startswith("key-"))
            assert {key: value for key, value in seen.items() if value != "null"} == expected
    keyed(broker, "table", [("key-7", "back")])
    assert table_of(broker, "table")[0]["key-7"] == "back"
    rewritten = [r for r in shards(broker, "table") if r["generation"] > 0][0]
    path = glob.glob(os.path.join(broker.folder, "log", "segments", "*", f"{rewritten['base']:020d}.{rewritten['generation']}.log"))[0]
    text = broker.cli("inspect", path, "--records", "5")
    assert f"@{rewritten['base']}.{rewritten['generation']}" in text and "records=" in text


def test_a_record_without_a_key_is_refused_by_a_compacted_topic(new_broker):
    broker = new_broker()
    create(broker, "table", 1, cleanup_policy="compact")
    for compression in ("none", "lz4"):
        errors = []
        producer = confluent_kafka.Producer({"bootstrap.servers": broker.address, "compression.type": compression})
        producer.produce("table", b"keyless" * 20, partition=0, on_delivery=lambda e, m: errors.append(e))
        producer.flush(20)
        assert errors and errors[0] is not None and errors[0].code() == confluent_kafka.KafkaError.INVALID_RECORD, errors
    keyed(broker, "table", [("a", "b")])


def test_committed_offsets_survive_compaction_and_a_restart(new_broker):
    broker = new_broker(**{"offsets.topic.num.partitions": 1, "offsets.topic.segment.bytes": 20_000, "log.cleaner.backoff.ms": 100})
    create(broker, "read", 1)
    produce(broker, "read", [b"x"] * 100, partition=0)
    readers = {group: consumer(broker, group) for group in ("first", "second")}
    for i in range(600):
        for group, reader in readers.items():
            reader.commit(offsets=[confluent_kafka.TopicPartition("read", 0, i % 100)], asynchronous=False)
    for reader in readers.values():
        reader.close()
    compacted(broker, "__consumer_offsets")
    wait_until(lambda: sum(r["size"] for r in shards(broker, "__consumer_offsets")) < 60_000, 60, "the offsets' topic to shrink")
    broker.stop()
    broker.start()
    for group in readers:
        again = consumer(broker, group)
        assert again.committed([confluent_kafka.TopicPartition("read", 0)], 30)[0].offset == 99
        again.close()


@pytest.mark.parametrize("archived", ["true", "false"])
def test_a_topic_that_nobody_writes_to_any_more_keeps_nothing(new_broker, archived):
    broker = new_broker()
    create(broker, "quiet", 1, segment_ms=500, remote_storage_enable=archived)
    produce(broker, "quiet", [b"secret"] * 20, partition=0)

    def holds_records(path):
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as f:
            return b"secret" in f.read()
        return False

    def bytes_left():
        files = [f for top in ("log", "archive") for f in glob.glob(os.path.join(broker.folder, top, "**", "*"), recursive=True)]
        return [f for f in files if re.search(r"\d{20}\.\d+(\.log)?$", f) and holds_records(f)]

    wait_until(bytes_left, 60, "the records to be in a file")
    with contextlib.closing(Wire(broker)) as wire:
        assert 0 == wire.alter_configs(2, "quiet", ("retention.ms", 0, "1000"))
    wait_until(lambda: not bytes_left(), 90, "retention to delete all of it")
    for start in (False, True):
        if start:
            broker.stop()
            broker.start()
        reader = consumer(broker, "late")
        assert reader.get_watermark_offsets(confluent_kafka.TopicPartition("quiet", 0), 30) == (20, 20)
        reader.close()
    produce(broker, "quiet", [b"again"], partition=0)
    assert [m.value() for m in consume(broker, "quiet", 1, seconds=30)] == [b"again"]


def test_small_shards_become_one_in_the_archive(new_broker):
    broker = new_broker(**{"shard.merge.count": 4})
    create(broker, "small", 1, segment_ms=300, local_retention_ms=1, file_delete_delay_ms=1000)
    content = []
    for i in range(24):
        values = [f"{i}-{j}".encode() + os.urandom(500) for j in range(3)]
        produce(broker, "small", values, partition=0)
        content += values
        time.sleep(0.35)
    wait_until(lambda: any(r["generation"] > 0 and r["location"] == "archive" for r in shards(broker, "small")), 60, "a merge")
    assert [m.value() for m in consume(broker, "small", len(content), seconds=30)] == content
    rows = shards(broker, "small")
    assert all(a["end"] == b["base"] for a, b in zip(rows, rows[1:]))
    assert "generation" in broker.cli("shards", "small").splitlines()[0]

    def objects():
        """Of shards: the description of a topic is one too, and stays."""
        return len([f for f in glob.glob(os.path.join(broker.archive, "**", "*"), recursive=True) if re.fullmatch(r"\d{20}\.\d+", os.path.basename(f))])

    wait_until(lambda: objects() <= len([r for r in shards(broker, "small") if r["location"] == "archive"]), 60, "the old objects to go")
    broker.stop()
    broker.start()
    assert [m.value() for m in consume(broker, "small", len(content), seconds=30)] == content


@pytest.mark.parametrize("version", ["3.9.1", "4.1.0"])
def test_kafka_delete_records_with_archived_shards(new_broker, version, tmp_path):
    broker = new_broker()
    create(broker, "old", 1, segment_bytes=1 << 20, local_retention_ms=1)
    content = [f"{i:06d}".encode() + os.urandom(RECORD) for i in range(5000)]
    produce(broker, "old", content, partition=0)
    wait_until(lambda: len(shards(broker, "old")) > 3 and all(r["location"] == "archive" for r in shards(broker, "old")[:-1]), 60, "archiving")
    middle = shards(broker, "old")[2]["base"] + 77
    path = tmp_path / "delete.json"
    path.write_text(json.dumps({"version": 1, "partitions": [{"topic": "old", "partition": 0, "offset": middle}]}))
    at = ["--bootstrap-server", broker.address]
    text = kafka_tool(version, "delete-records", *at, "--offset-json-file", str(path))
    assert f"low_watermark: {middle}" in text, text
    assert f"old:0:{middle}" in kafka_tool(version, "get-offsets", *at, "--topic", "old", "--time", "-2")
    wait_until(lambda: shards(broker, "old")[0]["base"] <= middle < shards(broker, "old")[0]["end"], 30, "whole shards to go")
    wait_until(lambda: not glob.glob(os.path.join(broker.archive, "**", f"{0:020d}.0"), recursive=True), 30, "the object to go")
    for _ in range(2):
        got = consume(broker, "old", len(content) - middle, seconds=30)
        assert got[0].offset() == middle and [m.value() for m in got] == content[middle:]
        broker.stop()
        broker.start()
    path.write_text(json.dumps({"version": 1, "partitions": [{"topic": "old", "partition": 0, "offset": len(content) + 1}]}))
    assert "OffsetOutOfRange" in kafka_tool(version, "delete-records", *at, "--offset-json-file", str(path), check=False)
    path.write_text(json.dumps({"version": 1, "partitions": [{"topic": "old", "partition": 0, "offset": -1}]}))
    assert f"low_watermark: {len(content)}" in kafka_tool(version, "delete-records", *at, "--offset-json-file", str(path))
    assert kcat(broker, "-C", "-t", "old", "-p", "0", "-o", "beginning", "-e", "-q") == ""


def test_idle_partitions_do_not_keep_the_write_ahead_log(new_broker):
    broker = new_broker(**{"wal.file.bytes": 1 << 20, "wal.max.bytes": 8 << 20, "log.checkpoint.bytes": 1 << 20})
    create(broker, "idle", 20)
    create(broker, "busy", 2, retention_bytes=4 << 20, segment_bytes=1 << 20, remote_storage_enable="false")
    for partition in range(20):
        produce(broker, "idle", [b"once"], partition=partition)
    sizes = []
    for i in range(10):
        produce(broker, "busy", [os.urandom(1000) for _ in range(8000)], partition=i % 2)
        produce(broker, "idle", [b"again"], partition=i)
        sizes.append(sum(os.path.getsize(f) for f in glob.glob(os.path.join(broker.folder, "log", "wal", "*"))))
    assert max(sizes) <= 9 << 20, sizes
    broker.kill()
    broker.start()
    assert len(consume(broker, "idle", 30, seconds=30)) == 30


def test_a_write_ahead_log_of_a_newer_release_is_refused_and_kept(new_broker):
    broker = new_broker()
    create(broker, "kept", 1)
    produce(broker, "kept", [b"value"], partition=0)
    broker.kill()
    path = sorted(glob.glob(os.path.join(broker.folder, "log", "wal", "wal-*")))[0]
    with open(path, "r+b") as f:
        f.seek(4)
        f.write(b"\x00\x09")
    with pytest.raises(AssertionError) as refused:
        broker.start()
    assert "version 9" in str(refused.value) and "start the release that wrote it, or a newer one" in str(refused.value)
    assert os.path.exists(path)
    with open(path, "r+b") as f:
        f.seek(4)
        f.write(b"\x00\x01")
    broker.start()
    assert [m.value() for m in consume(broker, "kept", 1)] == [b"value"]
