#include "broker/log/topic_settings.h"

#include "broker/base/limits.h"

namespace forelog::log {

BatchRules TopicSettings::batch_rules(WallTime now) const {
  BatchRules rules;
  rules.size_max = std::min<Bytes>(max_message_bytes, kBatchSizeMax);
  rules.now = now;
  rules.log_append_time = timestamp_type == TimestampType::log_append_time;
  if (timestamp_before_max != Duration::max()) rules.timestamp_before_max_ms = to_ms(timestamp_before_max);
  if (timestamp_after_max != Duration::max()) rules.timestamp_after_max_ms = to_ms(timestamp_after_max);
  rules.keys_required = compacts();
  rules.open_records = producer_validation == ProducerValidation::full;
  return rules;
}

}  // namespace forelog::log
