#include "broker/wire/coordinator_records.h"

#include "broker/base/byte_reader.h"

namespace forelog::wire {

Result<CoordinatorKey> decode_coordinator_key(const Buffer& key) {
  ByteReader in(key);
  const Version type = in.i16();
  if (!in.ok() || type < 0) return fail(ErrorCode::kMalformed, "coordinator record key without a type");
  if (OffsetCommitKey::versions.contains(type)) return TRY(decode_data<OffsetCommitKey>(key));
  if (GroupMetadataKey::versions.contains(type)) return TRY(decode_data<GroupMetadataKey>(key));
  return UnknownCoordinatorKey{type};
}

}  // namespace forelog::wire
