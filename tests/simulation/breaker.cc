#include "tests/simulation/breaker.h"

#include "broker/log/footer.h"
#include "broker/log/recovery.h"

#include <algorithm>

namespace forelog::simulation {

namespace {

constexpr auto kTrailerSize = static_cast<Bytes>(log::kFooterTrailerSize);

}  // namespace

void Breaker::break_with(Fault fault) {
  auto& faults = broker_.faults();
  auto& cache_faults = broker_.cache_faults();
  switch (fault) {
    case Fault::crash:
    case Fault::crash_all:
    case Fault::clean_restart:
      break;
    case Fault::full_disk:
      faults.disk_capacity = broker_.disk().used() + static_cast<Bytes>(random_.below(100'000));
      cache_faults.disk_capacity = broker_.cache_disk().used() + static_cast<Bytes>(random_.below(1'000'000));
      break;
    case Fault::disk_errors:
      faults.disk_error_rate = 0.05;
      cache_faults.disk_error_rate = random_.chance(0.5) ? 0.05 : 0.5;
      break;
    case Fault::slow_disk:
      faults.disk_slow_rate = 0.2;
      cache_faults.disk_slow_rate = random_.chance(0.5) ? 0.2 : 0.9;
      break;
    case Fault::archive_slow:
      faults.archive = {200ms, 3s};
      break;
    case Fault::archive_failing:
      faults.archive_failure_rate = 0.2;
      break;
    case Fault::archive_outage:
      faults.archive_outage = true;
      break;
    case Fault::archive_silent:
      faults.archive_silent = true;
      break;
    case Fault::archive_breaks:
      faults.archive_break_rate = 0.3;
      break;
    case Fault::archive_wrong_bytes:
      faults.archive_wrong_bytes_rate = 0.3;
      break;
    case Fault::archive_missing:
      faults.archive_missing_rate = 0.3;
      break;
    case Fault::archive_late_listing:
      faults.archive_listing_delay = 5s;
      break;
    case Fault::archive_doubled_puts:
      faults.archive_doubled_puts_rate = 0.5;
      break;
    case Fault::resets:
      faults.network_reset_rate = clients_.faults().network_reset_rate = 0.05;
      break;
    case Fault::silence:
      faults.network_unreachable = true;
      break;
    case Fault::wall_jump:
      broker_.jump_wall(random_.between({-2h, 2h}));
      break;
    case Fault::metadata_failures:
      faults.metadata_failure_rate = 0.2;
      break;
    case Fault::metadata_slow:
      faults.metadata = {20ms, 2s};
      break;
    case Fault::session_expiry:
      broker_.metadata().expire(broker_.metadata().end_session());
      break;
    case Fault::stall:
      for (int core = 0; core < broker_.cores().count(); ++core) broker_.cores().slow_down(core, 0);
      break;
    case Fault::slow_core:
      broker_.cores().slow_down(static_cast<int>(random_.below(static_cast<std::uint64_t>(broker_.cores().count()))),
                                30);
      break;
    case Fault::bit_rot:
      rot();
      break;
    case Fault::rotten_cache:
      rot_cache();
      break;
  }
}

void Breaker::heal() {
  end_phase();
  broker_.faults() = {};
  broker_.cache_faults() = {};
  clients_.faults() = {};
}

void Breaker::end_phase() {
  flip_back();
  for (int core = 0; core < broker_.cores().count(); ++core) broker_.cores().slow_down(core, 1);
}

// One bit in each of a few sealed segments of the clients' topics. Their footers and indexes are kept elsewhere.
void Breaker::rot() {
  constexpr std::uint64_t kFlipsMax = 4;
  const std::string segments = "/data/segments";
  auto& disk = broker_.disk();
  std::vector<Flip> candidates;
  for (auto* model : trial_.living()) {
    PartitionKey key{trial_.topic_ids[model->plan().topic], model->plan().partition};
    auto directory = log::partition_directory(segments, key);
    auto names = disk.list(directory);
    if (!names) continue;
    for (const auto& name : *names) {
      auto file = disk.open(directory + "/" + name, env::OpenMode::read);
      if (!file || disk.size(**file) < kTrailerSize) continue;
      auto trailer = disk.read(**file, disk.size(**file) - kTrailerSize, kTrailerSize);
      auto place = log::find_footer(trailer.view());
      if (place && place->data_size > 0) candidates.push_back({directory + "/" + name, place->data_size, model});
    }
  }
  for (std::uint64_t i = 0; i < kFlipsMax && !candidates.empty(); ++i) {
    auto pick = candidates.begin() + static_cast<std::ptrdiff_t>(random_.below(candidates.size()));
    auto flip = *pick;
    candidates.erase(pick);
    flip.at = static_cast<Bytes>(random_.below(static_cast<std::uint64_t>(flip.at)));
    if (!disk.flip_bit(flip.path, flip.at)) continue;
    bool first = std::ranges::none_of(flips_, [&](const Flip& other) { return other.model == flip.model; });
    if (first) ++flip.model->rotten;
    flips_.push_back(std::move(flip));
  }
}

// Bits of the disk tier's files change behind the broker's back, for good. Nobody may ever see it.
void Breaker::rot_cache() {
  auto& disk = broker_.cache_disk();
  auto names = disk.list("/cache");
  if (!names) return;
  for (const auto& name : *names) {
    for (int flips = 0; flips < 8; ++flips)
      (void)disk.flip_bit("/cache/" + name, static_cast<Bytes>(random_.below(1 << 20)));
  }
}

void Breaker::flip_back() {
  auto flips = std::exchange(flips_, {});
  for (auto at = flips.begin(); at != flips.end(); ++at) {
    (void)broker_.disk().flip_bit(at->path, at->at);  // unless the shard has left the disk meanwhile
    bool last = std::none_of(std::next(at), flips.end(), [&](const Flip& other) { return other.model == at->model; });
    if (last) ++at->model->rotten;
  }
}

}  // namespace forelog::simulation
