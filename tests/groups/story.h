// story.h: plays a script of clients against the pure Group, and tells what happens.
//
// A line at the left margin is a command, the indented lines below it are what came of it; `#` comments. Commands:
//   settings KEY=VALUE…            delay=3s size_max=2
//   join CLIENT [KEY=VALUE…]       instance= protocols=range:t,sticky:t+u session=10s rebalance=60s v=9 type=consumer
//   sync CLIENT [MEMBER=P,P …]     with the generation that the client knows; a leader lists its assignment
//   heartbeat|commit CLIENT [generation=N]
//   leave CLIENT  |  remove instance=I  |  restart CLIENT     a restarted client has forgotten its id
//   advance DURATION               lets time pass, with every timer in between
//   writes held|done|failed        keeps writes waiting; ends the ones that wait; from then on they end at once
//   reload                         forgets everything but the last snapshot written
//   show
#pragma once

#include "broker/groups/group.h"

#include <deque>
#include <sstream>
#include <string>

namespace forelog::groups {

std::string topics_of_a_consumer(const std::vector<std::string>& topics);  // ConsumerProtocolSubscription v0

class Story {
 public:
  Story();
  // The output of one command, each line indented by two blanks.
  std::string play(const std::string& command);

 private:
  struct Client {
    std::string name;
    MemberId id;
    GroupGeneration generation = kNoGeneration;
    std::optional<InstanceId> instance;
    int restarts = 0;
  };
  struct Words;

  void join(Client& client, Words& words);
  void sync(Client& client, Words& words);
  void advance(Duration by);
  void carry_out(Actions actions);
  void tell(AnswerJoin& action);
  void tell(AnswerSync& action);
  void write(Persist& action);
  void end_writes(MaybeError error);
  void show();
  Client& client(const std::string& name);
  MemberClaim claim(const Client& client, Words& words) const;
  std::string told(MaybeError error) const;

  GroupSettings settings_;
  Moment at_{Instant{}, WallTime{}};
  std::optional<Group> group_;
  std::map<std::string, Client> clients_;
  std::map<RequestId, std::string> requests_;  // → client
  RequestId next_request_{1};
  bool writes_held_ = false;
  std::deque<Persist> held_;
  std::optional<GroupSnapshot> written_;
  std::ostringstream out_;
};

}  // namespace forelog::groups
