#include "broker/api/client_info.h"

namespace forelog::api {

prefetch::ClientPtr ClientInfo::describe() {
  bool same = described_ && described_->client_id == client_id && described_->software_name == software_name &&
              described_->principal == principal && described_->rack == rack;
  if (!same) {
    prefetch::ClientInfo info;
    info.connection = prefetch::ConnectionId(static_cast<std::int64_t>(connection));
    info.client_id = client_id;
    info.software_name = software_name;
    info.software_version = software_version;
    info.principal = principal;
    info.host = host;
    info.rack = rack;
    described_ = std::make_shared<const prefetch::ClientInfo>(std::move(info));
  }
  return described_;
}

}  // namespace forelog::api
