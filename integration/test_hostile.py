"""Bytes that are not Kafka's protocol, or nearly: a closed connection and a counter, and everybody else goes on."""
import os
import random
import socket
import struct
import time

import pytest

from harness import SANITIZED, kcat, wait_until
from test_archive import settled
from test_python_clients import consume, create, produce


def connect(broker):
    s = socket.create_connection(("127.0.0.1", broker.port), timeout=10)
    s.settimeout(10)
    return s


def frame(body):
    return struct.pack(">i", len(body)) + body


def header(key, version, correlation=1, client=b"hostile"):
    return struct.pack(">hhih", key, version, correlation, len(client)) + client


def closed(s):
    try:
        while True:
            if s.recv(65536) == b"":
                return True
    except ConnectionError:
        return True


def answer_size(s):
    """Reads one answer."""
    size, got = struct.unpack(">i", s.recv(4))[0], 0
    while got < size:
        more = len(s.recv(min(1 << 20, size - got)))
        assert more > 0, "the answer ends early"
        got += more
    return size


CASES = {
    "negative length": struct.pack(">i", -1),
    "huge length": struct.pack(">i", 0x7FFFFFFF) + b"x" * 100,
    "zero length": struct.pack(">i", 0),
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "unknown key": frame(header(999, 0)),
    "unsupported version": frame(header(1, 99)),
    "old produce": frame(header(0, 0) + b"\0" * 20),
    "empty fetch body": frame(header(1, 4)),
    "lying array": frame(header(3, 1) + struct.pack(">i", 0x7FFFFFF0)),
    "negative array": frame(header(3, 1) + struct.pack(">i", -77)),
    "client id runs over": frame(struct.pack(">hhih", 3, 1, 1, 30000) + b"short"),
}


@pytest.mark.parametrize("name", CASES)
def test_is_closed_and_counted(shared_broker, name):
    before = shared_broker.metric("forelog_requests_refused_total")
    with connect(shared_broker) as s:
        s.sendall(CASES[name])
        assert closed(s)
    assert shared_broker.metric("forelog_requests_refused_total") == before + 1
    assert "broker" in kcat(shared_broker, "-L")


def test_bytes_after_a_request_are_ignored_as_kafka_does(shared_broker):
    """librdkafka 2.16 leaves three behind an all-topics Metadata of a flexible version."""
    with connect(shared_broker) as s:
        s.sendall(frame(header(3, 1) + struct.pack(">i", 0) + b"surplus"))
        assert len(s.recv(4)) == 4


def test_unsupported_api_versions_is_answered_in_version_zero(shared_broker):
    with connect(shared_broker) as s:
        s.sendall(frame(header(18, 77, correlation=42) + b"\x01\x02\x03"))
        size = struct.unpack(">i", s.recv(4))[0]
        body = b""
        while len(body) < size:
            body += s.recv(size - len(body))
        correlation, error, count = struct.unpack(">ihi", body[:10])
        assert (correlation, error) == (42, 35)
        keys = [struct.unpack(">hhh", body[10 + 6 * i : 16 + 6 * i]) for i in range(count)]
        assert any(key == 18 and low == 0 for key, low, high in keys)


def test_wrong_checksum_is_refused_and_nothing_is_appended(shared_broker):
    kcat(shared_broker, "-t", "checked", "-P", stdin="good\n")
    batch = bytearray(61 + 9)
    struct.pack_into(">qiibI", batch, 0, 0, len(batch) - 12, 0, 2, 0xDEADBEEF)
    struct.pack_into(">hiqqqhii", batch, 21, 0, 0, 1000, 1000, -1, -1, -1, 1)
    batch[61:] = bytes([16, 0, 0, 0, 1, 2, 65, 0, 0])[: len(batch) - 61]
    topic = b"checked"
    body = header(0, 3) + struct.pack(">hhii", -1, -1, 5000, 1) + struct.pack(">h", len(topic)) + topic
    body += struct.pack(">iii", 1, 0, len(batch)) + bytes(batch)
    with connect(shared_broker) as s:
        s.sendall(frame(body))
        size = struct.unpack(">i", s.recv(4))[0]
        answer = b""
        while len(answer) < size:
            answer += s.recv(size - len(answer))
        # correlation, topics, name, partitions, index, error
        assert struct.unpack(">h", answer[4 + 4 + 2 + len(topic) + 4 + 4 :][:2])[0] == 2  # CORRUPT_MESSAGE
    assert kcat(shared_broker, "-t", "checked", "-C", "-o", "beginning", "-e", "-q").split() == ["good"]


def test_random_bytes(shared_broker):
    rng = random.Random(7)
    for _ in range(200):
        body = header(rng.choice([0, 1, 2, 3, 8, 9, 10, 11, 12, 14, 18, 19, 22, 32, 44]), rng.randint(0, 9)) + rng.randbytes(rng.randint(0, 200))
        with connect(shared_broker) as s:
            s.sendall(frame(body))
            s.settimeout(0.02)
            try:
                s.recv(65536)
            except (TimeoutError, ConnectionError):
                pass
    assert shared_broker.process.running()
    assert "broker" in kcat(shared_broker, "-L")


def memory(broker, kind="VmRSS"):
    with open(f"/proc/{broker.process.process.pid}/status", encoding="utf-8") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(kind)) * 1024


def fetch(topic, offset=0, size=50 << 20, max_wait=0):
    topic = topic.encode()
    body = header(1, 4) + struct.pack(">iiiibi", -1, max_wait, 1, size, 0, 1)
    return frame(body + struct.pack(">h", len(topic)) + topic + struct.pack(">iiqi", 1, 0, offset, size))


def test_slow_readers_of_huge_answers_share_bounded_memory_and_others_go_on(new_broker):
    bound = 48 << 20
    settings = {"queued.max.response.bytes": bound, "queued.max.request.bytes": 32 << 20, "cache.memory": 32 << 20}
    broker = new_broker(**settings)
    content = settled(broker, "cold", 40_000)
    create(broker, "warm", 1)
    produce(broker, "warm", content, partition=0, **{"linger.ms": 5})
    before = memory(broker)
    sockets = []
    try:
        for i in range(300):
            s = connect(broker)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            # Each asks for all there is, several times, and never reads: 24 GB, were there no bound.
            s.sendall(fetch("cold", offset=i * 100, max_wait=500) + fetch("warm", offset=i * 100))
            sockets.append(s)
        # Others read all of both topics meanwhile, and produce.
        began = time.monotonic()
        produce(broker, "warm", [b"others go on"], partition=0)
        took = time.monotonic() - began
        assert took < 15, f"a produce took {took:.1f} s"
        assert [m.value() for m in consume(broker, "warm", len(content), seconds=60)] == content
        assert [m.value() for m in consume(broker, "cold", len(content), seconds=60)] == content
        assert broker.metric("forelog_request_memory_bytes") <= bound + (32 << 20)
        wait_until(lambda: broker.metric("forelog_request_memory_bytes") < bound, 60, "memory to come back")
        grown = memory(broker, "VmHWM") - before
        print(f"at most {grown >> 20} MiB more than before; {broker.metric('forelog_connections_slow_total'):.0f} slow ones closed")
        # The bound, the cache, which was not full, and what the allocator keeps.
        assert SANITIZED or grown < bound + (32 << 20) + (64 << 20)
    finally:
        for s in sockets:
            s.close()


def test_many_half_requests_share_bounded_memory_and_others_produce_on(new_broker):
    bound = 64 << 20
    broker = new_broker(**{"queued.max.request.bytes": bound, "message.max.bytes": 2 << 20})
    create(broker, "busy", 1)
    before = memory(broker)
    sockets = []
    try:
        for _ in range(100):
            s = connect(broker)
            s.setblocking(False)
            # Announces 90 MiB and sends as much of it as is taken at once: 9 GB in all, were there no bound.
            with pytest.raises(BlockingIOError):
                s.sendall(struct.pack(">i", 90 << 20) + b"h" * (16 << 20))
            sockets.append(s)
        content = [os.urandom(1 << 20) for _ in range(20)]
        produce(broker, "busy", content, partition=0, **{"message.max.bytes": 2 << 20})
        assert [m.value() for m in consume(broker, "busy", len(content), seconds=60)] == content
        # One that is larger than all there is passes alone, and memory grows with what has come.
        grown = memory(broker, "VmHWM") - before
        print(f"at most {grown >> 20} MiB more than before; {broker.metric('forelog_connections_slow_total'):.0f} slow ones closed")
        assert SANITIZED or grown < bound + (160 << 20)
        # The others may have found room beside them; these wait for each other's, and the slowest go for that.
        wait_until(lambda: broker.metric("forelog_connections_slow_total") > 0, 60, "a slow client to make way")
        wait_until(lambda: broker.metric("forelog_requests_refused_total") > 0, 10, "it to be counted")
    finally:
        for s in sockets:
            s.close()


MANY = {
    "Metadata": (3, 1, lambda n: struct.pack(">i", n) + b"\0\1a" * n),
    "DescribeGroups": (15, 0, lambda n: struct.pack(">i", n) + b"\0\1g" * n),
    "Fetch": (1, 4, lambda n: struct.pack(">iiiibihci", -1, 60_000, 1, 1 << 20, 0, 1, 1, b"a", n) + bytes(16) * n),
    "DeleteTopics": (20, 1, lambda n: struct.pack(">i", n) + b"\0\1a" * n + struct.pack(">i", 1000)),
}


@pytest.mark.parametrize("name", MANY)
def test_a_request_that_names_very_much_is_refused_before_it_costs_much(new_broker, name):
    broker = new_broker(auto_create_topics_enable="false")
    key, version, body = MANY[name]
    before = memory(broker)
    with connect(broker) as s:  # as much as may be
        s.settimeout(60)
        s.sendall(frame(header(key, version) + body(190_000)))
        assert answer_size(s) > 190_000
    with connect(broker) as s:  # and far more
        s.sendall(frame(header(key, version) + body(1_500_000)))
        assert closed(s)
    grown = memory(broker, "VmHWM") - before
    print(f"{name}: at most {grown >> 20} MiB more than before")
    assert SANITIZED or grown < 384 << 20
    assert broker.metric("forelog_requests_refused_total") == 1
    assert "broker" in kcat(broker, "-L")


def test_half_requests_and_clients_that_never_read_cost_bounded_memory(shared_broker):
    kcat(shared_broker, "-t", "big", "-P", "-X", "message.max.bytes=2000000", stdin="\n".join("x" * 500000 for _ in range(20)) + "\n")

    before = memory(shared_broker)
    sockets = []
    for _ in range(40):
        s = connect(shared_broker)
        s.sendall(struct.pack(">i", 90 << 20) + b"h" * 1000)  # announces 90 MiB, sends 1 KB
        sockets.append(s)
        s = connect(shared_broker)
        for _ in range(20):
            s.sendall(fetch("big"))  # and never reads an answer
        sockets.append(s)
    assert "big" in kcat(shared_broker, "-L")
    # 40 half requests of 90 MiB and 40 × 20 answers of 10 MB would be gigabytes.
    assert SANITIZED or memory(shared_broker) - before < 600 << 20
    for s in sockets:
        s.close()
    assert os.path.exists(f"/proc/{shared_broker.process.process.pid}")
