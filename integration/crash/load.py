"""Real clients that write, read and commit all the while, and remember what they were told."""
import hashlib
import threading
import time

import confluent_kafka
import kafka


def digest(value):
    return hashlib.blake2b(value, digest_size=8).digest()


class Told:
    """What the broker has said to anybody. Offsets are those of (topic, partition)."""

    def __init__(self):
        self.lock = threading.Lock()
        self.acknowledged = {}  # (topic, partition) → {offset: (digest, timestamp)}
        self.seen = {}  # (topic, partition) → {offset: digest}, by consumers
        self.highest = {}  # (topic, partition) → the highest offset in either
        self.committed = {}  # (group, topic, partition) → (last acknowledged, highest asked for)
        self.problems = []

    def acknowledge(self, where, offset, value, timestamp):
        with self.lock:
            records = self.acknowledged.setdefault(where, {})
            if offset in records:
                self.problems.append(f"offset {offset} of {where} was acknowledged twice")
            records[offset] = (digest(value), timestamp)
            self.highest[where] = max(self.highest.get(where, -1), offset)

    def see(self, where, offset, value):
        with self.lock:
            before = self.seen.setdefault(where, {}).setdefault(offset, digest(value))
            if before != digest(value):
                self.problems.append(f"a reader saw two records at offset {offset} of {where}")
            self.highest[where] = max(self.highest.get(where, -1), offset)

    def ask_commit(self, key, offset):
        with self.lock:
            acknowledged, asked = self.committed.get(key, (-1, -1))
            self.committed[key] = (acknowledged, max(asked, offset))

    def acknowledge_commit(self, key, offset):
        with self.lock:
            acknowledged, asked = self.committed.get(key, (-1, -1))
            self.committed[key] = (max(acknowledged, offset), asked)

    def problem(self, text):
        with self.lock:
            self.problems.append(text)

    def count(self):
        with self.lock:
            return sum(len(records) for records in self.acknowledged.values())


class Worker(threading.Thread):
    def __init__(self, told, address):
        super().__init__(daemon=True)
        self.told, self.address, self.stopping, self.turns = told, address, threading.Event(), 0
        self.blocked = False  # in a call that ends only when the broker answers: it has not been told anything
        self.start()

    def run(self):
        try:
            self.work()
        except Exception as e:  # pylint: disable=broad-except
            self.told.problem(f"{type(self).__name__} ended: {e!r}")

    def pause(self, seconds):
        self.turns += 1
        self.stopping.wait(seconds)


class Producer(Worker):
    """librdkafka with idempotence: each value once, those of one partition in the order of their numbers."""

    def __init__(self, told, address, topic, partitions, number, rng, rate):
        self.topic, self.partitions, self.number, self.rng, self.rate = topic, partitions, number, rng, rate
        super().__init__(told, address)

    def work(self):
        client = confluent_kafka.Producer(
            {
                "bootstrap.servers": self.address,
                "enable.idempotence": True,
                "linger.ms": self.rng.choice([0, 2, 10]),
                "compression.type": self.rng.choice(["none", "lz4", "zstd", "snappy"]),
                # When a record times out librdkafka begins a new epoch, and may then double others of its batch.
                "message.timeout.ms": 900000,
                "reconnect.backoff.ms": 10,
                "reconnect.backoff.max.ms": 100,
                "retry.backoff.ms": 10,
                "log_level": 0,
            }
        )
        count = [0] * self.partitions

        def delivered(error, message):
            if error is None:
                self.told.acknowledge((self.topic, message.partition()), message.offset(), message.value(), message.timestamp()[1])
            elif not self.stopping.is_set():
                self.told.problem(f"producer {self.number}: {error}")

        while not self.stopping.is_set():
            for _ in range(self.rate):
                partition = self.rng.randrange(self.partitions)
                value = f"{self.number}/{partition}/{count[partition]}/".encode() + self.rng.randbytes(self.rng.choice([10, 200, 2000]))
                stamp = 1_700_000_000_000 + self.rng.randrange(10**9)
                try:
                    client.produce(self.topic, value, partition=partition, timestamp=stamp, on_delivery=delivered)
                    count[partition] += 1
                except BufferError:
                    break
            client.poll(0)
            self.pause(0.01)
        if client.flush(60) != 0:
            self.told.problem(f"producer {self.number} could not deliver its last records within a minute")


class KafkaPythonProducer(Worker):
    """kafka-python with acks=all. Its retries may double a record, so only what was acknowledged is looked for."""

    def __init__(self, told, address, topic, partitions, rng):
        self.topic, self.partitions, self.rng = topic, partitions, rng
        super().__init__(told, address)

    def connect(self):
        while not self.stopping.is_set():
            try:
                return kafka.KafkaProducer(
                    bootstrap_servers=self.address, acks="all", retries=10**6, delivery_timeout_ms=900000, enable_idempotence=True,
                    reconnect_backoff_ms=10, reconnect_backoff_max_ms=100, retry_backoff_ms=10
                )
            except kafka.errors.KafkaError:
                self.pause(0.05)
        return None

    def work(self):
        client = self.connect()
        if client is None:
            return
        count = 0
        while not self.stopping.is_set():
            for _ in range(5):
                partition = self.rng.randrange(self.partitions)
                value = f"py/{partition}/{count}/".encode() + self.rng.randbytes(100)
                count += 1
                where = (self.topic, partition)
                self.blocked = True
                sent = client.send(self.topic, value, partition=partition, timestamp_ms=1_700_000_000_000 + count)
                self.blocked = False
                sent.add_callback(lambda m, w=where, v=value: self.told.acknowledge(w, m.offset, v, m.timestamp))
                sent.add_errback(lambda e: None if self.stopping.is_set() else self.told.problem(f"kafka-python: {e!r}"))
            self.pause(0.01)
        client.flush(60)
        client.close(10)


class GroupMember(Worker):
    """Reads in a group and commits what it has read, again and again."""

    def __init__(self, told, address, topic, group):
        self.topic, self.group = topic, group
        super().__init__(told, address)

    def work(self):
        client = confluent_kafka.Consumer(
            {
                "bootstrap.servers": self.address,
                "group.id": self.group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "session.timeout.ms": 6000,
                "heartbeat.interval.ms": 300,
                "reconnect.backoff.ms": 10,
                "reconnect.backoff.max.ms": 100,
                "fetch.wait.max.ms": 50,
                "log_level": 0,
            }
        )
        client.subscribe([self.topic])
        committed_at = 0
        while not self.stopping.is_set():
            self.turns += 1
            positions = {}
            for message in client.consume(500, 0.02):
                if message.error() is not None:
                    if message.error().code() in (confluent_kafka.KafkaError._PARTITION_EOF, confluent_kafka.KafkaError._ALL_BROKERS_DOWN):
                        continue
                    if not message.error().retriable() and message.error().code() == confluent_kafka.KafkaError.OFFSET_OUT_OF_RANGE:
                        self.told.problem(f"a reader was told: {message.error()}")
                    continue
                self.told.see((message.topic(), message.partition()), message.offset(), message.value())
                positions[message.partition()] = message.offset() + 1
            if not positions or time.monotonic() - committed_at < 0.03:
                continue
            committed_at = time.monotonic()
            offsets = [confluent_kafka.TopicPartition(self.topic, p, o) for p, o in positions.items()]
            for one in offsets:
                self.told.ask_commit((self.group, self.topic, one.partition), one.offset)
            self.blocked = True
            try:
                done = client.commit(offsets=offsets, asynchronous=False)
            except confluent_kafka.KafkaException:
                continue  # nobody there, or the group has moved on: not acknowledged
            finally:
                self.blocked = False
            for one in done or []:
                if one.error is None:
                    self.told.acknowledge_commit((self.group, self.topic, one.partition), one.offset)
        client.close()
