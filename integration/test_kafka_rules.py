"""What Kafka refuses or answers at the edges of its APIs, so that tools that count on it work here too."""
import uuid

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient

from kafka_wire import Wire, batch, wire

NOTHING, INVALID_TOPIC, UNSUPPORTED_VERSION, POLICY_VIOLATION = 0, 17, 35, 44
OFFSETS, ACCESS_LOG = "__consumer_offsets", "__access_log"


@pytest.fixture
def client(shared_broker):
    with wire(shared_broker) as connection:
        yield connection


def new_topic(client, **configs):
    name = f"rule-{uuid.uuid4().hex[:8]}"
    assert client.create(name, **configs) == NOTHING
    return name


def make_offsets_topic(client):
    assert client.find_coordinators("anybody")[0]["error"] == NOTHING


def test_committed_offsets_are_not_deleted_as_records(new_broker):
    broker = new_broker()
    with wire(broker) as client:
        topic = new_topic(client)
        client.produce(topic, batch([b"1"] * 9))
        make_offsets_topic(client)
        assert client.commit("group", topic, 7) == NOTHING
        for partition in range(50):
            answer = client.delete_records(OFFSETS, -1, partition)
            assert answer["error"] == INVALID_TOPIC and answer["low_watermark"] == -1
    broker.stop()
    broker.start()
    with wire(broker) as client:
        assert client.committed("group", topic)["rows"][0]["offset"] == 7


@pytest.mark.parametrize("policy, error", [("compact", POLICY_VIOLATION), ("compact,delete", NOTHING), ("delete", NOTHING)])
def test_records_are_deleted_only_where_the_policy_deletes(client, policy, error):
    topic = new_topic(client, cleanup_policy=policy)
    client.produce(topic, batch([b"1", b"2"]))
    answer = client.delete_records(topic, 1)
    assert (answer["error"], answer["low_watermark"]) == (error, 1 if error == NOTHING else -1)


def test_internal_topics_are_written_by_the_broker_and_admin_tools_alone(shared_broker, client):
    make_offsets_topic(client)
    assert client.produce(OFFSETS, batch([b"garbage"]))["error"] == INVALID_TOPIC
    tool = Wire(shared_broker, client_id="__admin_client")
    assert tool.produce(OFFSETS, batch([b"\0"], key=b"\0\x7f"))["error"] == NOTHING
    tool.close()


def test_the_access_log_is_written_by_the_broker_alone(shared_broker, client):
    assert client.metadata(ACCESS_LOG)["topics"][0]["internal"] == 1
    for name in "somebody", "__admin_client":
        other = Wire(shared_broker, client_id=name)
        assert other.produce(ACCESS_LOG, batch([b"believe me"]))["error"] == INVALID_TOPIC
        other.close()
    refused = []
    producer = confluent_kafka.Producer({"bootstrap.servers": shared_broker.address})
    producer.produce(ACCESS_LOG, b"believe me", on_delivery=lambda error, _: refused.append(error.code()))
    producer.flush(20)
    assert refused == [confluent_kafka.KafkaError.TOPIC_EXCEPTION]
    assert client.delete_records(ACCESS_LOG, -1)["error"] == INVALID_TOPIC


def test_an_unknown_special_time_is_not_supported(client):
    topic = new_topic(client)
    assert client.list_offset(topic, -77)["error"] == UNSUPPORTED_VERSION


def test_each_user_asked_for_is_in_the_answer(shared_broker):
    admin = AdminClient({"bootstrap.servers": shared_broker.address})
    with pytest.raises(confluent_kafka.KafkaException) as refused:
        admin.describe_user_scram_credentials(["nobody"])["nobody"].result(10)
    assert refused.value.args[0].code() == confluent_kafka.KafkaError.RESOURCE_NOT_FOUND
    assert admin.describe_user_scram_credentials().result(10) == {}
