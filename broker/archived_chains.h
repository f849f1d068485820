// archived_chains.h: what GET /api/chains answers: the chain records of all archived partitions, page by page.
//
// The broker writes it (admin_routes.cc), `forelog archive verify` reads it. A page ends with a whole topic; the next
// one is asked for with `after` set to the last topic's id.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace forelog {

struct ArchivedChain {
  std::string topic;  // its id
  std::int32_t partition = 0;
  std::string record;  // JSON, as it stands in the metadata store
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("topic", m.topic);
    field("partition", m.partition);
    field("record", m.record);
  };
};

struct ArchivedChainsPage {
  std::vector<ArchivedChain> chains;
  std::string next;  // empty at the end
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("chains", m.chains);
    field("next", m.next);
  };
};

}  // namespace forelog
