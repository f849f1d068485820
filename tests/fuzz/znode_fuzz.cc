// What others write into the metadata store: any text as JSON, as each record, and as the whole tree that a broker
// loads.
//
// What is read must be written as text that reads back as the same; what cannot be read is left out, and nothing else
// is.
#include "broker/base/json.h"
#include "broker/base/log.h"
#include "broker/cluster/chain_record.h"
#include "broker/cluster/records.h"
#include "broker/cluster/view_loader.h"
#include "broker/env/simulated/simulated_world.h"
#include "broker/log/catalog.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/run_task.h"

namespace forelog::cluster {
namespace {

using fuzz::Decisions;

template <class T>
void check_record(std::string_view text) {
  auto record = from_json<T>(text);
  if (!record) return;
  auto written = to_json(*record);
  auto again = from_json<T>(written);
  CHECK(again.has_value(), "what we write we must read");
  CHECK(to_json(*again) == written);
}

void check_text(std::string_view text) {
  const fuzz::AllocationMeter meter;
  check_record<BrokerRecord>(text);
  check_record<TopicRecord>(text);
  check_record<PartitionStateRecord>(text);
  check_record<ControllerRecord>(text);
  check_record<ConfigRecord>(text);
  check_record<ConfigNotification>(text);
  check_record<ClusterIdRecord>(text);
  check_record<ProducerIdBlockRecord>(text);
  check_record<FeatureRecord>(text);
  check_record<ChangesRecord>(text);
  check_record<ChainRecord>(text);
  check_record<log::PartitionState>(text);
  check_record<log::ShardDescriptor>(text);
  meter.expect_bounded(text.size());
}

// A record as its owner might write it, with one thing wrong.
std::string draw_record(Decisions& in, int kind) {
  auto number = [&] {
    return in.one_in(3) ? std::to_string(in.any<std::int64_t>()) : std::to_string(in.between(-1, 3));
  };
  std::string out;
  switch (kind) {
    case 0:
      out =
          R"({"features":{},"listener_security_protocol_map":{"PLAINTEXT":"PLAINTEXT"},"endpoints":["PLAINTEXT://h:)" +
          number() + R"("],"jmx_port":)" + number() + R"(,"port":9092,"host":"h","version":)" + number() +
          R"(,"timestamp":")" + number() + "\"}";
      break;
    case 1:
      out = R"({"partitions":{"0":[)" + number() + R"(],")" + number() + R"(":[0,)" + number() +
            R"(]},"topic_id":"bGVhZGVyIGlzIG5vdCBtZQ","adding_replicas":{},"removing_replicas":{},"version":3})";
      break;
    case 2:
      out = R"({"controller_epoch":)" + number() + R"(,"leader":)" + number() + R"(,"version":1,"leader_epoch":)" +
            number() + R"(,"isr":[)" + number() + "]}";
      break;
    default:
      out = R"({"version":1,"config":{"retention.ms":")" + number() + R"(","segment.bytes":")" + number() + "\"}}";
  }
  if (in.one_in(3) && !out.empty()) out[in.between<std::size_t>(0, out.size() - 1)] = static_cast<char>(in.any<char>());
  if (in.one_in(6)) out.resize(in.between<std::size_t>(0, out.size()));
  return out;
}

Task<Result<void>> create(env::MetadataStore& store, std::string path, std::string data) {
  std::vector<env::MetadataOp> ops;
  ops.push_back(env::MetadataOp::create(std::move(path), std::move(data)));
  auto done = co_await store.commit(std::move(ops));
  if (!done) co_return fail(done.error());
  co_return Result<void>{};
}

void check_tree(Decisions& in) {
  set_log_sink([](LogLevel, std::string_view) {});  // what cannot be read is an error line each
  env::SimulatedWorld world(1);
  auto& machine = world.machine();
  auto& store = machine.env().metadata;
  auto put = [&](std::string path, std::string data) {
    static_cast<void>(test::run(world, machine, create(store, std::move(path), std::move(data))));
  };
  for (const char* path : {"/brokers", "/brokers/ids", "/brokers/topics", "/config", "/config/topics"}) put(path, "");
  put("/brokers/ids/1", draw_record(in, 0));
  put("/brokers/ids/" + in.text(4), draw_record(in, 0));
  put("/brokers/topics/t", draw_record(in, 1));
  put("/brokers/topics/t/partitions", "");
  put("/brokers/topics/t/partitions/0", "");
  put("/brokers/topics/t/partitions/0/state", draw_record(in, 2));
  put("/config/topics/t", draw_record(in, 3));
  auto brokers = test::run(world, machine, load_brokers(store));
  CHECK(brokers.has_value(), "one record that cannot be read hides all others");
  auto topic = test::run(world, machine, load_topic(store, machine.env().cores, TopicName("t")));
  CHECK(topic.has_value());
  if (*topic) {
    for (const auto& partition : (*topic)->partitions) static_cast<void>(partition);
  }
  CHECK(test::run(world, machine, load_configs(store, "/config/topics/t")).has_value());
  set_log_sink({});
}

}  // namespace
}  // namespace forelog::cluster

FUZZ_TARGET(znode) {
  using namespace forelog::cluster;  // NOLINT: what this is about
  Decisions in(input);
  auto kind = in.between<int>(0, 3);
  if (kind == 0) {
    auto text = in.rest();
    check_text(text.text());
  } else if (kind == 1) {
    auto text = draw_record(in, in.between(0, 3));
    check_text(text);
  } else {
    check_tree(in);
  }
}
