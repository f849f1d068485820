#include "broker/cluster/metadata_access.h"

#include "broker/cluster/gather.h"

namespace forelog::cluster {

Task<Result<std::vector<std::string>>> children_or_none(env::MetadataStore& store, std::string path) {
  auto names = co_await store.children(std::move(path));
  if (!names && names.error().code == ErrorCode::kNotFound) co_return std::vector<std::string>();
  co_return names;
}

Task<Result<void>> ensure_path(env::MetadataStore& store, std::string path) {
  for (auto slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    auto part = path.substr(0, slash);
    auto znode = co_await store.get(part);
    if (!znode && znode.error().code != ErrorCode::kNotFound) co_return fail(std::move(znode).error());
    if (!znode) {
      std::vector<env::MetadataOp> ops{env::MetadataOp::create(part, "")};
      auto created = co_await store.commit(std::move(ops));
      if (!created && created.error().code != ErrorCode::kAlreadyExists) co_return created;
    }
    if (slash == std::string::npos) co_return Result<void>{};
  }
}

Task<Result<std::vector<std::string>>> subtree(env::MetadataStore& store, env::Cores& cores, std::string path) {
  // Level by level, parents first; turned round at the end.
  using Names = Result<std::vector<std::string>>;
  std::vector<std::string> found{std::move(path)};
  for (std::size_t from = 0; from < found.size();) {
    auto to = found.size();
    std::function<Task<Names>(std::size_t)> list = [&store, &found, from](std::size_t i) {
      return children_or_none(store, found[from + i]);
    };
    auto level = co_await gather<Names>(cores, to - from, std::move(list));
    for (std::size_t i = 0; i < level.size(); ++i) {
      auto names = CO_TRY(std::move(level[i]));
      for (const auto& name : names) found.push_back(found[from + i] + "/" + name);
    }
    from = to;
  }
  std::vector<std::string> out(found.rbegin(), found.rend());
  co_return out;
}

}  // namespace forelog::cluster
