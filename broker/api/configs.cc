// DescribeConfigs, AlterConfigs, IncrementalAlterConfigs.

#include "broker/api/handlers.h"
#include "broker/api/message_of.h"
#include "broker/cluster/controller.h"

#include <algorithm>
#include <set>
#include <utility>

namespace forelog::api {
namespace {

constexpr Duration kAlterWait = 30s;

// Resources that the request names more than once. Kafka changes none of these.
template <class Resources>
std::set<std::pair<std::int8_t, std::string>> repeated(const Resources& resources) {
  std::set<std::pair<std::int8_t, std::string>> seen, twice;
  for (const auto& resource : resources) {
    std::pair name(resource.resource_type, resource.resource_name);
    if (!seen.insert(name).second) twice.insert(std::move(name));
  }
  return twice;
}

const Error kNamedTwice{ErrorCode::kInvalidRequest, "Each resource must appear at most once."};

Result<SettingMap> settings_of(wire::AlterConfigsRequest::Resource& resource) {
  SettingMap out;
  for (auto& config : resource.configs) {
    if (!config.value) return fail(ErrorCode::kInvalidRequest, "Null value not supported for : " + config.name);
    if (!out.emplace(config.name, *std::move(config.value)).second) {
      return fail(ErrorCode::kInvalidRequest, "Error due to duplicate config keys : " + config.name);
    }
  }
  return out;
}

Result<cluster::ConfigResource> resource_of(const Context& context, std::int8_t type, const std::string& name) {
  using Kind = cluster::ConfigResource::Kind;
  if (type == static_cast<std::int8_t>(Kind::topic)) return cluster::ConfigResource{Kind::topic, name};
  if (type == static_cast<std::int8_t>(Kind::broker)) {
    if (!name.empty() && name != std::to_string(context.services.self.value())) {
      return fail(ErrorCode::kInvalidRequest, "settings of broker " + name +
                                                  " are asked of that broker, not of broker " +
                                                  std::to_string(context.services.self.value()));
    }
    return cluster::ConfigResource{Kind::broker, name};
  }
  return fail(ErrorCode::kInvalidRequest, "resource type " + std::to_string(type) + " has no settings here");
}

}  // namespace

Task<wire::DescribeConfigsResponse> describe_configs(Context context, wire::DescribeConfigsRequest request) {
  wire::DescribeConfigsResponse response;
  std::set<std::pair<std::int8_t, std::string>> described;
  for (auto& wanted : request.resources) {
    // An answer is large and a name is small: each is answered once, however often it is named.
    if (!described.emplace(wanted.resource_type, wanted.resource_name).second) continue;
    auto& out = response.results.emplace_back();
    out.resource_type = wanted.resource_type;
    out.resource_name = wanted.resource_name;
    auto resource = resource_of(context, wanted.resource_type, wanted.resource_name);
    auto entries = resource ? co_await context.services.controller.describe_configs(*resource)
                            : Result<std::vector<SettingEntry>>(fail(resource.error()));
    if (!entries) {
      out.error_code = entries.error();
      out.error_message = message_of(entries.error());
      continue;
    }
    for (auto& entry : *entries) {
      const auto& keys = wanted.configuration_keys;
      // No key at all stands for all of them, in Kafka too.
      if (keys && !keys->empty() && std::find(keys->begin(), keys->end(), entry.name) == keys->end()) continue;
      auto& config = out.configs.emplace_back();
      config.name = std::move(entry.name);
      config.value = std::move(entry.value);
      config.read_only = entry.read_only;
      config.config_source = static_cast<std::int8_t>(entry.source);
      config.is_sensitive = entry.sensitive;
      config.config_type = static_cast<std::int8_t>(entry.type);
      if (request.include_documentation) config.documentation = std::move(entry.text);
      if (!request.include_synonyms) continue;
      for (auto& synonym : entry.synonyms) {
        config.synonyms.push_back(
            {std::move(synonym.name), std::move(synonym.value), static_cast<std::int8_t>(synonym.source)});
      }
    }
  }
  co_return response;
}

Task<wire::IncrementalAlterConfigsResponse> incremental_alter_configs(Context context,
                                                                      wire::IncrementalAlterConfigsRequest request) {
  auto deadline = context.received + kAlterWait;
  auto twice = repeated(request.resources);
  wire::IncrementalAlterConfigsResponse response;
  for (auto& wanted : request.resources) {
    auto& out = response.responses.emplace_back();
    out.resource_type = wanted.resource_type;
    out.resource_name = wanted.resource_name;
    auto refuse = [&out](const Error& error) {
      out.error_code = error;
      out.error_message = message_of(error);
    };
    if (twice.contains({wanted.resource_type, wanted.resource_name})) {
      refuse(kNamedTwice);
      continue;
    }
    auto resource = resource_of(context, wanted.resource_type, wanted.resource_name);
    if (!resource) {
      refuse(resource.error());
      continue;
    }
    std::vector<cluster::ConfigChange> changes;
    std::optional<Error> wrong;
    for (auto& config : wanted.configs) {
      if (config.config_operation < 0 || config.config_operation > 3) {
        wrong = Error{ErrorCode::kInvalidRequest,
                      "operation " + std::to_string(config.config_operation) + " of " + config.name};
        break;
      }
      auto op = static_cast<cluster::ConfigOp>(config.config_operation);
      if (!config.value && op != cluster::ConfigOp::remove) {
        wrong = Error{ErrorCode::kInvalidRequest, config.name + " has no value"};
        break;
      }
      changes.push_back({op, std::move(config.name), std::move(config.value).value_or("")});
    }
    if (wrong) {
      refuse(*wrong);
      continue;
    }
    auto altered = co_await context.services.controller.alter_configs(*resource, std::move(changes),
                                                                      request.validate_only, deadline);
    if (!altered) refuse(altered.error());
  }
  co_return response;
}

Task<wire::AlterConfigsResponse> alter_configs(Context context, wire::AlterConfigsRequest request) {
  auto deadline = context.received + kAlterWait;
  auto twice = repeated(request.resources);
  wire::AlterConfigsResponse response;
  for (auto& wanted : request.resources) {
    auto& out = response.responses.emplace_back();
    out.resource_type = wanted.resource_type;
    out.resource_name = wanted.resource_name;
    auto refuse = [&out](const Error& error) {
      out.error_code = error;
      out.error_message = message_of(error);
    };
    if (twice.contains({wanted.resource_type, wanted.resource_name})) {
      refuse(kNamedTwice);
      continue;
    }
    auto resource = resource_of(context, wanted.resource_type, wanted.resource_name);
    auto configs = settings_of(wanted);
    if (!resource || !configs) {
      refuse(resource ? configs.error() : resource.error());
      continue;
    }
    auto replaced = co_await context.services.controller.replace_configs(*resource, *std::move(configs),
                                                                         request.validate_only, deadline);
    if (!replaced) refuse(replaced.error());
  }
  co_return response;
}

}  // namespace forelog::api
