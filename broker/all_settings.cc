#include "broker/all_settings.h"

#include <algorithm>

namespace forelog {

const SettingsCatalog& settings_catalog() {
  static const SettingsCatalog catalog = [] {
    SettingsCatalog out;
    out.add<cluster::BrokerSettings>("Broker");
    out.add<cluster::ServiceSettings>("What clients may do");
    out.add<groups::GroupSettings>("Consumer groups");
    out.add<LogSettings>("Log");
    out.add<replication::CleanerSettings>("Compaction and merging");
    out.add<cache::CacheSettings>("Cache");
    out.add<archive::ArchiveSettings>("Archive");
    out.add<env::s3::S3Settings>("Archive in S3");
    out.add<prefetch::PrefetchSettings>("Prefetching");
    out.add<prefetch::HintServiceSettings>("Hint service");
    out.add<prefetch::AccessLogSettings>("Access log");
    out.add<log::TopicSettings>("Topics");
    return out;
  }();
  return catalog;
}

Result<AllSettings> read_all_settings(SettingMap raw) {
  auto checked = TRY(settings_catalog().check_broker(raw));
  // Where there is an archive, topics use it unless they say otherwise (architecture, section 14).
  auto archive = raw.find("archive.url");
  if (archive != raw.end() && !archive->second.empty()) raw.emplace("remote.storage.enable", "true");
  // Other settings of Kafka's may be without effect; one that keeps people out may not.
  auto authorizer = raw.find("authorizer.class.name");
  if (authorizer != raw.end() && !authorizer->second.empty()) {
    return fail(ErrorCode::kInvalidSetting,
                "authorizer.class.name: access control is not offered yet; without this setting everybody may do all");
  }
  AllSettings all;
  all.warnings = std::move(checked.warnings);
  all.broker = TRY(read_settings<cluster::BrokerSettings>(raw));
  all.service = TRY(read_settings<cluster::ServiceSettings>(raw));
  all.group = TRY(read_settings<groups::GroupSettings>(raw));
  all.log = TRY(read_settings<LogSettings>(raw));
  all.cleaner = TRY(read_settings<replication::CleanerSettings>(raw));
  all.cache = TRY(read_settings<cache::CacheSettings>(raw));
  all.archive = TRY(read_settings<archive::ArchiveSettings>(raw));
  all.s3 = TRY(read_settings<env::s3::S3Settings>(raw));
  all.prefetch = TRY(read_settings<prefetch::PrefetchSettings>(raw));
  all.topic_prefetch = TRY(read_settings<prefetch::TopicPrefetchSettings>(raw));
  all.hints = TRY(read_settings<prefetch::HintServiceSettings>(raw));
  all.access_log = TRY(read_settings<prefetch::AccessLogSettings>(raw));
  TRY(cluster::validate(all.broker, all.service));
  if (all.log.wal_size_max < 2 * all.log.wal_file_size) {
    return fail(ErrorCode::kInvalidSetting, "wal.max.bytes must be at least twice wal.file.bytes");
  }
  all.raw = std::move(raw);
  return all;
}

}  // namespace forelog
