#include "broker/env/s3/xml.h"

#include <memory>

#include <expat.h>

namespace forelog::env::s3 {
namespace {

constexpr std::size_t kElementsMax = 50'000;  // a page of a listing has 1000 objects of less than ten each
constexpr std::size_t kDepthMax = 16;

struct Building {
  XML_Parser parser = nullptr;
  XmlElement document;            // its only child is the root
  std::vector<XmlElement*> open;  // from the document down; children are added only to the last
  std::size_t elements = 0;
  bool refused = false;

  void refuse() {
    refused = true;
    XML_StopParser(parser, XML_FALSE);
  }
};

void on_start(void* user, const XML_Char* name, const XML_Char** /*attributes*/) {
  auto& building = *static_cast<Building*>(user);
  if (++building.elements > kElementsMax || building.open.size() > kDepthMax) return building.refuse();
  auto& siblings = building.open.back()->children;
  siblings.push_back({name, "", {}});
  building.open.push_back(&siblings.back());
}

void on_end(void* user, const XML_Char* /*name*/) { static_cast<Building*>(user)->open.pop_back(); }

void on_text(void* user, const XML_Char* text, int size) {
  static_cast<Building*>(user)->open.back()->text.append(text, static_cast<std::size_t>(size));
}

void on_doctype(void* user, const XML_Char*, const XML_Char*, const XML_Char*, int) {
  static_cast<Building*>(user)->refuse();
}

}  // namespace

std::string_view XmlElement::child_text(std::string_view child) const {
  for (const auto& element : children)
    if (element.name == child) return element.text;
  return {};
}

Result<XmlElement> parse_xml(std::string_view text) {
  std::unique_ptr<std::remove_pointer_t<XML_Parser>, decltype(&XML_ParserFree)> parser(XML_ParserCreate("UTF-8"),
                                                                                       &XML_ParserFree);
  Building building;
  building.parser = parser.get();
  building.open.push_back(&building.document);
  XML_SetUserData(parser.get(), &building);
  XML_SetElementHandler(parser.get(), on_start, on_end);
  XML_SetCharacterDataHandler(parser.get(), on_text);
  XML_SetStartDoctypeDeclHandler(parser.get(), on_doctype);
  bool parsed = XML_Parse(parser.get(), text.data(), static_cast<int>(text.size()), XML_TRUE) == XML_STATUS_OK;
  if (!parsed || building.refused || building.document.children.empty())
    return fail(ErrorCode::kMalformed, "not the XML that an S3 server answers with");
  return std::move(building.document.children.front());
}

std::string xml_escape(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace forelog::env::s3
