"""Where other brokers fell: a test for each trap that real clients have found, named after its number in our list of them.

Each says on the wire itself what the clients of that story said.
"""
import os
import time
import uuid

import pytest

from harness import kcat, wait_until
from kafka_wire import batch, batches_of, wire

NOTHING, OUT_OF_RANGE, CORRUPT, UNKNOWN_TOPIC, TOO_LARGE, OUT_OF_ORDER = 0, 1, 2, 3, 10, 45
FENCED_EPOCH, UNKNOWN_EPOCH, INVALID_RECORD, UNKNOWN_TOPIC_ID = 74, 75, 87, 100


@pytest.fixture
def client(shared_broker):
    with wire(shared_broker) as connection:
        yield connection


@pytest.fixture
def topic(client):
    return new_topic(client)


def new_topic(client, partitions=1, **configs):
    name = f"trap-{uuid.uuid4().hex[:8]}"
    assert client.create(name, partitions, **configs) == NOTHING
    return name


def fill(client, topic, batches=1, records=3, partition=0):
    for _ in range(batches):
        answer = client.produce(topic, batch([b"value"] * records), partition)
        assert answer["error"] == NOTHING
    return answer["base"] + records


# --- versions ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [5, 77, 32767])
def test_trap_01_an_unknown_version_of_api_versions_is_answered_in_version_zero(client, version):
    r = client.receive(client.send(18, version, b"\x01\x02\x03", flexible=True), flexible=False)
    assert r.number("h") == 35
    keys = {k["key"]: (k["min"], k["max"]) for k in r.array(lambda: r.struct(key="h", min="h", max="h"))}
    r.end()
    low, high = keys[18]
    assert low == 0 and high < version
    assert client.api_versions(high)["error"] == NOTHING, "the connection lives on, and the range is true"


def test_trap_01_the_answer_has_the_old_header_even_when_flexible(client):
    assert client.api_versions(3)["keys"] == client.api_versions(0)["keys"]


def test_trap_02_produce_is_advertised_from_zero_so_that_old_clients_compress(shared_broker, client, topic):
    assert client.api_versions()["keys"][0][0] == 0
    for codec, name in ((1, "gzip"), (2, "snappy"), (3, "lz4")):
        kcat(shared_broker, "-t", topic, "-P", "-z", name, stdin="x" * 5000 + "\n")
        rows = client.fetch([(topic, 0, 0)])["rows"]
        assert batches_of(rows[0]["records"])[-1]["attributes"] & 7 == codec


def test_trap_03_what_is_advertised_is_done(client, topic):
    keys = client.api_versions()["keys"]
    assert keys[1][1] >= 13 and keys[10][1] >= 4
    fill(client, topic)
    assert client.fetch([(topic, 0, 0)], session=(0, 0))["session"] > 0, "sessions are advertised"
    rows = client.find_coordinators("one", "two")
    assert [r["key"] for r in rows] == ["one", "two"] and all(r["error"] in (0, 15) for r in rows)


def test_trap_04_no_version_hangs_on_a_feature_that_is_not_there(client):
    answer = client.api_versions(3)
    r = answer["rest"]
    features = {r.uvarint(): r.raw(r.uvarint()) for _ in range(r.uvarint())}
    assert 2 not in features or features[2] == b"\x01", "no feature is finalized"
    assert answer["keys"][0][1] < 12, "Produce 12 needs transaction.version=2"
    assert answer["keys"].get(26, (0, 0))[1] < 5, "EndTxn 5 too"


def test_trap_05_an_unknown_key_closes_the_connection_and_is_counted(shared_broker):
    before = shared_broker.metric("forelog_requests_refused_total")
    with wire(shared_broker) as client:
        assert 9999 not in client.api_versions()["keys"]
        with pytest.raises(ConnectionError):
            client.receive(client.send(9999, 0, b""))
    assert shared_broker.metric("forelog_requests_refused_total") == before + 1


def test_trap_06_topic_ids_come_with_the_versions_that_need_them(client, topic):
    keys = client.api_versions()["keys"]
    assert keys[3][1] >= 12, "Metadata with ids, as Fetch 13 is served"
    assert client.metadata(topic)["topics"][0]["id"] != bytes(16)


# --- fetching ------------------------------------------------------------------------------------------------------------


def test_trap_07_a_topic_made_again_has_another_id_and_the_old_one_is_unknown(client, topic):
    fill(client, topic)
    old = client.metadata(topic)["topics"][0]["id"]
    assert client.fetch([(old, 0, 0)], version=13)["rows"][0]["error"] == NOTHING
    assert client.delete(topic) == NOTHING
    wait_until(lambda: client.create(topic) == NOTHING, what="the name to be free")
    new = client.metadata(topic)["topics"][0]["id"]
    assert new not in (old, bytes(16))
    assert client.fetch([(old, 0, 0)], version=13)["rows"][0]["error"] == UNKNOWN_TOPIC_ID
    assert client.fetch([(new, 0, 0)], version=13)["rows"][0]["high_watermark"] == 0
    assert client.fetch([(bytes(16), 0, 0)], version=13)["rows"][0]["error"] == UNKNOWN_TOPIC_ID


def test_trap_08_a_session_seeks_forgets_and_says_nothing_twice(shared_broker, client):
    topic = new_topic(client, partitions=2)
    end = fill(client, topic, 2), fill(client, topic, 2, partition=1)
    first = client.fetch([(topic, 0, 0), (topic, 1, 0)], session=(0, 0))
    session = first["session"]
    assert [len(batches_of(r["records"])) for r in first["rows"]] == [2, 2]
    # What was read is asked from where it ended; then there is no news, and nothing is listed.
    assert client.fetch([(topic, 0, end[0]), (topic, 1, end[1])], session=(session, 1))["rows"] == []
    assert client.fetch([], session=(session, 2))["rows"] == []
    # A seek back brings the same bytes again.
    again = client.fetch([(topic, 0, 0)], session=(session, 3))["rows"]
    assert [(r["id"], r["records"]) for r in again] == [(0, first["rows"][0]["records"])]
    # A forgotten partition stays silent, whatever comes.
    assert client.fetch([], session=(session, 4), forgotten=[(topic, 0, None)])["rows"] == []
    fill(client, topic)
    fill(client, topic, partition=1)
    assert [r["id"] for r in client.fetch([], session=(session, 5))["rows"]] == [1]
    # A wrong epoch and an unknown session are told at the top; a new full fetch heals both.
    assert client.fetch([], session=(session, 77))["error"] == 71
    assert client.fetch([], session=(session + 12345, 1))["error"] == 70
    assert client.fetch([(topic, 0, 0)], session=(session, 0))["session"] not in (0, session)
    with wire(shared_broker) as elsewhere:
        assert elsewhere.fetch([], session=(session, 6))["error"] in (70, 71)


def test_trap_08_clients_that_never_reuse_their_sessions_shut_nobody_out(client, topic):
    fill(client, topic)
    for _ in range(1200):  # more than there are slots
        answer = client.fetch([(topic, 0, 0)], session=(0, 0))
        assert answer["error"] == NOTHING and answer["rows"][0]["records"]


def test_trap_09_an_offset_inside_a_batch_brings_the_whole_batch(client, topic):
    fill(client, topic, batches=2, records=10)
    for offset in (10, 14, 19):
        got = batches_of(client.fetch([(topic, 0, offset)])["rows"][0]["records"])
        assert [(b["base"], b["last"]) for b in got] == [(10, 19)]


def test_trap_09_a_batch_larger_than_every_limit_still_comes_whole(client, topic):
    assert client.produce(topic, batch([os.urandom(20000)]))["error"] == NOTHING
    rows = client.fetch([(topic, 0, 0)], max_bytes=10, part_bytes=10)["rows"]
    assert len(batches_of(rows[0]["records"])) == 1


def test_trap_10_every_fetch_is_answered_in_turn(client, topic):
    end = fill(client, topic)
    asked = [(topic, 0, 0), (topic, 0, end), (topic, 0, end + 5), (topic, 7, 0), ("no-such-topic", 0, 0), (topic, 0, -5)]
    sent = [client.send(1, 11, client.fetch_body([asked[i % 6]], max_wait=i % 3 * 20, min_bytes=i % 2 * 1000).data) for i in range(240)]
    for i, correlation in enumerate(sent):
        assert client.read_fetch(correlation)["rows"][0]["error"] == [NOTHING, NOTHING, OUT_OF_RANGE, UNKNOWN_TOPIC, UNKNOWN_TOPIC, OUT_OF_RANGE][i % 6]


def test_trap_11_a_fetch_at_the_end_waits_but_not_past_its_time(client, topic):
    end = fill(client, topic)
    began = time.monotonic()
    assert client.fetch([(topic, 0, end)], max_wait=400)["rows"][0]["records"] == b""
    assert time.monotonic() - began >= 0.35


def test_trap_11_a_waiting_fetch_is_woken_by_what_it_waits_for(shared_broker, client, topic):
    end = fill(client, topic)
    began = time.monotonic()
    waiting = client.send(1, 11, client.fetch_body([(topic, 0, end)], max_wait=25000).data)
    with wire(shared_broker) as producer:
        fill(producer, topic)
    assert client.read_fetch(waiting)["rows"][0]["records"]
    assert time.monotonic() - began < 20


def test_trap_11_min_bytes_is_waited_for(shared_broker, client, topic):
    end = fill(client, topic)
    waiting = client.send(1, 11, client.fetch_body([(topic, 0, end)], max_wait=25000, min_bytes=2000).data)
    with wire(shared_broker) as producer:
        for _ in range(2):
            assert producer.produce(topic, batch([b"x" * 1500]))["error"] == NOTHING
    assert len(batches_of(client.read_fetch(waiting)["rows"][0]["records"])) == 2


@pytest.fixture(scope="module")
def cold(tmp_path_factory):
    """A broker with a topic of eight partitions, of which all but the newest lies in the archive, and a small cache."""
    from harness import broker

    with broker(tmp_path_factory.mktemp("cold"), cache_memory=8 << 20, access_log_enable="false", prefetch_mode="off") as instance:
        with wire(instance) as client:
            topic = new_topic(client, 8, segment_bytes=1 << 20, local_retention_ms=1)
            content = batch([os.urandom(50000)])
            for partition in range(8):
                for _ in range(45):
                    assert client.produce(topic, content, partition, acks=1)["error"] == NOTHING
        rows = lambda: instance.json(f"/api/shards?topic={topic}")["shards"]
        wait_until(lambda: sum(r["location"] == "archive" for r in rows()) >= 16, 60, "the shards to be archived")
        yield instance, topic, len(content)


def test_trap_12_cold_partitions_share_one_limit(cold):
    broker, topic, size = cold
    with wire(broker) as client:
        wanted = [(topic, p, 0) for p in range(8)]
        for _ in range(5):
            answer = client.fetch(wanted, max_wait=2000, min_bytes=1, max_bytes=4 * size, part_bytes=1 << 20)
            assert all(r["error"] == NOTHING for r in answer["rows"])
            assert 0 < sum(len(r["records"]) for r in answer["rows"]) <= 4 * size


def test_trap_12_cold_and_warm_partitions_share_it_too(cold):
    broker, topic, size = cold
    with wire(broker) as client:
        wanted = [(topic, p, 0 if p % 2 else 44) for p in range(8)]
        for _ in range(3):
            answer = client.fetch(wanted, max_wait=2000, min_bytes=2 * size, max_bytes=3 * size)
            assert 0 < sum(len(r["records"]) for r in answer["rows"]) <= 3 * size


def test_trap_12_at_least_one_batch_comes_from_one_cold_partition_only(cold):
    broker, topic, size = cold
    with wire(broker) as client:
        answer = client.fetch([(topic, p, 3) for p in range(8)], max_wait=5000, max_bytes=100, part_bytes=100)
        assert sorted(len(r["records"]) for r in answer["rows"]) == [0] * 7 + [size]


# --- offsets and epochs --------------------------------------------------------------------------------------------------


def test_trap_18_the_first_record_not_before_the_time_is_found(client):
    topic = new_topic(client, retention_ms=-1)
    assert client.produce(topic, batch([b"a", b"b", b"c"], [100, 200, 300]))["error"] == NOTHING
    assert client.produce(topic, batch([b"d", b"e"], [400, 500]))["error"] == NOTHING
    for at, offset, timestamp in ((0, 0, 100), (100, 0, 100), (101, 1, 200), (300, 2, 300), (301, 3, 400), (450, 4, 500), (500, 4, 500)):
        found = client.list_offset(topic, at)
        assert (found["error"], found["offset"], found["timestamp"]) == (NOTHING, offset, timestamp)
    none = client.list_offset(topic, 501)
    assert (none["error"], none["offset"], none["timestamp"]) == (NOTHING, -1, -1)


def test_trap_18_time_need_not_grow_with_the_offset(client):
    topic = new_topic(client, retention_ms=-1)
    client.produce(topic, batch([b"a", b"b", b"c"], [500, 100, 900]))
    client.produce(topic, batch([b"d"], [700]))
    assert client.list_offset(topic, 200)["offset"] == 0
    assert client.list_offset(topic, 600)["offset"] == 2
    latest = client.list_offset(topic, -3, version=7)
    assert (latest["offset"], latest["timestamp"]) == (2, 900)


def test_trap_20_the_leader_epoch_stands_in_every_answer_and_is_checked(client, topic):
    end = fill(client, topic)
    epoch = client.metadata(topic)["topics"][0]["partitions"][0]["leader_epoch"]
    assert epoch >= 0
    row = client.fetch([(topic, 0, 0)])["rows"][0]
    assert {b["epoch"] for b in batches_of(row["records"])} == {epoch}
    assert client.list_offset(topic, -1)["leader_epoch"] == epoch
    assert client.list_offset(topic, 0)["leader_epoch"] == epoch
    assert client.fetch([(topic, 0, 0)], epoch=epoch)["rows"][0]["error"] == NOTHING
    assert client.fetch([(topic, 0, 0)], epoch=epoch + 1)["rows"][0]["error"] == UNKNOWN_EPOCH
    if epoch > 0:
        assert client.fetch([(topic, 0, 0)], epoch=epoch - 1)["rows"][0]["error"] == FENCED_EPOCH
    answer = client.end_of_epoch(topic, epoch)
    assert (answer["error"], answer["epoch"], answer["end"]) == (NOTHING, epoch, end)
    assert client.end_of_epoch(topic, epoch, current=epoch + 1)["error"] == UNKNOWN_EPOCH


def test_trap_20_the_epoch_never_falls_over_restarts_and_old_ones_keep_their_end(new_broker):
    broker = new_broker()
    with wire(broker) as client:
        topic = new_topic(client)
        end = fill(client, topic)
        before = client.metadata(topic)["topics"][0]["partitions"][0]["leader_epoch"]
    for stop in (broker.stop, broker.kill):
        stop()
        broker.start()
        with wire(broker) as client:
            wait_until(lambda: client.metadata(topic)["topics"][0]["partitions"][0]["leader"] >= 0, what="a leader")
            after = client.metadata(topic)["topics"][0]["partitions"][0]["leader_epoch"]
            assert after >= before
            assert client.end_of_epoch(topic, before)["end"] == end
            new_end = fill(client, topic)
            assert client.list_offset(topic, -1)["offset"] == new_end
            answer = client.end_of_epoch(topic, after)
            assert (answer["epoch"], answer["end"]) == (after, new_end)
            before, end = after, new_end


# --- producers -----------------------------------------------------------------------------------------------------------


def test_trap_21_what_is_known_of_a_producer_outlives_stops_and_kills(new_broker):
    broker = new_broker()
    with wire(broker) as client:
        topic = new_topic(client)
        producer = client.init_producer()["id"]
        bases = [client.produce(topic, batch([b"v"] * 2, producer=(producer, 0, 2 * i)))["base"] for i in range(6)]
    for i, stop in enumerate((broker.stop, broker.kill)):
        stop()
        broker.start()
        with wire(broker) as client:
            wait_until(lambda: client.metadata(topic)["topics"][0]["partitions"][0]["leader"] >= 0, what="a leader")
            for sequence in (10 + 2 * i, 8 + 2 * i):  # the newest, and one before it
                again = client.produce(topic, batch([b"v"] * 2, producer=(producer, 0, sequence)))
                assert (again["error"], again["base"]) == (NOTHING, bases[sequence // 2])
            assert client.produce(topic, batch([b"v"], producer=(producer, 0, 99)))["error"] == OUT_OF_ORDER
            fresh = client.produce(topic, batch([b"v"] * 2, producer=(producer, 0, 12 + 2 * i)))
            assert (fresh["error"], fresh["base"]) == (NOTHING, bases[-1] + 2)
            bases.append(fresh["base"])


def test_trap_21_a_producer_whose_state_is_gone_goes_on(client, topic):
    producer = client.init_producer()["id"]
    unknown = client.produce(topic, batch([b"v"], producer=(producer, 0, 1000)))
    assert unknown["error"] == NOTHING, "nothing is known of it: retention may have taken that"
    assert client.produce(topic, batch([b"v"], producer=(producer, 0, 1001)))["error"] == NOTHING
    assert client.produce(topic, batch([b"v"], producer=(producer, 0, 1003)))["error"] == OUT_OF_ORDER


def test_trap_22_batches_that_may_not_be_are_refused_by_their_own_codes(client):
    small = new_topic(client, max_message_bytes=1000)
    assert client.produce(small, batch([b"x" * 2000]))["error"] == TOO_LARGE
    assert client.produce(small, batch([b"x" * 500]))["error"] == NOTHING
    compacted = new_topic(client, cleanup_policy="compact")
    assert client.produce(compacted, batch([b"v"], key=None))["error"] == INVALID_RECORD
    assert client.produce(compacted, batch([b"v"]))["base"] == 0
    damaged = bytearray(batch([b"v"]))
    damaged[-1] ^= 1
    assert client.produce(small, bytes(damaged))["error"] == CORRUPT


# --- groups and administration -------------------------------------------------------------------------------------------


def test_trap_24_no_committed_offset_is_minus_one_without_an_error(client, topic):
    client.find_coordinators("nobody")
    answer = wait_until(lambda: (a := client.committed("nobody", topic))["error"] == NOTHING and a, what="the coordinator")
    assert [(r["offset"], r["error"]) for r in answer["rows"]] == [(-1, NOTHING)]
    assert client.committed("nobody")["rows"] == []


def test_trap_24_a_coordinator_that_is_not_ready_says_so_instead_of_nothing(new_broker):
    broker = new_broker()
    with wire(broker) as client:
        topic = new_topic(client)
        client.find_coordinators("group")
        wait_until(lambda: client.commit("group", topic, 42) == NOTHING, what="the coordinator")
    for stop in (broker.stop, broker.kill):
        stop()
        broker.start()
        with wire(broker) as client:
            # An answer without an error must have the offset, from the first moment on.
            while (answer := client.committed("group", topic))["error"] != NOTHING:
                assert answer["error"] in (14, 15, 16)
            assert answer["rows"][0]["offset"] == 42


def test_trap_24_offsets_of_a_deleted_topic_are_not_those_of_its_successor(client, topic):
    group = f"group-{uuid.uuid4().hex[:6]}"
    client.find_coordinators(group)
    wait_until(lambda: client.commit(group, topic, 7) == NOTHING, what="the coordinator")
    assert client.committed(group, topic)["rows"][0]["offset"] == 7
    assert client.delete(topic) == NOTHING
    wait_until(lambda: client.committed(group)["rows"] == [], what="the offsets to go")
    wait_until(lambda: client.create(topic) == NOTHING, what="the name to be free")
    assert client.committed(group, topic)["rows"][0]["offset"] == -1


def test_trap_26_metadata_makes_topics_only_when_allowed(client):
    name = f"auto-{uuid.uuid4().hex[:8]}"
    assert client.metadata(name)["topics"][0]["error"] == UNKNOWN_TOPIC
    time.sleep(0.2)
    assert client.metadata(name)["topics"][0]["error"] == UNKNOWN_TOPIC
    assert client.metadata(name, auto_create=True)["topics"][0]["error"] in (0, 3, 5)
    wait_until(lambda: client.metadata(name)["topics"][0]["error"] == NOTHING, what="the topic")
    assert client.metadata("not a name", auto_create=True)["topics"][0]["error"] == 17


def test_trap_26_every_default_is_described(client, topic):
    topic_configs = client.configs(2, topic)
    for key in ("retention.ms", "segment.bytes", "cleanup.policy", "max.message.bytes", "min.insync.replicas", "compression.type",
                "message.timestamp.type", "local.retention.ms", "prefetch.mode"):
        assert topic_configs[key][0] is not None and topic_configs[key][1] in (4, 5), key
    assert "log.retention.ms" in client.configs(4, "0") or "log.retention.hours" in client.configs(4, "0")


def test_trap_26_create_partitions_echoes_its_topics(client, topic):
    assert [(r["name"], r["error"]) for r in client.create_partitions(topic, 3)] == [(topic, NOTHING)]
    assert [(r["name"], r["error"]) for r in client.create_partitions(topic, 2)] == [(topic, 37)]
    assert [(r["name"], r["error"]) for r in client.create_partitions("no-such-topic", 2)] == [("no-such-topic", UNKNOWN_TOPIC)]
    wait_until(lambda: len(client.metadata(topic)["topics"][0]["partitions"]) == 3, what="the partitions")


@pytest.mark.parametrize("metadata", ["", "free text", "ünï ☃"])
def test_trap_26_commit_metadata_comes_back_as_it_was(client, topic, metadata):
    group = f"group-{uuid.uuid4().hex[:6]}"
    client.find_coordinators(group)
    wait_until(lambda: client.commit(group, topic, 5, metadata) == NOTHING, what="the coordinator")
    row = client.committed(group, topic)["rows"][0]
    assert (row["offset"], row["metadata"]) == (5, metadata)


def test_trap_26_lists_are_appended_to_and_subtracted_from(client):
    topic = new_topic(client, remote_storage_enable="false")  # what is compacted cannot be archived
    policy = lambda: client.configs(2, topic)["cleanup.policy"]
    assert client.alter_configs(2, topic, ("cleanup.policy", 2, "compact")) == NOTHING
    wait_until(lambda: policy()[0] == "delete,compact", what="the appended policy")
    assert client.alter_configs(2, topic, ("cleanup.policy", 3, "delete")) == NOTHING
    wait_until(lambda: policy()[0] == "compact", what="the rest of the policy")
    assert client.alter_configs(2, topic, ("retention.ms", 2, "5")) != NOTHING, "not a list"
    assert client.alter_configs(2, topic, ("cleanup.policy", 1, None)) == NOTHING
    wait_until(lambda: policy() == ("delete", 5), what="the default")
    assert client.metadata(topic)["topics"][0]["error"] == NOTHING, "later requests are served"
