// json_text.h: the few looks at JSON text that printing an answer takes, without knowing its shape.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace forelog::cli {

// The elements of the outermost array in `text`, each as its text, whatever stands around the array
// ({"plans":[…]} or […]); or the lines of `text` when there is none.
std::vector<std::string_view> elements(std::string_view text);

// The value of the member `name` of the object `text`, at its top level: strings without quotes and escapes undone,
// anything else as it stands. Empty when it is not there.
std::string member(std::string_view object, std::string_view name);

}  // namespace forelog::cli
