"""A Kafka client of bare hands: says exactly what a test wants said, and shows exactly what was answered.

Written from the protocol's description alone and sharing nothing with the broker's codec, so that the two check each
other. Requests are one function each, at one version; answers are plain dicts.
"""
import contextlib
import socket
import struct
import time

PRODUCE, FETCH, LIST_OFFSETS, METADATA, OFFSET_COMMIT, OFFSET_FETCH, FIND_COORDINATOR = 0, 1, 2, 3, 8, 9, 10
API_VERSIONS, CREATE_TOPICS, DELETE_TOPICS, DELETE_RECORDS, INIT_PRODUCER_ID, LEADER_EPOCH = 18, 19, 20, 21, 22, 23
DESCRIBE_CONFIGS, CREATE_PARTITIONS, INCREMENTAL_ALTER_CONFIGS = 32, 37, 44

SIZES = {"b": 1, "h": 2, "i": 4, "q": 8, "I": 4}


class Writer:
    def __init__(self, flexible=False):
        self.data, self.flexible = bytearray(), flexible

    def number(self, kind, *values):
        self.data += struct.pack(">" + kind * len(values), *values)
        return self

    def uvarint(self, value):
        while value > 127:
            self.data.append(value & 127 | 128)
            value >>= 7
        self.data.append(value)

    def length(self, count, kind):
        """Of a string, bytes or an array; None is null."""
        if self.flexible:
            self.uvarint(0 if count is None else count + 1)
        else:
            self.number(kind, -1 if count is None else count)

    def string(self, text):
        self.length(None if text is None else len(text.encode()), "h")
        self.data += (text or "").encode()
        return self

    def bytes(self, data):
        self.length(None if data is None else len(data), "i")
        self.data += data or b""
        return self

    def array(self, items, write):
        self.length(None if items is None else len(items), "i")
        for item in items or []:
            write(item)
        return self

    def tags(self):
        if self.flexible:
            self.data.append(0)
        return self


class Reader:
    def __init__(self, data, flexible=False):
        self.data, self.at, self.flexible = data, 0, flexible

    def raw(self, size):
        assert self.at + size <= len(self.data), "the answer ends early"
        self.at += size
        return bytes(self.data[self.at - size : self.at])

    def number(self, kind):
        return struct.unpack(">" + kind, self.raw(SIZES[kind]))[0]

    def uvarint(self):
        value = shift = 0
        while True:
            byte = self.raw(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def length(self, kind):
        return self.uvarint() - 1 if self.flexible else self.number(kind)

    def string(self):
        size = self.length("h")
        return None if size < 0 else self.raw(size).decode()

    def bytes(self):
        size = self.length("i")
        return None if size < 0 else self.raw(size)

    def array(self, read):
        count = self.length("i")
        return None if count < 0 else [read() for _ in range(count)]

    def tags(self):
        if self.flexible:
            for _ in range(self.uvarint()):
                self.uvarint()
                self.raw(self.uvarint())

    def struct(self, **fields):
        """A dict of `fields`: kinds of numbers, methods' names, or functions; then the tags."""
        out = {}
        for name, kind in fields.items():
            if callable(kind):
                out[name] = kind()
            else:
                out[name] = self.number(kind) if kind in SIZES else getattr(self, kind)()
        self.tags()
        return out

    def end(self):
        assert self.at == len(self.data), f"{len(self.data) - self.at} bytes behind the answer"


def crc32c(data, crc=0xFFFFFFFF):
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def zigzag(value):
    out = Writer()
    out.uvarint(value << 1 if value >= 0 else (-value << 1) - 1)
    return bytes(out.data)


def batch(values, timestamps=None, key=b"k", producer=(-1, -1, -1)):
    """One uncompressed record batch of format 2, of now. `producer` is (id, epoch, first sequence)."""
    timestamps = timestamps or [int(time.time() * 1000)] * len(values)
    records = b""
    for i, (value, at) in enumerate(zip(values, timestamps)):
        body = b"\0" + zigzag(at - timestamps[0]) + zigzag(i)
        body += zigzag(-1) if key is None else zigzag(len(key)) + key
        body += zigzag(len(value)) + value + zigzag(0)
        records += zigzag(len(body)) + body
    summed = struct.pack(">hiqqqhii", 0, len(values) - 1, timestamps[0], max(timestamps), *producer, len(values)) + records
    return struct.pack(">qiibI", 0, len(summed) + 9, -1, 2, crc32c(summed)) + summed


def batches_of(records):
    """The headers of the batches in `records`: base offset, last offset, leader epoch, attributes, size."""
    out, at = [], 0
    while at < len(records):
        base, size, epoch, _, _, attributes, last = struct.unpack_from(">qiibIhi", records, at)
        assert at + 12 + size <= len(records), "an answer holds whole batches"
        out.append({"base": base, "last": base + last, "epoch": epoch, "attributes": attributes, "size": size + 12})
        at += 12 + size
    return out


class Wire:
    def __init__(self, broker, client_id="bare-hands"):
        self.socket = socket.create_connection(("127.0.0.1", broker.port), timeout=30)
        self.client_id, self.correlation = client_id, 0

    def send(self, key, version, body, flexible=False):
        self.correlation += 1
        header = Writer().number("h", key, version).number("i", self.correlation).string(self.client_id)
        header.flexible = flexible
        header.tags()
        message = bytes(header.data) + bytes(body)
        self.socket.sendall(struct.pack(">i", len(message)) + message)
        return self.correlation

    def receive_exactly(self, size):
        out = b""
        while len(out) < size:
            got = self.socket.recv(size - len(out))
            if not got:
                raise ConnectionError("closed by the broker")
            out += got
        return out

    def receive(self, correlation, flexible=False, header_tags=None):
        answer = Reader(self.receive_exactly(struct.unpack(">i", self.receive_exactly(4))[0]), flexible)
        assert answer.number("i") == correlation, "answers come in the order of the requests"
        if flexible if header_tags is None else header_tags:
            answer.tags()
        return answer

    def call(self, key, version, body, flexible=False):
        return self.receive(self.send(key, version, body.data, flexible), flexible)

    def close(self):
        self.socket.close()

    # --- requests ------------------------------------------------------------------------------------------------------

    def api_versions(self, version=0):
        flexible = version >= 3
        body = Writer(flexible)
        if flexible:
            body.string("bare-hands").string("1.0").tags()
        # The header stays that of version 0, or nobody could read the answer to a version that is unknown here.
        r = self.receive(self.send(API_VERSIONS, version, body.data, flexible), flexible, header_tags=False)
        error = r.number("h")
        keys = {k["key"]: (k["min"], k["max"]) for k in r.array(lambda: r.struct(key="h", min="h", max="h"))}
        return {"error": error, "keys": keys, "rest": r}

    def metadata(self, *topics, auto_create=False):
        body = Writer(True)
        body.array(topics, lambda t: body.number("q", 0, 0).string(t).tags()).number("b", auto_create, 0).tags()
        r = self.call(METADATA, 12, body, True)
        partition = lambda: r.struct(
            error="h", id="i", leader="i", leader_epoch="i", replicas=lambda: r.array(lambda: r.number("i")),
            in_sync=lambda: r.array(lambda: r.number("i")), offline=lambda: r.array(lambda: r.number("i")))
        topic = lambda: r.struct(
            error="h", name="string", id=lambda: r.raw(16), internal="b", partitions=lambda: r.array(partition), operations="i")
        out = r.struct(
            throttle="i", brokers=lambda: r.array(lambda: r.struct(id="i", host="string", port="i", rack="string")),
            cluster="string", controller="i", topics=lambda: r.array(topic))
        r.end()
        return out

    def create(self, topic, partitions=1, **configs):
        body = Writer()
        config = lambda c: body.string(c[0].replace("_", ".")).string(str(c[1]))
        body.array([topic], lambda t: body.string(t).number("i", partitions).number("h", 1).array([], None).array(list(configs.items()), config))
        r = self.call(CREATE_TOPICS, 4, body.number("i", 10000).number("b", 0))
        r.number("i")
        return r.array(lambda: r.struct(name="string", error="h", text="string"))[0]["error"]

    def delete(self, topic):
        body = Writer()
        r = self.call(DELETE_TOPICS, 3, body.array([topic], body.string).number("i", 10000))
        r.number("i")
        return r.array(lambda: r.struct(name="string", error="h"))[0]["error"]

    def produce(self, topic, records, partition=0, acks=-1):
        body = Writer().string(None).number("h", acks).number("i", 10000)
        body.array([topic], lambda t: body.string(t).array([partition], lambda p: body.number("i", p).bytes(records)))
        r = self.call(PRODUCE, 7, body)
        row = lambda: r.struct(index="i", error="h", base="q", append_time="q", log_start="q")
        out = r.array(lambda: r.struct(name="string", partitions=lambda: r.array(row)))
        r.number("i")
        r.end()
        return out[0]["partitions"][0]

    def fetch_body(self, wanted, *, version=11, session=(0, -1), forgotten=(), max_wait=0, min_bytes=1, max_bytes=50 << 20, part_bytes=1 << 20, epoch=-1):
        """`wanted` and `forgotten`: lists of (topic, partition, offset); topics by id from version 13."""
        body = Writer(version >= 12)
        topic_of = (lambda t: body.data.extend(t)) if version >= 13 else body.string

        def one(item):
            topic, partition, offset = item
            topic_of(topic)

            def row(p):
                body.number("i", p, epoch).number("q", offset)
                if version >= 12:
                    body.number("i", -1)
                body.number("q", -1).number("i", part_bytes).tags()

            body.array([partition], row).tags()

        def gone(item):
            topic_of(item[0])
            body.array([item[1]], lambda p: body.number("i", p)).tags()

        body.number("i", -1, max_wait, min_bytes, max_bytes).number("b", 0).number("i", *session)
        return body.array(wanted, one).array(forgotten, gone).string("").tags()

    def read_fetch(self, correlation, version=11):
        r = self.receive(correlation, version >= 12)
        partition = lambda: r.struct(
            id="i", error="h", high_watermark="q", last_stable="q", log_start="q",
            aborted=lambda: r.array(lambda: r.struct(producer="q", first="q")), preferred="i", records="bytes")
        name = (lambda: r.raw(16)) if version >= 13 else "string"
        topic = lambda: r.struct(topic=name, partitions=lambda: r.array(partition))
        out = r.struct(throttle="i", error="h", session="i", topics=lambda: r.array(topic))
        r.end()
        out["rows"] = [dict(p, topic=t["topic"], records=p["records"] or b"") for t in out["topics"] for p in t["partitions"]]
        return out

    def fetch(self, wanted, version=11, **options):
        body = self.fetch_body(wanted, version=version, **options)
        return self.read_fetch(self.send(FETCH, version, body.data, version >= 12), version)

    def list_offset(self, topic, timestamp, partition=0, version=5):
        body = Writer(version >= 6).number("i", -1).number("b", 0)
        row = lambda p: body.number("i", p, -1).number("q", timestamp).tags()
        body.array([topic], lambda t: body.string(t).array([partition], row).tags()).tags()
        r = self.call(LIST_OFFSETS, version, body, version >= 6)
        r.number("i")
        row = lambda: r.struct(index="i", error="h", timestamp="q", offset="q", leader_epoch="i")
        return r.array(lambda: r.struct(name="string", partitions=lambda: r.array(row)))[0]["partitions"][0]

    def end_of_epoch(self, topic, epoch, current=-1, partition=0):
        body = Writer().number("i", -1)
        body.array([topic], lambda t: body.string(t).array([partition], lambda p: body.number("i", p, current, epoch)))
        r = self.call(LEADER_EPOCH, 3, body)
        r.number("i")
        row = lambda: r.struct(error="h", id="i", epoch="i", end="q")
        return r.array(lambda: r.struct(name="string", partitions=lambda: r.array(row)))[0]["partitions"][0]

    def init_producer(self, transactional_id=None, timeout=60000):
        r = self.call(INIT_PRODUCER_ID, 1, Writer().string(transactional_id).number("i", timeout))
        return r.struct(throttle="i", error="h", id="q", epoch="h")

    def find_coordinators(self, *groups):
        body = Writer(True).number("b", 0)
        r = self.call(FIND_COORDINATOR, 4, body.array(groups, body.string).tags(), True)
        row = lambda: r.struct(key="string", node="i", host="string", port="i", error="h", text="string")
        return r.struct(throttle="i", rows=lambda: r.array(row))["rows"]

    def commit(self, group, topic, offset, metadata=None, partition=0):
        body = Writer().string(group).number("i", -1).string("")
        row = lambda p: body.number("i", p).number("q", offset).number("i", -1).string(metadata)
        r = self.call(OFFSET_COMMIT, 6, body.array([topic], lambda t: body.string(t).array([partition], row)))
        r.number("i")
        return r.array(lambda: r.struct(name="string", partitions=lambda: r.array(lambda: r.struct(index="i", error="h"))))[0]["partitions"][0]["error"]

    def committed(self, group, topic=None, partition=0):
        """All of the group's when `topic` is None."""
        body = Writer().string(group)
        body.array(None if topic is None else [topic], lambda t: body.string(t).array([partition], lambda p: body.number("i", p)))
        r = self.call(OFFSET_FETCH, 5, body)
        row = lambda: r.struct(index="i", offset="q", epoch="i", metadata="string", error="h")
        out = r.struct(throttle="i", topics=lambda: r.array(lambda: r.struct(name="string", partitions=lambda: r.array(row))), error="h")
        out["rows"] = [dict(p, topic=t["name"]) for t in out["topics"] for p in t["partitions"]]
        return out

    def delete_records(self, topic, offset, partition=0):
        body = Writer()
        body.array([topic], lambda t: body.string(t).array([partition], lambda p: body.number("i", p).number("q", offset)))
        r = self.call(DELETE_RECORDS, 1, body.number("i", 10000))
        r.number("i")
        row = lambda: r.struct(index="i", low_watermark="q", error="h")
        return r.array(lambda: r.struct(name="string", partitions=lambda: r.array(row)))[0]["partitions"][0]

    def configs(self, kind, name):
        """{key: (value, source)}; `kind` 2 is a topic, 4 a broker."""
        body = Writer()
        body.array([name], lambda n: body.number("b", kind).string(n).array(None, None)).number("b", 0)
        r = self.call(DESCRIBE_CONFIGS, 1, body)
        r.number("i")
        synonym = lambda: r.struct(name="string", value="string", source="b")
        row = lambda: r.struct(name="string", value="string", read_only="b", source="b", sensitive="b", synonyms=lambda: r.array(synonym))
        out = r.array(lambda: r.struct(error="h", text="string", kind="b", name="string", configs=lambda: r.array(row)))[0]
        assert out["error"] == 0, out
        return {c["name"]: (c["value"], c["source"]) for c in out["configs"]}

    def alter_configs(self, kind, name, *changes):
        """`changes`: (key, operation, value); operations are 0 set, 1 delete, 2 append, 3 subtract."""
        body = Writer()
        change = lambda c: body.string(c[0]).number("b", c[1]).string(c[2])
        body.array([name], lambda n: body.number("b", kind).string(n).array(changes, change)).number("b", 0)
        r = self.call(INCREMENTAL_ALTER_CONFIGS, 0, body)
        r.number("i")
        return r.array(lambda: r.struct(error="h", text="string", kind="b", name="string"))[0]["error"]

    def create_partitions(self, topic, count):
        body = Writer()
        body.array([topic], lambda t: body.string(t).number("i", count).array(None, None)).number("i", 10000).number("b", 0)
        r = self.call(CREATE_PARTITIONS, 1, body)
        r.number("i")
        return r.array(lambda: r.struct(name="string", error="h", text="string"))


@contextlib.contextmanager
def wire(broker):
    connection = Wire(broker)
    try:
        yield connection
    finally:
        connection.close()
