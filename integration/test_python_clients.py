"""confluent-kafka (a current librdkafka) and kafka-python, as their users call them."""
import threading
import time
import uuid

import confluent_kafka
import kafka
import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic, AlterConfigOpType, ConfigEntry, ResourceType

from harness import wait_until


def fresh(name):
    return f"{name}-{uuid.uuid4().hex[:8]}"


def admin(broker):
    return AdminClient({"bootstrap.servers": broker.address})


def create(broker, topic, partitions=1, **config):
    settings = {k.replace("_", "."): str(v) for k, v in config.items()}
    client = admin(broker)  # futures of a client that is gone fail
    for future in client.create_topics([NewTopic(topic, partitions, 1, config=settings)]).values():
        future.result(20)
    return topic


def produce(broker, topic, values, partition=-1, **config):
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.address, "enable.idempotence": True, **config})
    errors = []
    for i, value in enumerate(values):
        while True:
            try:
                producer.produce(topic, value, key=str(i), partition=partition, on_delivery=lambda e, m: errors.append(e) if e else None)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(30) == 0
    assert errors == []


def consume(broker, topic, count, group=None, seconds=20, **config):
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": broker.address, "group.id": group or fresh("g"), "auto.offset.reset": "earliest", **config}
    )
    consumer.subscribe([topic])
    got = []
    end = time.monotonic() + seconds
    while len(got) < count and time.monotonic() < end:
        for message in consumer.consume(500, 0.2):
            assert message.error() is None, message.error()
            got.append(message)
    consumer.close()
    return got


def test_admin_creates_describes_grows_and_deletes(shared_broker):
    topic = create(shared_broker, fresh("admin"), 3, retention_ms=3600000)
    client = admin(shared_broker)
    description = client.list_topics(topic, timeout=10).topics[topic]
    assert len(description.partitions) == 3 and all(p.leader == 0 for p in description.partitions.values())
    for future in client.create_partitions([NewPartitions(topic, 5)]).values():
        future.result(20)
    assert len(client.list_topics(topic, timeout=10).topics[topic].partitions) == 5
    for future in client.delete_topics([topic]).values():
        future.result(20)
    wait_until(lambda: topic not in client.list_topics(timeout=10).topics, what="the topic to go")


def test_settings_of_a_topic_are_seen_and_changed(shared_broker):
    topic = create(shared_broker, fresh("settings"), 1, retention_ms=3600000)
    client = admin(shared_broker)
    resource = ConfigResource(ResourceType.TOPIC, topic)
    entries = client.describe_configs([resource])[resource].result(20)
    assert entries["retention.ms"].value == "3600000" and not entries["retention.ms"].is_default
    assert entries["cleanup.policy"].value == "delete" and entries["cleanup.policy"].is_default
    change = ConfigResource(
        ResourceType.TOPIC,
        topic,
        incremental_configs=[
            ConfigEntry("segment.bytes", "1048576", incremental_operation=AlterConfigOpType.SET),
            ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE),
        ],
    )
    client.incremental_alter_configs([change])[change].result(20)
    entries = client.describe_configs([resource])[resource].result(20)
    assert entries["segment.bytes"].value == "1048576"
    assert entries["retention.ms"].value == "604800000"
    wrong = ConfigResource(
        ResourceType.TOPIC, topic, incremental_configs=[ConfigEntry("segment.bytes", "-5", incremental_operation=AlterConfigOpType.SET)]
    )
    with pytest.raises(confluent_kafka.KafkaException) as refused:
        client.incremental_alter_configs([wrong])[wrong].result(20)
    assert "segment.bytes" in str(refused.value)


def test_unknown_setting_is_refused_by_name(shared_broker):
    with pytest.raises(confluent_kafka.KafkaException) as refused:
        create(shared_broker, fresh("wrong"), 1, no_such_setting=1)
    assert "no.such.setting" in str(refused.value)


def test_many_partitions_all_records_once_and_in_order(shared_broker):
    topic = create(shared_broker, fresh("many"), 8)
    produce(shared_broker, topic, [str(i).encode() for i in range(20000)], **{"compression.type": "zstd"})
    got = consume(shared_broker, topic, 20000)
    assert sorted(int(m.value()) for m in got) == list(range(20000))
    for partition in range(8):
        offsets = [m.offset() for m in got if m.partition() == partition]
        assert offsets == list(range(len(offsets)))


def test_offsets_for_times(shared_broker):
    topic = create(shared_broker, fresh("times"), 1)
    producer = confluent_kafka.Producer({"bootstrap.servers": shared_broker.address})
    base = int(time.time() * 1000) - 3600_000
    for i in range(100):
        producer.produce(topic, str(i), timestamp=base + i * 1000)
    producer.flush(20)
    consumer = confluent_kafka.Consumer({"bootstrap.servers": shared_broker.address, "group.id": fresh("g")})
    ask = lambda ms: consumer.offsets_for_times([confluent_kafka.TopicPartition(topic, 0, ms)], 10)[0].offset  # noqa: E731
    assert ask(base) == 0
    assert ask(base + 41_500) == 42
    assert ask(base + 42_000) == 42
    assert ask(base + 99_001) == -1
    consumer.close()


def test_group_rebalances_when_members_come_and_go(shared_broker):
    topic = create(shared_broker, fresh("rebalance"), 6)
    group = fresh("group")
    config = {"bootstrap.servers": shared_broker.address, "group.id": group, "session.timeout.ms": 6000}
    first, second = confluent_kafka.Consumer(config), confluent_kafka.Consumer(config)
    first.subscribe([topic])
    wait_until(lambda: (first.poll(0.05), len(first.assignment()) == 6)[1], what="all partitions at the first member")
    second.subscribe([topic])

    def halves():
        first.poll(0.05)
        second.poll(0.05)
        return len(first.assignment()) == 3 and len(second.assignment()) == 3

    wait_until(halves, what="three partitions each")
    second.close()
    wait_until(lambda: (first.poll(0.05), len(first.assignment()) == 6)[1], what="all partitions back")
    first.close()


def test_cooperative_group(shared_broker):
    topic = create(shared_broker, fresh("cooperative"), 4)
    config = {
        "bootstrap.servers": shared_broker.address,
        "group.id": fresh("group"),
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": 6000,
    }
    first, second = confluent_kafka.Consumer(config), confluent_kafka.Consumer(config)
    first.subscribe([topic])
    wait_until(lambda: (first.poll(0.05), len(first.assignment()) == 4)[1], what="all partitions at the first member")
    second.subscribe([topic])
    wait_until(lambda: (first.poll(0.05), second.poll(0.05), len(first.assignment()) == 2 == len(second.assignment()))[2], what="two each")
    first.close()
    second.close()


def test_commits_survive_a_restart(new_broker):
    broker = new_broker()
    topic = create(broker, fresh("commits"), 1)
    produce(broker, topic, [str(i).encode() for i in range(100)])
    group = fresh("group")
    config = {"bootstrap.servers": broker.address, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = confluent_kafka.Consumer(config)
    consumer.subscribe([topic])
    got = []
    wait_until(lambda: (got.extend(consumer.consume(40 - len(got), 0.2)), len(got) >= 40)[1], what="forty records")
    consumer.commit(offsets=[confluent_kafka.TopicPartition(topic, 0, 40, metadata="note to self")], asynchronous=False)
    consumer.close()
    broker.stop()
    broker.start()
    again = consume(broker, topic, 60, group=group)
    assert [int(m.value()) for m in again] == list(range(40, 100))


def test_kafka_python_round_trip(shared_broker):
    topic = fresh("kafka-python")
    producer = kafka.KafkaProducer(bootstrap_servers=shared_broker.address, compression_type="gzip", acks="all")
    futures = [producer.send(topic, str(i).encode(), key=b"k", headers=[("h", b"v")]) for i in range(500)]
    offsets = [future.get(20).offset for future in futures]
    assert offsets == list(range(500))
    producer.close()
    consumer = kafka.KafkaConsumer(
        topic, bootstrap_servers=shared_broker.address, group_id=fresh("g"), auto_offset_reset="earliest", consumer_timeout_ms=15000
    )
    got = []
    for record in consumer:
        got.append(record)
        if len(got) == 500:
            break
    consumer.commit()
    consumer.close()
    assert [int(r.value) for r in got] == list(range(500))
    assert got[0].headers == [("h", b"v")]


def test_kafka_python_seeks(shared_broker):
    topic = create(shared_broker, fresh("seek"), 1)
    produce(shared_broker, topic, [str(i).encode() for i in range(1000)], partition=0)
    consumer = kafka.KafkaConsumer(bootstrap_servers=shared_broker.address, consumer_timeout_ms=10000)
    partition = kafka.TopicPartition(topic, 0)
    consumer.assign([partition])
    for position in (700, 3, 999, 500):
        consumer.seek(partition, position)
        record = next(consumer)
        assert (record.offset, record.value) == (position, str(position).encode())
    assert consumer.beginning_offsets([partition]) == {partition: 0}
    assert consumer.end_offsets([partition]) == {partition: 1000}
    consumer.close()


def test_a_waiting_consumer_gets_a_record_at_once(shared_broker):
    topic = create(shared_broker, fresh("tail"), 1)
    produce(shared_broker, topic, [b"first"], partition=0)
    seen = []
    done = threading.Event()

    def read():
        for message in consume(shared_broker, topic, 2, **{"fetch.wait.max.ms": 10000}):
            seen.append(message.value())
        done.set()

    thread = threading.Thread(target=read)
    thread.start()
    time.sleep(1.5)
    produce(shared_broker, topic, [b"second"], partition=0)
    # Far below the long poll of ten seconds: the fetch was woken, not timed out.
    assert done.wait(7)
    thread.join()
    assert seen == [b"first", b"second"]
