#include "broker/env/files.h"

#include <utility>

namespace forelog::env {

Task<Result<void>> File::write_leaving_room(std::int64_t offset, Slices slices) {
  return write_at(offset, std::move(slices));
}

Task<Result<void>> File::write_to_free_space(std::int64_t offset, Slices slices) {
  return write_at(offset, std::move(slices));
}

Task<Result<void>> File::write_and_begin_writeback(std::int64_t offset, Slices slices) {
  return write_leaving_room(offset, std::move(slices));
}

Task<Result<void>> File::write_and_sync(std::int64_t offset, Slices slices) {
  CO_TRY(co_await write_leaving_room(offset, std::move(slices)));
  co_return co_await sync();
}

}  // namespace forelog::env
