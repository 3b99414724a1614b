#include <cstdarg>
#include <cstdio>

#include "runtime/errors.h"

namespace remoe {
namespace {

[[noreturn]] void throw_formatted(int32_t status, const char* format, va_list arguments) {
  char text[512];
  std::vsnprintf(text, sizeof text, format, arguments);
  throw Error{status, text};
}

}  // namespace

void fail(int32_t status, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  throw_formatted(status, format, arguments);
}

void require(bool condition, const char* format, ...) {
  if (condition) return;
  va_list arguments;
  va_start(arguments, format);
  throw_formatted(REMOE_INVALID_ARGUMENT, format, arguments);
}

void require_size(int64_t value, const char* name) {
  require(value >= 1, "%s is %lld, but at least 1 is needed", name, static_cast<long long>(value));
}

void require_operation(int32_t operation, int32_t last) {
  require(operation >= 0 && operation <= last, "operation %d is unknown", operation);
}

void require_aligned(uint64_t address, size_t alignment, const char* name) {
  require(address % alignment == 0, "the address of %s is not a multiple of %zu bytes", name,
          alignment);
}

}  // namespace remoe
