#pragma once

#include <string>

#include "base/document.h"

namespace moeplan::test {

/// Where `value` breaks a JSON schema, empty if it keeps it. Knows what docs/schema uses: type (a word or a list), const, enum,
/// required, properties, additionalProperties, items, minItems, minimum, maximum, minLength; throws on other keywords
/// but title, $schema and pattern, so that no rule is passed over in silence.
std::string find_schema_fault(const base::Node& schema, const base::Node& value, const std::string& path = "$");

}  // namespace moeplan::test
