#include "runtime/pool_options.h"

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "runtime/context.h"

namespace remoe {
namespace {

// Empty if the variable is not set.
std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

uint64_t limit() {
  const std::string_view text = variable("REMOE_MEMORY_LIMIT");
  if (text.empty()) return PoolOptions{}.limit;
  uint64_t bytes = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes);
  require(error == std::errc{} && end == text.data() + text.size() && bytes > 0,
          REMOE_INVALID_ARGUMENT, "REMOE_MEMORY_LIMIT is \"%s\", but must be a number of bytes",
          text.data());
  return bytes;
}

bool is_guarded() {
  const std::string_view text = variable("REMOE_MEMORY_GUARD");
  require(text.empty() || text == "0" || text == "1", REMOE_INVALID_ARGUMENT,
          "REMOE_MEMORY_GUARD is \"%s\", but must be 0 or 1", text.data());
  return text == "1";
}

}  // namespace

PoolOptions pool_options() { return {.limit = limit(), .guarded = is_guarded()}; }

}  // namespace remoe
