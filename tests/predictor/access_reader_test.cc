#include "predictor/access_reader.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

namespace forelog::predictor {
namespace {

// librdkafka's own imitation of a cluster, with an access log of one partition.
class AccessLogOfTenRecords {
 public:
  AccessLogOfTenRecords() {
    auto* conf = rd_kafka_conf_new();
    char error[512];
    rd_kafka_conf_set(conf, "test.mock.num.brokers", "1", error, sizeof error);
    rd_kafka_conf_set(conf, "linger.ms", "200", error, sizeof error);  // one batch of them all
    client_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    cluster_ = rd_kafka_handle_mock_cluster(client_);
    rd_kafka_mock_topic_create(cluster_, "__access_log", 1, 1);
    for (int i = 0; i < 10; ++i) {
      auto value = std::to_string(i);
      rd_kafka_producev(client_, RD_KAFKA_V_TOPIC("__access_log"), RD_KAFKA_V_PARTITION(0),
                        RD_KAFKA_V_VALUE(value.data(), value.size()), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                        RD_KAFKA_V_END);
    }
    rd_kafka_flush(client_, 20'000);
  }
  ~AccessLogOfTenRecords() { rd_kafka_destroy(client_); }
  AccessLogOfTenRecords(const AccessLogOfTenRecords&) = delete;
  AccessLogOfTenRecords& operator=(const AccessLogOfTenRecords&) = delete;

  std::string bootstrap() const { return rd_kafka_mock_cluster_bootstraps(cluster_); }

 private:
  rd_kafka_t* client_ = nullptr;
  rd_kafka_mock_cluster_t* cluster_ = nullptr;
};

// What a reader that begins at `from` is given up to the log's end.
std::vector<std::int64_t> offsets_read(const std::string& bootstrap, std::int64_t from, Positions& left_at) {
  auto reader = *AccessReader::open({.bootstrap_servers = bootstrap}, {{0, from}});
  std::vector<std::int64_t> offsets;
  auto take = [&](const LogRecord& record) { offsets.push_back(record.offset); };
  for (int i = 0; i < 200 && !reader->has_reached_end(); ++i) reader->poll(100ms, 100, take);
  left_at = reader->positions();
  return offsets;
}

TEST(AccessReader, BeginsAtThePositionItIsGivenAlsoWithinABatch) {
  AccessLogOfTenRecords log;
  Positions left_at;
  EXPECT_EQ(offsets_read(log.bootstrap(), 7, left_at), (std::vector<std::int64_t>{7, 8, 9}));
  EXPECT_EQ(left_at, (Positions{{0, 10}}));
}

// Somebody deleted the topic, and the broker made it anew.
TEST(AccessReader, ALogThatBeganAnewIsReadFromItsBeginning) {
  AccessLogOfTenRecords log;
  Positions left_at;
  EXPECT_EQ(offsets_read(log.bootstrap(), 1'000'000, left_at).size(), 10U);
  EXPECT_EQ(left_at, (Positions{{0, 10}}));
}

}  // namespace
}  // namespace forelog::predictor
