"""kcat (librdkafka of Debian) as it is: produce with every codec, read by offset and by time, groups."""
import pytest

from harness import kcat


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_codec_comes_back_unchanged(shared_broker, codec):
    topic = f"codec-{codec}"
    lines = [f"{i}-" + "payload " * 20 for i in range(500)]
    kcat(shared_broker, "-t", topic, "-P", "-z", codec, stdin="\n".join(lines) + "\n")
    got = kcat(shared_broker, "-t", topic, "-C", "-o", "beginning", "-e", "-q")
    # num.partitions is 1, so order is kept.
    assert got.splitlines() == lines


def test_codecs_are_really_used(shared_broker):
    """librdkafka before 2.11.1 sends uncompressed when Produce 0 is not advertised (KAFKA-18659)."""
    before = shared_broker.metric("forelog_log_appended_bytes_total")
    kcat(shared_broker, "-t", "squeezed", "-P", "-z", "lz4", stdin="a" * 90000 + "\n")
    assert 0 < shared_broker.metric("forelog_log_appended_bytes_total") - before < 20000


def test_keys_headers_and_tombstones(shared_broker):
    kcat(shared_broker, "-t", "keyed", "-P", "-K", ":", "-H", "h1=v1", stdin="k1:v1\nk2:v2\n")
    kcat(shared_broker, "-t", "keyed", "-P", "-K", ":", "-Z", stdin="k1:\n")
    got = kcat(shared_broker, "-t", "keyed", "-C", "-o", "beginning", "-e", "-q", "-f", "%o %k %S %h\n")
    assert got.splitlines() == ["0 k1 2 h1=v1", "1 k2 2 h1=v1", "2 k1 -1 "]


def test_offsets(shared_broker):
    kcat(shared_broker, "-t", "numbers", "-P", stdin="".join(f"{i}\n" for i in range(100)))
    assert kcat(shared_broker, "-t", "numbers", "-C", "-o", "95", "-e", "-q").split() == ["95", "96", "97", "98", "99"]
    assert kcat(shared_broker, "-t", "numbers", "-C", "-o", "-2", "-e", "-q").split() == ["98", "99"]
    assert kcat(shared_broker, "-Q", "-t", "numbers:0:-1").split()[-1] == "100"
    assert kcat(shared_broker, "-Q", "-t", "numbers:0:-2").split()[-1] == "0"


def test_idempotent_producer(shared_broker):
    kcat(shared_broker, "-t", "idempotent", "-P", "-X", "enable.idempotence=true", stdin="".join(f"{i}\n" for i in range(2000)))
    got = kcat(shared_broker, "-t", "idempotent", "-C", "-o", "beginning", "-e", "-q").split()
    assert got == [str(i) for i in range(2000)]


def test_balanced_consumer_resumes_where_its_group_stopped(shared_broker):
    kcat(shared_broker, "-t", "grouped", "-P", stdin="".join(f"{i}\n" for i in range(50)))
    options = ["-X", "auto.offset.reset=earliest", "-q"]
    first = kcat(shared_broker, "-G", "readers", *options, "-c", "20", "grouped").split()
    assert first == [str(i) for i in range(20)]
    rest = kcat(shared_broker, "-G", "readers", *options, "-c", "30", "grouped").split()
    assert rest == [str(i) for i in range(20, 50)]


def test_metadata_lists_broker_and_topics(shared_broker):
    kcat(shared_broker, "-t", "listed", "-P", stdin="x\n")
    text = kcat(shared_broker, "-L", "-t", "listed")
    assert f"broker 0 at {shared_broker.address} (controller)" in text
    assert 'topic "listed" with 1 partitions' in text
