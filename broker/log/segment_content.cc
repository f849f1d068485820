#include "broker/log/segment_content.h"

#include <algorithm>
#include <utility>

namespace forelog::log {

SegmentContent::SegmentContent(ReadRange read, std::shared_ptr<const Footer> footer)
    : read_(std::move(read)), footer_(std::move(footer)), encoded_(footer_->encode()) {}

SegmentContent::SegmentContent(env::FilePtr file, std::shared_ptr<const Footer> footer)
    : SegmentContent([file = std::move(file)](Bytes from, Bytes size) { return file->read_at(from, size); },
                     std::move(footer)) {}

Task<Result<Buffer>> SegmentContent::read(Bytes from, Bytes wanted) {
  CHECK(from >= 0 && wanted >= 0 && from + wanted <= size());
  Slices out;
  auto data_end = std::min(from + wanted, footer_->size);
  if (from < data_end) out.push_back(CO_TRY(co_await read_data(from, data_end)));
  if (from + wanted > footer_->size) {
    auto begin = std::max<Bytes>(from - footer_->size, 0);
    out.push_back(encoded_.slice(static_cast<std::size_t>(begin),
                                 static_cast<std::size_t>(from + wanted - footer_->size - begin)));
  }
  co_return flatten(out);
}

Task<Result<Buffer>> SegmentContent::read_data(Bytes from, Bytes end) {
  auto first = from / kBlockSize * kBlockSize;
  auto last = std::min((end + kBlockSize - 1) / kBlockSize * kBlockSize, footer_->size);
  auto bytes = CO_TRY(co_await read_(first, last - first));
  if (static_cast<Bytes>(bytes.size()) != last - first) {
    co_return fail(ErrorCode::kCorruptBlock, footer_->shard.text() + ": the segment is cut off");
  }
  for (auto at = first; at < last; at += kBlockSize) {
    auto block =
        bytes.slice(static_cast<std::size_t>(at - first), static_cast<std::size_t>(std::min(kBlockSize, last - at)));
    CO_TRY(verify_block(*footer_, static_cast<std::uint32_t>(at / kBlockSize), block));
  }
  co_return bytes.slice(static_cast<std::size_t>(from - first), static_cast<std::size_t>(end - from));
}

}  // namespace forelog::log
