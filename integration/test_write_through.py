"""cache.write.through: recent data is warm although its shards have been archived and dropped, without one read of the archive."""
import os
import shutil
import uuid

import confluent_kafka
import pytest

from harness import wait_until
from test_archive import archived_and_dropped, values
from test_disk_tier import ARCHIVE_BYTES, cache_path, read_all, with_disk, written  # noqa: F401
from test_python_clients import admin, create, produce

GETS = "forelog_archive_get_requests_total"


def produced(broker, topic, count, start=0):
    content = values(count, start)
    produce(broker, topic, content, partition=0, **{"linger.ms": 5})
    return content


def dropped(broker, topic):
    wait_until(lambda: archived_and_dropped(broker, topic), 60, f"the shards of {topic} to be archived")


def topic_with(broker, mode):
    topic = f"through-{mode}-{uuid.uuid4().hex[:6]}"
    create(broker, topic, 1, segment_bytes=1 << 20, local_retention_ms=1, **{"cache_write_through": mode})
    return topic


@pytest.mark.parametrize("mode", ["memory", "disk"])
def test_produced_sealed_archived_dropped_and_read_without_one_get(new_broker, cache_path, mode):  # noqa: F811
    broker = with_disk(new_broker, cache_path)
    topic = topic_with(broker, mode)
    content = produced(broker, topic, 8000)
    dropped(broker, topic)
    read_all(broker, topic, content)
    assert broker.metric(GETS) == 0
    assert broker.metric('forelog_read_bytes_total{tier="memory"}') > 6 << 20
    assert broker.metric("forelog_write_through_missed_blocks_total") == 0
    assert broker.metric("forelog_write_through_refilled_blocks_total") == 0, "it was there before the shard was sealed"
    if mode == "disk":
        broker.stop()
        broker.start()
        wait_until(lambda: broker.metric("forelog_cache_disk_blocks") > 0, 10, "the index of the disk tier")
        read_all(broker, topic, content)
        assert broker.metric(GETS) == 0
        assert broker.metric('forelog_read_bytes_total{tier="disk"}') > 6 << 20


def test_without_it_the_archive_is_asked(new_broker, cache_path):  # noqa: F811
    broker = with_disk(new_broker, cache_path)
    topic = topic_with(broker, "none")
    content = produced(broker, topic, 3000)
    dropped(broker, topic)
    read_all(broker, topic, content)
    assert broker.metric(GETS) > 0


def test_a_restart_in_the_middle_of_a_shard_and_a_change_of_the_setting(new_broker, cache_path):  # noqa: F811
    broker = with_disk(new_broker, cache_path)
    topic = topic_with(broker, "none")
    content = produced(broker, topic, 500)
    resource = confluent_kafka.admin.ConfigResource(
        confluent_kafka.admin.ResourceType.TOPIC,
        topic,
        incremental_configs=[confluent_kafka.admin.ConfigEntry("cache.write.through", "disk", incremental_operation=confluent_kafka.admin.AlterConfigOpType.SET)],
    )
    client = admin(broker)
    client.incremental_alter_configs([resource])[resource].result(20)
    content += produced(broker, topic, 100, 500)
    broker.kill()
    broker.start()
    content += produced(broker, topic, 3000, 600)
    dropped(broker, topic)
    assert broker.metric("forelog_write_through_refilled_blocks_total") > 0
    read_all(broker, topic, content)
    assert broker.metric(ARCHIVE_BYTES) == 0


def test_a_disk_that_cannot_take_it_fails_no_produce(new_broker, tmp_path):
    path = tmp_path / "cache"
    path.write_text("a file where a directory should be")
    broker = with_disk(new_broker, str(path))
    topic = topic_with(broker, "disk")
    content = produced(broker, topic, 3000)
    assert broker.metric('forelog_write_through_missed_blocks_total{tier="disk"}') > 0
    dropped(broker, topic)
    read_all(broker, topic, content)
    assert broker.metric(GETS) == 0, "memory holds it"
    assert "cache_disk_writes_paused" in broker.process.log()


def test_the_disk_tier_of_a_life_that_was_lost_gives_nothing_to_the_one_restored(new_broker, cache_path):  # noqa: F811
    # The log's disk is lost, the cache's is not: it has blocks of shards that were sealed and never archived, and the
    # restored topic gives their offsets to other records.
    broker = with_disk(new_broker, cache_path, **{"cache.write.through": "disk"})
    topic = f"relived-{uuid.uuid4().hex[:6]}"
    create(broker, topic, 1, segment_bytes=1 << 20, local_retention_ms=1)
    content = produced(broker, topic, 3000)
    dropped(broker, topic)
    end = max(r["end"] for r in broker.json(f"/api/shards?topic={topic}")["shards"] if r["state"] == "archived")
    os.rename(broker.archive, broker.archive + ".away")
    produced(broker, topic, 3000, 3000)
    wait_until(lambda: broker.metric("forelog_archiver_waiting_shards") >= 2, 20, "shards to be sealed")
    written(broker)
    broker.stop()
    os.rename(broker.archive + ".away", broker.archive)
    shutil.rmtree(broker.settings["log.dirs"])
    broker.cli("archive", "restore", topic, "--config", os.path.join(broker.folder, "server.properties"))
    broker.start(cache_write_through="none")
    more = produced(broker, topic, 3000, 6000)
    dropped(broker, topic)
    broker.stop()
    broker.start()
    wait_until(lambda: broker.metric("forelog_cache_disk_blocks") > 0, 10, "the index of the disk tier")
    read_all(broker, topic, content[:end] + more)
