// config_file.h: the settings that a program was started with: its server.properties, and what --set lays over it.
#pragma once

#include "broker/base/settings.h"

#include <string>
#include <vector>

namespace forelog {

// Blocks. NotFound, InvalidSetting; the latter also for a file with keys of the archive that others than its owner can
// read.
Result<SettingMap> read_settings_file(const std::string& path);

// As `apply_override`, but refuses keys of the archive: every user of the machine sees the arguments of a process.
Result<void> apply_flag(SettingMap& settings, const std::string& assignment);

}  // namespace forelog
