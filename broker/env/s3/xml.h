// xml.h: an answer of S3 as a small tree. Expat parses; this keeps what it says, within bounds.
#pragma once

#include "broker/base/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace forelog::env::s3 {

struct XmlElement {
  std::string name;
  std::string text;  // directly inside
  std::vector<XmlElement> children;

  // The text of the first child of that name; empty when there is none.
  std::string_view child_text(std::string_view child) const;
};

// Malformed: not XML, a document type (nobody sends one in good faith), or more elements than a listing may have.
Result<XmlElement> parse_xml(std::string_view text);
// `text` as it may stand between tags.
std::string xml_escape(std::string_view text);

}  // namespace forelog::env::s3
