"""Many connections, and clients that misuse theirs: memory stays bounded, others are served, limits mean what Kafka's mean."""
import contextlib
import resource
import socket
import struct
import time

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from harness import SANITIZED, kcat, wait_until
from kafka_wire import Wire, Writer
from test_hostile import closed, connect, frame, header

API_VERSIONS = frame(header(18, 0))


def memory(broker):
    with open(f"/proc/{broker.process.process.pid}/status", encoding="utf-8") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) * 1024


def open_now(broker):
    return broker.metrics()["forelog_connections"]


def answered(s):
    size = struct.unpack(">i", s.recv(4, socket.MSG_WAITALL))[0]
    return len(s.recv(size, socket.MSG_WAITALL)) == size


def open_many(stack, broker, count):
    return [stack.enter_context(connect(broker)) for _ in range(count)]


def may_open(count):
    """Raises this process's own limit of files; how many connections it may then have, at most `count`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(count, hard - 200)


def test_ten_thousand_idle_connections_and_two_thousand_busy_ones(new_broker):
    broker = new_broker(cache_memory=16 << 20)
    idle_count, busy_count = may_open(12_000) * 5 // 6, may_open(12_000) // 6
    with contextlib.ExitStack() as stack:
        before = memory(broker)
        idle = open_many(stack, broker, idle_count)
        for s in idle[::100]:
            s.sendall(API_VERSIONS)
            assert answered(s)
        wait_until(lambda: open_now(broker) >= idle_count, 30, "all to be accepted")
        each = (memory(broker) - before) / idle_count
        print(f"{idle_count} idle connections: {each / 1024:.1f} KiB each")
        assert SANITIZED or each < 16 << 10
        busy = open_many(stack, broker, busy_count)
        for _ in range(3):
            for s in busy:
                s.sendall(API_VERSIONS)
            for s in busy:
                assert answered(s)
        total = memory(broker) - before
        print(f"and {busy_count} busy ones: {total / 2**20:.0f} MiB in all")
        assert SANITIZED or total < 256 << 20
        assert "broker" in kcat(broker, "-L")
    wait_until(lambda: open_now(broker) < 10, 30, "closed connections to be forgotten")


def test_clients_that_join_and_go_leave_no_more_than_a_member_behind(new_broker):
    """A join waits for the other members, for minutes if need be; that must not keep what belonged to its connection."""
    broker = new_broker(cache_memory=16 << 20)
    wire = Wire(broker)
    wire.find_coordinators("crowd")
    before, count = memory(broker), 5000
    join = Writer().string("crowd").number("i", 300_000).number("i", 2**31 - 1).string("").string("consumer")
    join.number("i", 1).string("range").bytes(b"")
    for _ in range(count):
        client = Wire(broker)
        client.send(11, 3, join.data)  # JoinGroup
        client.close()
    wait_until(lambda: broker.metrics()["forelog_connections"] < 10, 30, "the connections to be forgotten")
    time.sleep(0.5)
    each = (memory(broker) - before) / count
    print(f"{each / 1024:.1f} KiB a client")
    assert SANITIZED or each < 6 << 10


def test_max_connections_makes_the_next_one_wait_and_may_be_raised(new_broker):
    broker = new_broker(max_connections=3)
    with contextlib.ExitStack() as stack:
        first = open_many(stack, broker, 3)
        for s in first:
            s.sendall(API_VERSIONS)
            assert answered(s)
        late = stack.enter_context(connect(broker))
        late.sendall(API_VERSIONS)
        late.settimeout(1)
        with contextlib.suppress(TimeoutError):
            assert late.recv(1) == b"never", "a fourth connection was taken"
        first[0].close()
        late.settimeout(10)
        assert answered(late), "a connection has gone, and the one that waits is not taken"
        assert broker.metric("forelog_connections_waits_total") >= 1


def test_connections_of_one_address_are_limited_and_the_limit_changes_while_running(new_broker):
    broker = new_broker()
    admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
    entry = ConfigEntry("max.connections.per.ip", "6", incremental_operation=AlterConfigOpType.SET)
    resource_ = ConfigResource(ResourceType.BROKER, "0", incremental_configs=[entry])
    admin.incremental_alter_configs([resource_])[resource_].result(20)
    with contextlib.ExitStack() as stack:

        def over_limit():
            s = stack.enter_context(connect(broker))
            s.settimeout(0.3)
            try:
                return s.recv(1) == b""
            except TimeoutError:
                return False

        assert wait_until(lambda: over_limit(), 20, "a connection to be closed at once")
        assert broker.metric("forelog_connections_over_limit_total") >= 1


def test_an_idle_connection_is_closed_after_connections_max_idle_ms(new_broker):
    broker = new_broker(connections_max_idle_ms=1500)
    with connect(broker) as quiet, connect(broker) as half:
        quiet.sendall(API_VERSIONS)
        assert answered(quiet)
        began = time.monotonic()
        half.sendall(b"\0")  # of a length
        assert closed(quiet)
        assert 1.0 < time.monotonic() - began < 6


def test_a_storm_of_bad_requests_is_counted_and_hardly_logged(new_broker):
    broker = new_broker()
    before = len(broker.process.log().splitlines())
    for i in range(600):
        with connect(broker) as s:
            s.sendall(struct.pack(">i", -i - 1))
            assert closed(s)
    assert broker.metric("forelog_requests_refused_total") == 600
    # Ten lines a second and core, however long the storm took on this machine.
    assert len(broker.process.log().splitlines()) - before < 400
    assert "broker" in kcat(broker, "-L")
