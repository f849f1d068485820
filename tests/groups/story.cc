#include "tests/groups/story.h"

#include "broker/base/byte_writer.h"
#include "broker/base/check.h"

namespace forelog::groups {
namespace {

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, at);) parts.push_back(part);
  return parts;
}

Duration duration(const std::string& text) {
  std::size_t used = 0;
  auto number = std::stol(text, &used);
  auto unit = text.substr(used);
  if (unit == "ms") return std::chrono::milliseconds(number);
  if (unit == "s") return std::chrono::seconds(number);
  CHECK(unit == "min", "a duration ends with ms, s or min");
  return std::chrono::minutes(number);
}

}  // namespace

std::string topics_of_a_consumer(const std::vector<std::string>& topics) {
  ByteWriter out;
  out.i16(0);
  out.i32(static_cast<std::int32_t>(topics.size()));
  for (const auto& topic : topics) {
    out.i16(static_cast<std::int16_t>(topic.size()));
    out.text(topic);
  }
  out.i32(-1);
  return std::move(out).take();
}

// The words of a command: plain ones in order, and key=value ones.
struct Story::Words {
  std::deque<std::string> plain;
  std::map<std::string, std::string> keyed;

  explicit Words(const std::string& command) {
    for (const auto& word : split(command, ' ')) {
      auto equals = word.find('=');
      if (equals == std::string::npos) {
        plain.push_back(word);
      } else {
        keyed[word.substr(0, equals)] = word.substr(equals + 1);
      }
    }
  }
  std::string next() {
    CHECK(!plain.empty(), "a word is missing");
    auto word = plain.front();
    plain.pop_front();
    return word;
  }
  std::string take(const std::string& key, const std::string& otherwise) {
    auto node = keyed.extract(key);
    return node ? node.mapped() : otherwise;
  }
};

Story::Story() { group_.emplace(GroupId("g"), settings_, at_); }

std::string Story::play(const std::string& command) {
  out_.str("");
  Words words(command);
  auto verb = words.next();
  if (verb == "settings") {
    settings_.initial_rebalance_delay = duration(words.take("delay", "3s"));
    settings_.size_max = std::stoi(words.take("size_max", "2147483647"));
  } else if (verb == "join") {
    join(client(words.next()), words);
  } else if (verb == "sync") {
    sync(client(words.next()), words);
  } else if (verb == "heartbeat") {
    const auto& who = client(words.next());
    out_ << "  " << who.name << " " << told(group_->heartbeat(claim(who, words), at_)) << "\n";
  } else if (verb == "commit") {
    const auto& who = client(words.next());
    out_ << "  " << who.name << " " << told(group_->check_commit(claim(who, words), at_)) << "\n";
  } else if (verb == "leave") {
    const auto& who = client(words.next());
    out_ << "  " << who.name << " " << told(group_->leave(claim(who, words), at_)) << "\n";
  } else if (verb == "remove") {
    MemberClaim nobody{.instance = InstanceId(words.take("instance", ""))};
    out_ << "  " << told(group_->leave(nobody, at_)) << "\n";
  } else if (verb == "restart") {
    auto& who = client(words.next());
    who.id = {};
    who.generation = kNoGeneration;
  } else if (verb == "advance") {
    advance(duration(words.next()));
  } else if (verb == "writes") {
    auto how = words.next();
    writes_held_ = how == "held";
    if (!writes_held_) end_writes(how == "failed" ? MaybeError{ErrorCode::kCoordinatorNotAvailable} : MaybeError{});
  } else if (verb == "reload") {
    CHECK(written_.has_value(), "nothing was written yet");
    group_.reset();
    group_.emplace(GroupId("g"), settings_, *written_, at_);
  } else {
    CHECK(verb == "show", "no such command");
    show();
  }
  carry_out(group_->take_actions());
  CHECK(words.plain.empty() && words.keyed.empty(), "a word was not understood");
  return out_.str();
}

void Story::join(Client& client, Words& words) {
  if (auto instance = words.take("instance", ""); !instance.empty()) client.instance = InstanceId(instance);
  auto version = std::stoi(words.take("v", "9"));
  JoinEvent event{.request = next_request_,
                  .member = client.id,
                  .fresh_member = MemberId(client.name + "-" + std::to_string(client.restarts + 1)),
                  .instance = client.instance,
                  .client_id = client.name,
                  .client_host = "/127.0.0.1",
                  .session_timeout = duration(words.take("session", "10s")),
                  .rebalance_timeout = duration(words.take("rebalance", "60s")),
                  .protocol_type = words.take("type", "consumer"),
                  .member_id_required = version >= 4 && !client.instance,
                  .skip_assignment_understood = version >= 9};
  if (client.id.value().empty()) ++client.restarts;
  for (const auto& protocol : split(words.take("protocols", "range:t"), ',')) {
    auto parts = split(protocol, ':');
    event.protocols.push_back({parts[0], Buffer::take(topics_of_a_consumer(split(parts.at(1), '+')))});
  }
  requests_[next_request_] = client.name;
  ++next_request_;
  group_->join(std::move(event), at_);
}

void Story::sync(Client& client, Words& words) {
  SyncEvent event{.request = next_request_, .claim = claim(client, words)};
  if (auto protocol = words.take("protocol", ""); !protocol.empty()) event.protocol = protocol;
  for (const auto& [member, partitions] : std::exchange(words.keyed, {})) {
    event.assignments[MemberId(member)] = Buffer::copy_of(partitions);
  }
  requests_[next_request_] = client.name;
  ++next_request_;
  group_->sync(std::move(event), at_);
}

void Story::advance(Duration by) {
  auto until = at_.now + by;
  auto start = at_;
  for (auto due = group_->next_timer(); due <= until; due = group_->next_timer()) {
    if (due > at_.now) at_.now = due;
    at_.wall = start.wall + std::chrono::duration_cast<std::chrono::milliseconds>(at_.now - start.now);
    group_->tick(at_);
    auto actions = group_->take_actions();
    if (!actions.empty()) out_ << "  after " << to_ms(at_.now - start.now) << " ms:\n";
    carry_out(std::move(actions));
  }
  at_ = {until, start.wall + std::chrono::duration_cast<std::chrono::milliseconds>(by)};
}

void Story::carry_out(Actions actions) {
  for (auto& action : actions) {
    if (auto* join = std::get_if<AnswerJoin>(&action)) tell(*join);
    if (auto* sync = std::get_if<AnswerSync>(&action)) tell(*sync);
    if (auto* write_action = std::get_if<Persist>(&action)) write(*write_action);
  }
}

void Story::tell(AnswerJoin& action) {
  auto node = requests_.extract(action.request);
  CHECK(!node.empty(), "a request was answered twice");
  auto& who = client(node.mapped());
  auto& reply = action.reply;
  out_ << "  " << who.name;
  if (reply.error) {
    out_ << " " << told(reply.error);
    if (reply.error == ErrorCode::kMemberIdRequired) {
      who.id = reply.member;
      out_ << ", id " << who.id.value();
    }
    out_ << "\n";
    return;
  }
  who.id = reply.member;
  who.generation = reply.generation;
  out_ << " joined generation " << reply.generation.value() << " as " << who.id.value() << ", " << *reply.protocol;
  if (reply.members.empty()) {
    out_ << ", led by " << reply.leader.value();
  } else {
    out_ << ", leads";
    for (const auto& member : reply.members) out_ << " " << member.member.value();
  }
  if (reply.skip_assignment) out_ << ", need not assign";
  out_ << "\n";
}

void Story::tell(AnswerSync& action) {
  auto node = requests_.extract(action.request);
  CHECK(!node.empty(), "a request was answered twice");
  out_ << "  " << node.mapped() << " ";
  if (action.reply.error) {
    out_ << told(action.reply.error) << "\n";
  } else {
    out_ << "was assigned [" << action.reply.assignment.text() << "]\n";
  }
}

void Story::write(Persist& action) {
  if (writes_held_) {
    out_ << "  a write waits\n";
    held_.push_back(std::move(action));
    return;
  }
  written_ = action.snapshot;
  group_->persisted(action.ticket, {}, at_);
  carry_out(group_->take_actions());
}

void Story::end_writes(MaybeError error) {
  for (auto& action : std::exchange(held_, {})) {
    if (!error) written_ = action.snapshot;
    group_->persisted(action.ticket, error, at_);
    carry_out(group_->take_actions());
  }
}

void Story::show() {
  out_ << "  " << name_of(group_->state()) << ", generation " << group_->generation().value();
  if (group_->protocol()) out_ << ", " << *group_->protocol();
  if (group_->leader()) out_ << ", leader " << group_->leader()->value();
  out_ << "\n";
  for (const auto& [id, member] : group_->members()) {
    out_ << "  " << id.value();
    if (member.instance) out_ << " instance " << member.instance->value();
    out_ << " [" << member.assignment.text() << "]";
    if (member.awaiting_join) out_ << " waits to join";
    if (member.awaiting_sync) out_ << " waits for its assignment";
    out_ << "\n";
  }
}

Story::Client& Story::client(const std::string& name) {
  auto& found = clients_[name];
  found.name = name;
  return found;
}

MemberClaim Story::claim(const Client& client, Words& words) const {
  auto generation = words.take("generation", std::to_string(client.generation.value()));
  return {.member = client.id, .generation = GroupGeneration(std::stoi(generation)), .instance = client.instance};
}

std::string Story::told(MaybeError error) const {
  return error ? "is told " + std::string(name_of(*error)) : "is fine";
}

}  // namespace forelog::groups
