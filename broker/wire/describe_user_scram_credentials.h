// describe_user_scram_credentials.h: key 50. SCRAM mechanisms and iterations of users, never their secrets. No users
// mean all.
#pragma once

#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct DescribeUserScramCredentialsResponse;

struct DescribeUserScramCredentialsRequest {
  static constexpr ApiKey api = ApiKey::kDescribeUserScramCredentials;
  using Response = DescribeUserScramCredentialsResponse;

  struct User {
    std::string name;
    static constexpr auto fields = [](auto& m, auto&& field) { field("name", m.name); };
  };

  std::optional<std::vector<User>> users;
  static constexpr auto fields = [](auto& m, auto&& field) { field("users", m.users); };
};

struct DescribeUserScramCredentialsResponse {
  static constexpr ApiKey api = ApiKey::kDescribeUserScramCredentials;

  struct User {
    struct CredentialInfo {
      std::int8_t mechanism = 0;  // 1 SCRAM-SHA-256, 2 SCRAM-SHA-512
      std::int32_t iterations = 0;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("mechanism", m.mechanism);
        field("iterations", m.iterations);
      };
    };

    std::string user;
    WireError error_code;
    std::optional<std::string> error_message;
    std::vector<CredentialInfo> credential_infos;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("user", m.user);
      field("error_code", m.error_code);
      field("error_message", m.error_message);
      field("credential_infos", m.credential_infos);
    };
  };

  std::int32_t throttle_time_ms = 0;
  WireError error_code;
  std::optional<std::string> error_message;
  std::vector<User> results;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms);
    field("error_code", m.error_code);
    field("error_message", m.error_message);
    field("results", m.results);
  };
};

}  // namespace forelog::wire
