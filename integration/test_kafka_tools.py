"""Apache Kafka's own command-line tools, unchanged."""
import pytest

from harness import kafka_tool, wait_until

VERSIONS = ["3.9.1", "4.1.0"]


@pytest.fixture(scope="module", params=VERSIONS)
def version(request):
    return request.param


def test_topics(shared_broker, version):
    topic = f"tools-topics-{version}"
    at = ["--bootstrap-server", shared_broker.address]
    kafka_tool(version, "topics", *at, "--create", "--topic", topic, "--partitions", "3", "--config", "retention.ms=3600000")
    assert topic in kafka_tool(version, "topics", *at, "--list").split()
    text = kafka_tool(version, "topics", *at, "--describe", "--topic", topic)
    assert "PartitionCount: 3" in text and "retention.ms=3600000" in text and "Leader: 0" in text
    kafka_tool(version, "topics", *at, "--alter", "--topic", topic, "--partitions", "4")
    assert "PartitionCount: 4" in kafka_tool(version, "topics", *at, "--describe", "--topic", topic)
    kafka_tool(version, "topics", *at, "--delete", "--topic", topic)
    wait_until(lambda: topic not in kafka_tool(version, "topics", *at, "--list").split(), 30, "the topic to go")


def test_configs(shared_broker, version):
    topic = f"tools-configs-{version}"
    at = ["--bootstrap-server", shared_broker.address]
    kafka_tool(version, "topics", *at, "--create", "--topic", topic)
    entity = ["--entity-type", "topics", "--entity-name", topic]
    kafka_tool(version, "configs", *at, *entity, "--alter", "--add-config", "segment.bytes=1048576,local.retention.ms=1000")
    text = kafka_tool(version, "configs", *at, *entity, "--describe")
    assert "segment.bytes=1048576" in text and "local.retention.ms=1000" in text
    kafka_tool(version, "configs", *at, *entity, "--alter", "--delete-config", "segment.bytes")
    assert "segment.bytes" not in kafka_tool(version, "configs", *at, *entity, "--describe")
    assert "segment.bytes=" in kafka_tool(version, "configs", *at, *entity, "--describe", "--all")
    text = kafka_tool(version, "configs", *at, "--entity-type", "brokers", "--entity-name", "0", "--describe", "--all")
    assert "num.partitions=" in text and "prefetch.bytes.per.second=" in text


def test_console_producer_and_consumer_and_groups(shared_broker, version):
    topic, group = f"tools-console-{version}", f"tools-group-{version}"
    at = ["--bootstrap-server", shared_broker.address]
    kafka_tool(version, "console-producer", *at, "--topic", topic, "--compression-codec", "zstd", stdin="one\ntwo\nthree\n")
    got = kafka_tool(
        version, "console-consumer", *at, "--topic", topic, "--group", group, "--from-beginning", "--max-messages", "3", "--timeout-ms", "30000"
    )
    assert got.split() == ["one", "two", "three"]
    assert group in kafka_tool(version, "consumer-groups", *at, "--list").split()
    text = kafka_tool(version, "consumer-groups", *at, "--describe", "--group", group)
    row = next(line.split() for line in text.splitlines() if topic in line)
    assert row[:6] == [group, topic, "0", "3", "3", "0"]
    kafka_tool(version, "consumer-groups", *at, "--group", group, "--topic", topic, "--reset-offsets", "--to-offset", "1", "--execute")
    text = kafka_tool(version, "consumer-groups", *at, "--describe", "--group", group)
    assert next(line.split() for line in text.splitlines() if topic in line)[3] == "1"
    kafka_tool(version, "consumer-groups", *at, "--group", group, "--delete")
    assert group not in kafka_tool(version, "consumer-groups", *at, "--list").split()


def test_get_offsets(shared_broker, version):
    topic = f"tools-offsets-{version}"
    at = ["--bootstrap-server", shared_broker.address]
    kafka_tool(version, "console-producer", *at, "--topic", topic, stdin="".join(f"{i}\n" for i in range(10)))
    for time, offset in (("-1", "10"), ("-2", "0"), ("-3", None), ("-4", "0")):
        text = kafka_tool(version, "get-offsets", *at, "--topic", topic, "--time", time).strip()
        assert text.startswith(f"{topic}:0:")
        if offset is not None:
            assert text == f"{topic}:0:{offset}"
