#include "broker/cluster/broker_settings.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

namespace forelog::cluster {
namespace {

std::string upper(std::string_view text) {
  std::string out;
  for (char c : text) out += static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  return out;
}

std::unexpected<Error> refuse(std::string_view key, std::string_view value, std::string_view why) {
  return fail(ErrorCode::kInvalidSetting, std::string(key) + "=" + std::string(value) + ": " + std::string(why));
}

Result<std::map<std::string, std::string>> parse_protocol_map(std::string_view text) {
  std::map<std::string, std::string> out;
  for (std::string_view name : {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}) out[std::string(name)] = name;
  while (!text.empty()) {
    auto entry = text.substr(0, text.find(','));
    text.remove_prefix(std::min(entry.size() + 1, text.size()));
    auto colon = entry.find(':');
    if (colon == std::string_view::npos || colon == 0) {
      return refuse("listener.security.protocol.map", entry, "not of the form NAME:PROTOCOL");
    }
    auto protocol = upper(entry.substr(colon + 1));
    if (!out.contains(protocol)) return refuse("listener.security.protocol.map", entry, "no such protocol");
    out[upper(entry.substr(0, colon))] = protocol;
  }
  return out;
}

// "host:port" or "[v6]:port" or ":port".
bool parse_host_and_port(std::string_view text, ListenerSpec& into) {
  auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return false;
  auto host = text.substr(0, colon), port = text.substr(colon + 1);
  if (host.starts_with('[') != host.ends_with(']')) return false;
  if (host.starts_with('['))
    host = host.substr(1, host.size() - 2);
  else if (host.contains(':'))
    return false;
  std::uint16_t number = 0;
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc{} || end != port.data() + port.size()) return false;
  into.host = host;
  into.port = number;
  return true;
}

}  // namespace

Result<std::vector<ListenerSpec>> parse_listeners(const std::vector<std::string>& entries,
                                                  std::string_view protocol_map) {
  auto protocols = TRY(parse_protocol_map(protocol_map));
  std::vector<ListenerSpec> out;
  std::set<std::string> names;
  for (const auto& entry : entries) {
    auto scheme = entry.find("://");
    if (scheme == std::string::npos) return refuse("listeners", entry, "not of the form NAME://host:port");
    ListenerSpec spec;
    spec.name = upper(std::string_view(entry).substr(0, scheme));
    auto protocol = protocols.find(spec.name);
    if (protocol == protocols.end()) {
      return refuse("listeners", entry, "listener.security.protocol.map does not say this name's protocol");
    }
    spec.protocol = protocol->second;
    if (!parse_host_and_port(std::string_view(entry).substr(scheme + 3), spec)) {
      return refuse("listeners", entry, "no host and port after the name");
    }
    if (!names.insert(spec.name).second) return refuse("listeners", entry, "a name stands once");
    out.push_back(std::move(spec));
  }
  return out;
}

Result<void> validate(const BrokerSettings& broker, const ServiceSettings& service) {
  if (broker.log_dirs.size() != 1) {
    return fail(ErrorCode::kInvalidSetting,
                "log.dirs: this broker keeps one write-ahead log for all partitions, so it has one directory");
  }
  auto listeners = TRY(parse_listeners(broker.listeners, broker.protocol_map));
  if (listeners.empty()) return fail(ErrorCode::kInvalidSetting, "listeners: a broker needs one");
  for (const auto& listener : listeners) {
    if (listener.protocol != "PLAINTEXT") return refuse("listeners", listener.name, "only PLAINTEXT is offered yet");
  }
  if (broker.advertised_listeners.empty()) {
    for (const auto& listener : listeners) {
      if (listener.host == "0.0.0.0" || listener.host == "::") {
        return refuse("listeners", listener.name + "://" + listener.host,
                      "clients cannot be told to connect to 'all addresses'; set advertised.listeners");
      }
    }
  }
  if (!broker.zookeeper_connect.empty()) {
    return refuse("zookeeper.connect", broker.zookeeper_connect,
                  "clusters are not offered yet; leave it empty to run one broker with its embedded metadata store");
  }
  auto advertised = TRY(parse_listeners(broker.advertised_listeners, broker.protocol_map));
  for (const auto& listener : advertised) {
    if (listener.host.empty() || listener.host == "0.0.0.0" || listener.host == "::") {
      return refuse("advertised.listeners", listener.name, "clients cannot connect to 'all addresses'");
    }
    if (std::ranges::find(listeners, listener.name, &ListenerSpec::name) == listeners.end()) {
      return refuse("advertised.listeners", listener.name, "no listener has this name");
    }
  }
  bool known = broker.archive_url.starts_with("file:/") || broker.archive_url.starts_with("s3://");
  if (!broker.archive_url.empty() && !known) {
    return refuse("archive.url", broker.archive_url, "it is neither file:/absolute/path nor s3://bucket/prefix");
  }
  if (service.fetch_size_max < 1024) return fail(ErrorCode::kInvalidSetting, "fetch.max.bytes: below 1024");
  return {};
}

}  // namespace forelog::cluster
