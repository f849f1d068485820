"""Bytes that are not Kafka's protocol, or nearly: a closed connection and a counter, and everybody else goes on."""
import os
import random
import socket
import struct

import pytest

from harness import kcat


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


def test_half_requests_and_clients_that_never_read_cost_bounded_memory(shared_broker):
    kcat(shared_broker, "-t", "big", "-P", "-X", "message.max.bytes=2000000", stdin="\n".join("x" * 500000 for _ in range(20)) + "\n")

    def memory():
        with open(f"/proc/{shared_broker.process.process.pid}/status", encoding="utf-8") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) * 1024

    before = memory()
    sockets = []
    topic = b"big"
    fetch = header(1, 4) + struct.pack(">iiiibi", -1, 0, 1, 50 << 20, 0, 1)
    fetch += struct.pack(">h", len(topic)) + topic + struct.pack(">iiqi", 1, 0, 0, 50 << 20)
    for _ in range(40):
        s = connect(shared_broker)
        s.sendall(struct.pack(">i", 90 << 20) + b"h" * 1000)  # announces 90 MiB, sends 1 KB
        sockets.append(s)
        s = connect(shared_broker)
        for _ in range(20):
            s.sendall(frame(fetch))  # and never reads an answer
        sockets.append(s)
    assert "big" in kcat(shared_broker, "-L")
    # 40 half requests of 90 MiB and 40 × 20 answers of 10 MB would be gigabytes.
    assert memory() - before < 600 << 20
    for s in sockets:
        s.close()
    assert os.path.exists(f"/proc/{shared_broker.process.process.pid}")
