"""The cache's disk tier: what was read stays warm over a restart, damage is noticed, a full disk stops nothing."""
import os
import subprocess
import uuid

import pytest

from harness import wait_until
from test_archive import settled
from test_faults import small_disk  # noqa: F401
from test_python_clients import consume

ARCHIVE_BYTES = "forelog_archive_get_bytes_total"
DISK_HITS = 'forelog_cache_hits_total{tier="disk"}'


def with_disk(new_broker, path, **settings):
    return new_broker(**{"cache.disk.path": path, "cache.disk.bytes": 64 << 20, "cache.disk.free.bytes": 0, "prefetch.mode": "off", **settings})


def read_all(broker, topic, content):
    assert [m.value() for m in consume(broker, topic, len(content), seconds=60)] == content


def written(broker):
    return wait_until(lambda: broker.metric("forelog_cache_disk_queued_bytes") == 0 and broker.metric("forelog_cache_disk_blocks"), 20, "blocks on the disk")


def regions(path):
    return sorted(os.path.join(path, name) for name in os.listdir(path) if name != "lock")


@pytest.fixture
def cache_path(tmp_path):
    return str(tmp_path / "cache")


def test_what_was_read_comes_from_the_disk_after_a_restart(new_broker, cache_path):
    broker = with_disk(new_broker, cache_path)
    topic = f"warm-{uuid.uuid4().hex[:6]}"
    content = settled(broker, topic, 6000)
    read_all(broker, topic, content)
    written(broker)
    for stop in (broker.stop, broker.kill):  # a clean stop, and one that leaves the newest region open
        stop()
        broker.start()
        wait_until(lambda: broker.metric("forelog_cache_disk_blocks") > 0, 10, "the index of the disk tier")
        read_all(broker, topic, content)
        assert broker.metric(ARCHIVE_BYTES) == 0, "all of it was on the disk"
        assert broker.metric(DISK_HITS) >= 20
        assert broker.metric('forelog_reads_total{tier="disk"}') > 0
        assert broker.metric('forelog_read_bytes_total{tier="disk"}') > 4 << 20
    text = broker.cli("inspect", regions(cache_path)[0])
    assert "region" in text and "bytes=262144" in text and "index of" in text


def test_the_access_log_names_the_disk(new_broker, cache_path):
    broker = with_disk(new_broker, cache_path)
    topic = f"named-{uuid.uuid4().hex[:6]}"
    content = settled(broker, topic, 3000)
    read_all(broker, topic, content)
    written(broker)
    broker.stop()
    broker.start()
    wait_until(lambda: broker.metric("forelog_cache_disk_blocks") > 0, 10, "the index of the disk tier")
    read_all(broker, topic, content)
    wait_until(lambda: '"disk"' in broker.cli("access-log"), 20, "a read from the disk in the access log")


def test_damaged_files_are_misses(new_broker, cache_path):
    broker = with_disk(new_broker, cache_path)
    topic = f"rot-{uuid.uuid4().hex[:6]}"
    content = settled(broker, topic, 6000)
    read_all(broker, topic, content)
    written(broker)
    broker.stop()
    files = regions(cache_path)
    assert len(files) >= 3
    os.truncate(files[0], os.path.getsize(files[0]) // 2)
    with open(files[1], "r+b") as f:
        for at in range(5_000, os.path.getsize(files[1]), 70_000):
            f.seek(at)
            f.write(b"rot")
    with open(files[2], "wb") as f:
        f.write(b"no region at all")
    broker.start()
    wait_until(lambda: broker.metric("forelog_cache_disk_blocks") > 0, 10, "the index of the disk tier")
    read_all(broker, topic, content)
    assert broker.metric("forelog_cache_disk_corrupt_blocks_total") > 0
    assert 0 < broker.metric(ARCHIVE_BYTES), "what was damaged came from the archive"
    assert broker.metric(DISK_HITS) > 0, "what was not, from the disk"
    log = broker.process.log()
    assert "cache_disk_region_dropped" in log and "cache_disk_block_unreadable" in log


def test_a_full_disk_stops_the_tier_and_nothing_else(new_broker, small_disk):  # noqa: F811
    broker = with_disk(new_broker, str(small_disk / "cache"), **{"cache.disk.bytes": 1 << 30})
    topic = f"full-{uuid.uuid4().hex[:6]}"
    content = settled(broker, topic, 20_000)
    subprocess.run(["dd", "if=/dev/zero", f"of={small_disk}/filler", "bs=1M", "count=44"], check=True, capture_output=True)
    read_all(broker, topic, content)
    assert broker.metric("forelog_cache_disk_dropped_blocks_total") + broker.metric("forelog_cache_disk_removed_regions_total") > 0
    os.remove(small_disk / "filler")
    broker.stop()
    broker.start()
    read_all(broker, topic, content)
    wait_until(lambda: broker.metric("forelog_cache_disk_blocks") > 40, 20, "the tier to fill again")
    used = sum(os.path.getsize(f) for f in regions(small_disk / "cache"))
    assert used < 48 << 20


def test_it_leaves_the_space_that_it_is_told_to(new_broker, small_disk):  # noqa: F811
    broker = with_disk(new_broker, str(small_disk / "cache"), **{"cache.disk.bytes": 1 << 30, "cache.disk.free.bytes": 30 << 20})
    topic = f"free-{uuid.uuid4().hex[:6]}"
    content = settled(broker, topic, 30_000)
    read_all(broker, topic, content)
    written(broker)
    used = sum(os.path.getsize(f) for f in regions(small_disk / "cache"))
    assert 0 < used <= 18 << 20
    assert os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize >= 30 << 20
