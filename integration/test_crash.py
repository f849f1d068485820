"""kill -9 under load: every acknowledged record is there once, in order, unchanged."""
import hashlib
import random
import threading
import time
import uuid

import confluent_kafka

from harness import kcat
from test_python_clients import consume, create


def test_acknowledged_records_survive_kills_under_load(new_broker):
    broker = new_broker(log_segment_bytes=4 << 20)
    topic = create(broker, f"crash-{uuid.uuid4().hex[:6]}", 3)
    acknowledged = {p: {} for p in range(3)}  # partition → offset → digest
    lock = threading.Lock()
    stop = threading.Event()

    def delivered(error, message):
        if error is None:
            with lock:
                assert message.offset() not in acknowledged[message.partition()]
                acknowledged[message.partition()][message.offset()] = hashlib.sha1(message.value()).digest()

    def load(seed):
        rng = random.Random(seed)
        producer = confluent_kafka.Producer(
            {"bootstrap.servers": broker.address, "enable.idempotence": True, "linger.ms": 2, "message.timeout.ms": 60000, "log_level": 0}
        )
        i = 0
        while not stop.is_set():
            try:
                producer.produce(topic, f"{seed}-{i}-".encode() + rng.randbytes(rng.randint(1, 3000)), on_delivery=delivered)
                i += 1
            except BufferError:
                pass
            producer.poll(0.0005)
        producer.flush(60)

    threads = [threading.Thread(target=load, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        time.sleep(random.uniform(0.3, 1.2))
        broker.kill()
        broker.start()
    time.sleep(1)
    stop.set()
    for thread in threads:
        thread.join()

    counts = {p: len(a) for p, a in acknowledged.items()}
    assert sum(counts.values()) > 1000
    got = consume(broker, topic, sum(counts.values()), seconds=60)
    seen = {p: {} for p in range(3)}
    values = set()
    for message in got:
        assert message.offset() not in seen[message.partition()]
        seen[message.partition()][message.offset()] = hashlib.sha1(message.value()).digest()
        assert message.value() not in values, "an idempotent producer's record is there twice"
        values.add(message.value())
    for partition, records in acknowledged.items():
        for offset, digest in records.items():
            assert seen[partition].get(offset) == digest, (partition, offset)
        assert sorted(seen[partition]) == list(range(len(seen[partition])))


def test_a_second_start_finds_everything_without_help(new_broker):
    broker = new_broker()
    kcat(broker, "-t", "kept", "-P", stdin="one\ntwo\n")
    broker.kill()
    broker.start()
    kcat(broker, "-t", "kept", "-P", stdin="three\n")
    broker.stop()
    broker.start()
    assert kcat(broker, "-t", "kept", "-C", "-o", "beginning", "-e", "-q").split() == ["one", "two", "three"]
