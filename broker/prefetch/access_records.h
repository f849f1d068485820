// access_records.h: what the broker observes, in the words of hint_service.thrift. Pure.
#pragma once

#include "broker/prefetch/hint.h"
#include "broker/prefetch/identity_mask.h"
#include "hint_service/hint_service_types.h"

namespace forelog::prefetch {

inline constexpr std::int16_t kAccessLogFormat = 1;

thrift::AccessLogBody to_record(const ReaderEvent& event, const IdentityMask& mask);
thrift::AccessLogBody to_record(ReaderId reader, const AccessEvent& event, std::int32_t fetches);
thrift::AccessLogBody to_record(const GroupEvent& event, const IdentityMask& mask);
thrift::AccessLogBody to_record(const OutcomeEvent& event);

// Compact protocol, as it stands in the topic.
std::string encode(const thrift::AccessLogRecord& record);
// Malformed when the bytes are no record.
Result<thrift::AccessLogRecord> decode_access_record(ByteView bytes);

// The 16 bytes of a topic id as Thrift carries them, and back; none when they are not 16.
std::string to_thrift(const TopicId& topic);
std::optional<TopicId> topic_from_thrift(const std::string& bytes);

}  // namespace forelog::prefetch
