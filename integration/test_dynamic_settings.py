"""Settings that change while the broker runs take effect at once, on every core."""
import os

import pytest

from harness import wait_until
from kafka_wire import batch, wire

BROKER = 4  # the kind of resource


@pytest.fixture
def archived(new_broker):
    """A broker with read-ahead, and a topic of two partitions whose history is in the archive."""
    broker = new_broker(prefetch_mode="read-ahead", access_log_enable="false")
    topic, content = "history", batch([os.urandom(100_000)])
    with wire(broker) as client:
        assert client.create(topic, 2, segment_bytes=1 << 20, local_retention_ms=1) == 0
        for partition in range(2):
            for _ in range(60):
                assert client.produce(topic, content, partition, acks=1)["error"] == 0
    rows = lambda: broker.json(f"/api/shards?topic={topic}")["shards"]
    wait_until(lambda: sum(r["location"] == "archive" for r in rows()) >= 8, 60, "the shards to be archived")
    return broker, topic


def read_on(client, topic, partition, batches=30):
    for offset in range(batches):
        row = client.fetch([(topic, partition, offset)], max_wait=10_000, part_bytes=1000)["rows"][0]
        assert row["error"] == 0 and row["records"]


def test_a_prefetch_budget_of_nothing_stops_prefetching_until_it_is_given_back(archived):
    broker, topic = archived
    started = lambda: broker.metric("forelog_prefetch_requests_total")
    with wire(broker) as client:
        change = lambda operation, value: client.alter_configs(BROKER, "0", ("prefetch.bytes.per.second", operation, value))
        assert change(0, "0") == 0
        wait_until(lambda: broker.metric("forelog_prefetch_budget_bytes") <= 0, what="the budget to go")
        before = started()
        read_on(client, topic, 0)
        assert started() == before
        assert change(1, None) == 0
        wait_until(lambda: broker.metric("forelog_prefetch_budget_bytes") > 0, what="the budget to come back")
        read_on(client, topic, 1)
        wait_until(lambda: started() > before, what="a prefetch")


def test_a_value_out_of_range_is_refused_and_changes_nothing(archived):
    broker, _ = archived
    with wire(broker) as client:
        before = client.configs(BROKER, "0")["prefetch.bytes.per.second"]
        assert client.alter_configs(BROKER, "0", ("prefetch.bytes.per.second", 0, "-5")) == 40
        assert client.alter_configs(BROKER, "0", ("prefetch.queue.max.entries", 0, "5")) != 0, "read at start only"
        assert client.configs(BROKER, "0")["prefetch.bytes.per.second"] == before
