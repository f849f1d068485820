// The write-ahead log alone: at its limit, and where one of its files fails.
#include "broker/log/wal.h"

#include "broker/log/wal_format.h"
#include "tests/log/log_fixture.h"

#include <algorithm>

namespace forelog::log {
namespace {

constexpr Bytes kFile = 4_MiB;

// Files of which the one called `name` takes nothing, for the reason `code`.
class FailingFiles final : public env::Files {
 public:
  FailingFiles(env::Files& files, env::Path name, ErrorCode code)
      : files_(files), name_(std::move(name)), code_(code) {}

  Task<Result<env::FilePtr>> open(env::Path path, env::OpenMode mode) override {
    bool fails = path.ends_with(name_);
    auto file = CO_TRY(co_await files_.open(std::move(path), mode));
    if (fails) co_return std::make_shared<FailingFile>(std::move(file), Error{code_, name_});
    co_return file;
  }
  Task<Result<void>> rename(env::Path from, env::Path to) override { return files_.rename(from, to); }
  Task<Result<void>> remove(env::Path path) override { return files_.remove(path); }
  Task<Result<std::vector<std::string>>> list(env::Path directory) override { return files_.list(directory); }
  Task<Result<void>> create_directories(env::Path path) override { return files_.create_directories(path); }
  Task<Result<void>> sync_directory(env::Path path) override { return files_.sync_directory(path); }
  Task<Result<Bytes>> free_space(env::Path directory) override { return files_.free_space(directory); }

 private:
  class FailingFile final : public env::File {
   public:
    FailingFile(env::FilePtr file, Error error) : file_(std::move(file)), error_(std::move(error)) {}
    Task<Result<Buffer>> read_at(std::int64_t offset, Bytes size) override { return file_->read_at(offset, size); }
    std::optional<Buffer> resident(std::int64_t, Bytes) override { return std::nullopt; }
    Task<Result<void>> write_at(std::int64_t, Slices) override { co_return fail(error_); }
    Task<Result<void>> sync() override { return file_->sync(); }
    Task<Result<void>> truncate(Bytes size) override { return file_->truncate(size); }
    Task<Result<Bytes>> size() override { return file_->size(); }

   private:
    env::FilePtr file_;
    Error error_;
  };

  env::Files& files_;
  env::Path name_;
  ErrorCode code_;
};

struct Client final : WalClient {
  void checkpoint_wanted() override { ++asked; }
  void wal_state(const std::optional<Error>&) override {}
  int asked = 0;
};

struct WalTest : testing::Test {
  env::SimulatedWorld world{1};
  env::SimulatedMachine& machine = world.machine();
  MetricsRegistry registry;
  std::unique_ptr<FailingFiles> failing;
  std::unique_ptr<env::Env> env;
  std::unique_ptr<Wal> wal;

  void SetUp() override { set_log_level(LogLevel::error); }
  void TearDown() override {
    if (wal) test::run(world, machine, wal->stop(machine.env().clock.now() + 1s));
  }
  void start(Bytes size_max) {
    auto& here = machine.env();
    auto& wal_files = failing ? *failing : here.wal_files;
    env.reset(new env::Env{here.cores, here.clock, here.random, here.files, here.network, here.local, here.metadata,
                           here.archive, here.cache_files, wal_files});
    wal = std::make_unique<Wal>(*env, WalSettings{"wal", kFile, size_max}, registry);
    ASSERT_TRUE(test::run(world, machine, wal->start({})));
  }

  struct Answer {
    std::optional<Lsn> lsn;
    explicit operator bool() const { return lsn.has_value(); }
  };
  static Task<void> append_task(Wal& wal, WalEntry entry, std::shared_ptr<Answer> answer) {
    wal.append(std::move(entry), [answer](Lsn lsn) { answer->lsn = lsn; });
    co_return;
  }
  std::shared_ptr<Answer> begin(Bytes size, int partition = 0) {
    auto answer = std::make_shared<Answer>();
    WalEntry entry{{test::partition_key(partition), Offset(0), Generation(0)}, 0, {}};
    entry.bytes.push_back(Buffer::take(std::string(static_cast<std::size_t>(size), 'x')));
    test::run(world, machine, append_task(*wal, std::move(entry), answer));
    return answer;
  }
  // Appends, and waits; nothing when it is not durable after ten seconds.
  std::optional<Lsn> append(Bytes size, int partition = 0) {
    auto answer = begin(size, partition);
    world.run_until([&] { return answer->lsn.has_value(); }, 10s);
    return answer->lsn;
  }
  static Task<void> release_task(Wal& wal, PartitionKey partition, Lsn lsn) {
    wal.release(partition, lsn);
    co_return;
  }
  void release(int partition, Lsn lsn) {
    test::run(world, machine, release_task(*wal, test::partition_key(partition), lsn));
  }
  static Task<void> attach_task(Wal& wal, PartitionKey partition, std::shared_ptr<Client> client) {
    wal.attach(partition, client);
    co_return;
  }

  // Names of files that are not spares, and have their full size.
  std::vector<std::string> whole_files() {
    auto names = *machine.disk().list("wal");
    std::erase_if(names, [&](const auto& name) {
      auto node = *machine.disk().open("wal/" + name, env::OpenMode::read);
      return is_wal_spare_name(name) || machine.disk().size(*node) < kFile;
    });
    return names;
  }
};

TEST_F(WalTest, AtItsLimitAFileThatGrowsIsNotLeftForABetterOne) {
  start(2 * kFile);
  ASSERT_TRUE(append(kFile - 1000));
  ASSERT_TRUE(append(1000)) << "in a second file, before one of full size is ready";
  ASSERT_TRUE(world.run_until([&] { return whole_files() == std::vector{wal_file_name(4)}; }, 10s));
  world.run_for(1s);
  EXPECT_TRUE(append(1000)) << "there is room in the second file";
}

TEST_F(WalTest, AtTheLimitOfALogOfTwoFilesAllPartitionsAreAskedToCheckpoint) {
  constexpr int kPartitions = 16;
  start(3 * kFile - 1);
  // Until it writes to a file of full size, which it does not leave for another.
  auto other = append(100, kPartitions);
  ASSERT_TRUE(world.run_until([&] { return !whole_files().empty(); }, 10s));
  world.run_for(1s);
  ASSERT_TRUE(append(kFile - 100'000, kPartitions));
  release(kPartitions, *other);
  std::vector<std::shared_ptr<Client>> clients;
  std::vector<Lsn> last;
  for (int i = 0; i < kPartitions; ++i) {
    clients.push_back(std::make_shared<Client>());
    test::run(world, machine, attach_task(*wal, test::partition_key(i), clients.back()));
    last.push_back(append(100, i).value_or(Lsn(0)));
  }
  other = append(200'000, kPartitions);
  ASSERT_TRUE(other);
  auto waits = begin(kFile - 100'000, kPartitions);
  auto all_asked = [&] { return std::ranges::all_of(clients, [](const auto& client) { return client->asked > 0; }); };
  EXPECT_TRUE(world.run_until(all_asked, 1s));
  EXPECT_FALSE(*waits);
  for (int i = 0; i < kPartitions; ++i) release(i, last[static_cast<std::size_t>(i)]);
  release(kPartitions, *other);
  EXPECT_TRUE(world.run_until([&] { return waits->lsn.has_value(); }, 1s)) << "the first file is free";
}

TEST_F(WalTest, AFileThatFailsAtItsStartIsLeftInTheEnd) {
  failing = std::make_unique<FailingFiles>(machine.env().wal_files, wal_file_name(1), ErrorCode::kIo);
  machine.faults().disk_capacity = kFile / 2;  // there is no room for a better one
  start(8 * kFile);
  EXPECT_TRUE(append(100));
}

TEST_F(WalTest, WhenThereIsNoSpaceForMoreAFileThatStandsReadyIsTaken) {
  failing = std::make_unique<FailingFiles>(machine.env().wal_files, wal_file_name(1), ErrorCode::kDiskFull);
  start(8 * kFile);
  EXPECT_TRUE(append(100));
}

TEST_F(WalTest, AFileOfWhichNothingIsNeededWhenTheNextBeginsIsGivenBack) {
  start(2 * kFile);
  auto first = append(kFile - 1000);
  ASSERT_TRUE(first);
  release(0, *first);  // the only file is still written to
  ASSERT_TRUE(append(2000));
  EXPECT_TRUE(append(kFile - 1000)) << "the first file is free, though nobody has released anything since";
}

}  // namespace
}  // namespace forelog::log
