// client_info.h: what is known of the client at the other end of a connection. Filled in as it tells us more.
#pragma once

#include "broker/prefetch/hint.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>

namespace forelog::api {

struct ClientInfo {
  std::uint64_t connection = 0;  // unique within this broker's run
  std::string listener;          // name of the listener it came in on
  std::string host;              // as text, without the port
  std::string principal = "User:ANONYMOUS";
  std::string client_id;      // of the latest request; may be empty
  std::string software_name;  // from ApiVersions v3+
  std::string software_version;
  std::string rack;     // from Fetch v11+
  bool closed = false;  // nobody reads what is answered from now on; who waits for the client's sake may stop

  // Archived data that a fetch of this connection asked for and was answered without: the wait goes on until it is
  // there.
  struct ColdWait {
    Offset offset;
    Instant since;
  };
  std::map<PartitionKey, ColdWait> cold_waits;

  // The same, as it stands in the access log: made once, and again when the client says something else.
  prefetch::ClientPtr describe();

 private:
  prefetch::ClientPtr described_;
};

}  // namespace forelog::api
