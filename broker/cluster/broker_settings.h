// broker_settings.h: settings of a broker as a whole. Names, units and defaults are Kafka's where Kafka has them.
#pragma once

#include "broker/base/limits.h"
#include "broker/base/settings.h"

#include <string>
#include <vector>

namespace forelog::cluster {

// Who the broker is, and where it is reached.
struct BrokerSettings {
  std::int32_t broker_id = 0;
  std::string rack;
  std::vector<std::string> listeners = {"PLAINTEXT://127.0.0.1:9092"};
  std::vector<std::string> advertised_listeners;
  std::string protocol_map;
  std::vector<std::string> log_dirs = {"/tmp/kafka-logs"};
  std::int32_t reactor_cores = 0;
  std::string zookeeper_connect;
  Duration zookeeper_session_timeout = 18s;
  std::vector<std::string> admin_listeners = {"127.0.0.1:9600"};
  std::string archive_url;
  Duration archive_first_byte_delay = 0ms;
  static constexpr auto fields = [](auto& s, auto&& field) {
    field("broker.id", s.broker_id, Range<std::int32_t>{0, 1000000},
          "This broker's number; no two brokers have the same.");
    field("broker.rack", s.rack, "The zone of this broker; replicas are spread over zones.");
    field("listeners", s.listeners,
          "Where the broker listens: NAME://host:port, with commas between. No host: all addresses.");
    field("advertised.listeners", s.advertised_listeners, "Where clients are told to connect; `listeners` when empty.");
    field("listener.security.protocol.map", s.protocol_map,
          "The security protocol of each listener's name: NAME:PROTOCOL, with commas between. PLAINTEXT is the one "
          "offered.");
    field("log.dirs", s.log_dirs, Synonym{"log.dir"}, "Where the broker keeps its data. One directory.");
    field("reactor.cores", s.reactor_cores, Range<std::int32_t>{0, 256},
          "Threads that serve clients, each with partitions of its own. 0: half of the CPUs, at least one.");
    field("zookeeper.connect", s.zookeeper_connect,
          "ZooKeeper's servers: host:port,host:port/chroot. Empty, as it must be yet: an embedded store.");
    field("zookeeper.session.timeout.ms", s.zookeeper_session_timeout, Range<Duration>{1s, 3600s},
          "How long ZooKeeper waits for this broker before it counts as gone.");
    field("admin.listeners", s.admin_listeners, "HTTP for metrics and health: host:port. Empty: none.");
    field("archive.url", s.archive_url,
          "The archive: file:/absolute/path, or s3://bucket/prefix. Empty: nothing is archived.");
    field("archive.first.byte.delay.ms", s.archive_first_byte_delay, Range<Duration>{0ms, 60s},
          "Delays every answer of the archive, as a distant object store would. For trials.");
  };
};

// What clients may do, and what they get by default.
struct ServiceSettings {
  std::int32_t num_partitions = 1;
  bool auto_create_topics = true;
  bool delete_topics = true;
  std::int16_t default_replication_factor = 1;
  Bytes request_size_max = 100_MiB;
  Bytes fetch_size_max = 55_MiB;
  Bytes request_memory_max = 512_MiB;
  Bytes answer_memory_max = 512_MiB;
  std::int32_t connections_max = 2147483647;
  std::int32_t connections_per_ip_max = 2147483647;
  Duration connections_idle_max = 600s;
  std::int32_t fetch_session_slots = 1000;
  Duration producer_id_expiration = 24h;
  std::int32_t producers_per_partition_max = 100000;
  std::int32_t producers_max = 1000000;
  bool auto_leader_rebalance = true;
  static constexpr auto fields = [](auto& s, auto&& field) {
    field("num.partitions", s.num_partitions, Range<std::int32_t>{1, 100000}, Scope::dynamic,
          "Partitions of a topic created without a number.");
    field("auto.create.topics.enable", s.auto_create_topics, "Whether asking for an unknown topic creates it.");
    field("delete.topic.enable", s.delete_topics, "Whether topics may be deleted.");
    field("default.replication.factor", s.default_replication_factor, Range<std::int16_t>{1, 32767}, Scope::dynamic,
          "Replicas of a partition of a topic created without a number.");
    field("socket.request.max.bytes", s.request_size_max, Range<Bytes>{1, kFrameSizeMax},
          "A request longer than this closes its connection.");
    field("fetch.max.bytes", s.fetch_size_max, Range<Bytes>{1024, 2_GiB - 1}, "Most bytes in the answer to one fetch.");
    field("queued.max.request.bytes", s.request_memory_max, Range<Bytes>{-1, 1_TiB},
          "Memory for requests that arrive or are being appended; each core has its part, connections wait for room. "
          "-1: no bound.");
    field(
        "queued.max.response.bytes", s.answer_memory_max, Range<Bytes>{-1, 1_TiB},
        "Memory for fetched records that clients have not taken yet; each core has its part, fetches wait for room or "
        "get less. -1: no bound.");
    field("max.connections", s.connections_max, Range<std::int32_t>{0, 2147483647}, Scope::dynamic,
          "Connections at once; further ones are closed.");
    field("max.connections.per.ip", s.connections_per_ip_max, Range<std::int32_t>{0, 2147483647}, Scope::dynamic,
          "Connections at once from one address.");
    field("connections.max.idle.ms", s.connections_idle_max, Range<Duration>{1s, Duration::max()},
          "A connection silent for longer is closed.");
    field("max.incremental.fetch.session.cache.slots", s.fetch_session_slots, Range<std::int32_t>{0, 1000000},
          "Incremental fetch sessions kept.");
    field("producer.id.expiration.ms", s.producer_id_expiration, Range<Duration>{1ms, Duration::max()}, Scope::dynamic,
          "An idempotent producer silent for longer is forgotten.");
    field("producers.per.partition.max", s.producers_per_partition_max, Range<std::int32_t>{8, 10000000},
          "Idempotent producers that a partition remembers, about 250 bytes each; beyond, those silent longest are "
          "forgotten, and with them what they sent last. The same on all brokers.");
    field("producers.max", s.producers_max, Range<std::int32_t>{1000, 100000000},
          "Idempotent producers that a broker remembers over all partitions; each core gets its part.");
    field("auto.leader.rebalance.enable", s.auto_leader_rebalance,
          "Whether leadership returns to preferred replicas by itself.");
  };
};

// One listener of `listeners` or `advertised.listeners`.
struct ListenerSpec {
  std::string name;
  std::string protocol;
  std::string host;  // empty: all addresses
  std::int32_t port = 0;
};
// InvalidSetting names the entry that is wrong.
Result<std::vector<ListenerSpec>> parse_listeners(const std::vector<std::string>& entries,
                                                  std::string_view protocol_map);

// Relations between settings, and what this broker cannot do yet, with the reason.
Result<void> validate(const BrokerSettings& broker, const ServiceSettings& service);

}  // namespace forelog::cluster
