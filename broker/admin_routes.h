// admin_routes.h: what the `forelog` command asks of a running broker, as JSON over its admin listener.
//
//   GET  /api/shards?topic=T           the chain of each partition: state, place, head, size, age, access statistics
//   GET  /api/plans?since=N            what happened to plans after note N
//   POST /api/warm?topic=T&from=&to=   loads what these offsets, or times (ISO 8601 or @milliseconds), hold
#pragma once

#include "broker/admin/http_server.h"
#include "broker/api/services.h"
#include "broker/prefetch/hint.h"

namespace forelog {

void add_admin_routes(admin::HttpServer& server, api::Services& services, prefetch::HintSink& hints);

}  // namespace forelog
