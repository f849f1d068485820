// Any bytes, as a manifest, as a chain record, as an archive's id and as the name of an object. What decodes must
// encode, and decode to the same again.
#include "broker/archive/identity.h"
#include "broker/archive/manifest.h"
#include "broker/archive/shard_object.h"
#include "broker/base/byte_writer.h"
#include "broker/base/check.h"
#include "broker/base/crc32c.h"
#include "broker/cluster/chain_record.h"
#include "tests/fuzz/fuzz.h"

namespace forelog {
namespace {

const PartitionKey kPartition{TopicId{{1, 2, 3}}, PartitionId{4}};

void check_manifest(ByteView bytes) {
  auto manifest = archive::decode_manifest(kPartition, bytes);
  if (!manifest) return;
  auto again = archive::decode_manifest(kPartition, archive::encode_manifest(*manifest));
  CHECK(again.has_value() && again->shards == manifest->shards && again->older == manifest->older);
}

void check_all(ByteView bytes) {
  check_manifest(bytes);
  ByteWriter sealed;  // with a header that lets the contents through
  sealed.text(std::string_view("FLMF\0\1", 6));
  sealed.u32(crc32c(bytes));
  sealed.bytes(bytes);
  check_manifest(sealed.view());
  if (auto record = cluster::decode_chain_record(kPartition, as_text(bytes))) {
    CHECK(*cluster::decode_chain_record(kPartition, cluster::encode_chain_record(*record)) == *record);
    for (const auto& shard : record->shards) (void)shard.descriptor();
  }
  if (auto shard = archive::parse_object_key("forelog", as_text(bytes))) {
    CHECK(archive::object_key("forelog", *shard) == as_text(bytes));
  }
  if (auto id = archive::decode_identity(as_text(bytes))) {
    CHECK(*archive::decode_identity(archive::encode_identity(*id)) == *id);
  }
  (void)archive::parse_manifest_key("forelog", kPartition, as_text(bytes));
}

}  // namespace
}  // namespace forelog

FUZZ_TARGET(archive) { forelog::check_all(input); }
