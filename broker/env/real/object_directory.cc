#include "broker/env/real/object_directory.h"

#include "broker/env/real/posix_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include <sys/stat.h>
#include <unistd.h>

namespace forelog::env {
namespace {

namespace fs = std::filesystem;

constexpr int kParentsAgain = 10;  // times that an object's directories are made anew

// Walks a tree in the order of keys. A directory sorts as its name with the slash that follows it in every key below.
class Lister {
 public:
  Lister(const std::string& prefix, const std::string& after, std::size_t limit)
      : prefix_(prefix), after_(after), limit_(limit) {}

  Result<void> walk(const fs::path& directory, const std::string& key_prefix) {
    struct Entry {
      std::string key;
      fs::directory_entry at;
    };
    std::error_code error;
    std::vector<Entry> entries;
    fs::directory_iterator at(directory, error), end;
    for (; !error && at != end; at.increment(error)) {
      auto name = at->path().filename().string();
      if (key_prefix.empty() && name == kUploading) continue;
      std::error_code gone;
      entries.push_back({key_prefix + name + (at->is_directory(gone) ? "/" : ""), *at});
    }
    // Somebody may remove a directory while it is walked.
    if (error && error.value() != ENOENT) return fail(posix_error("listing", directory.string(), error.value()));
    std::ranges::sort(entries, {}, &Entry::key);
    for (const auto& entry : entries) {
      if (found_.size() == limit_) return {};
      TRY(entry.key.back() == '/' ? descend(entry.key, entry.at) : add(entry.key, entry.at));
    }
    return {};
  }
  std::vector<ObjectInfo> take() { return std::move(found_); }

 private:
  Result<void> descend(const std::string& key, const fs::directory_entry& entry) {
    bool may_match = key.starts_with(prefix_) || prefix_.starts_with(key);
    bool all_before = after_.compare(0, key.size(), key) > 0;
    if (!may_match || all_before) return {};
    return walk(entry.path(), key);
  }
  Result<void> add(const std::string& key, const fs::directory_entry& entry) {
    if (!key.starts_with(prefix_) || key <= after_) return {};
    std::error_code error;
    auto size = entry.file_size(error);
    if (error.value() == ENOENT) return {};
    if (error) return fail(posix_error("looking at", entry.path().string(), error.value()));
    found_.push_back({key, static_cast<Bytes>(size)});
    return {};
  }

  const std::string& prefix_;
  const std::string& after_;
  std::size_t limit_;
  std::vector<ObjectInfo> found_;
};

// Creates the directories of `key` below `directory`, each durable in the one above. The archive's own is not made.
Result<void> make_parents(const std::string& directory, const std::string& key) {
  for (auto slash = key.find('/'); slash != key.npos; slash = key.find('/', slash + 1)) {
    auto path = fs::path(directory) / key.substr(0, slash);
    bool made = ::mkdir(path.c_str(), 0777) == 0;
    // What is there and no directory shows in the next step.
    if (!made && errno != EEXIST) return fail(posix_error("creating", path.string(), errno));
    if (made) TRY(sync_directory(path.parent_path().string()));
  }
  return {};
}

}  // namespace

Error archive_error(const std::string& directory, Error error) {
  std::error_code unknown;
  if (error.code == ErrorCode::kNotFound && !fs::is_directory(directory, unknown))
    return {ErrorCode::kArchiveUnavailable, "the archive's directory " + directory + " is gone"};
  return error;
}

Result<void> publish_object(const std::string& directory, const std::string& temporary, const std::string& key) {
  auto path = fs::path(directory) / key;
  // Who removes the last object of a directory takes that along, perhaps after it was found, or made, here.
  for (int again = kParentsAgain;; --again) {
    auto done = make_parents(directory, key);
    if (done && std::rename(temporary.c_str(), path.c_str()) < 0)
      done = fail(posix_error("publishing", path.string(), errno));
    if (done) break;
    if (done.error().code != ErrorCode::kNotFound || again == 0) return done;
  }
  return sync_directory(path.parent_path().string());
}

void clear_uploads(const std::string& directory, const std::string& life) {
  std::vector<fs::path> left;
  std::error_code error;
  for (fs::directory_iterator at(fs::path(directory) / kUploading, error), end; !error && at != end;
       at.increment(error))
    if (!at->path().filename().string().starts_with(life)) left.push_back(at->path());
  for (const auto& path : left) fs::remove_all(path, error);  // what stays is tried again by the next life
}

Result<void> remove_object(const std::string& directory, const std::string& key) {
  auto path = (fs::path(directory) / key).string();
  if (::unlink(path.c_str()) < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return TRY(PosixFile::open(directory, 0)), Result<void>{};
    return fail(posix_error("removing", path, errno));
  }
  // Directories left empty go too; one that is not empty refuses.
  for (auto parent = fs::path(key).parent_path(); !parent.empty(); parent = parent.parent_path())
    if (::rmdir((fs::path(directory) / parent).c_str()) < 0) break;
  return {};
}

Result<std::vector<ObjectInfo>> list_objects(const std::string& directory, const std::string& prefix,
                                             const std::string& after, std::size_t limit) {
  TRY(PosixFile::open(directory, 0));
  Lister lister(prefix, after, limit);
  TRY(lister.walk(directory, ""));
  return lister.take();
}

}  // namespace forelog::env
