#include <cstdarg>
#include <cstdio>
#include <new>

#include "runtime/context.h"

namespace remoe {
namespace {

[[noreturn]] void throw_formatted(int32_t status, const char* format, va_list arguments) {
  char text[512];
  std::vsnprintf(text, sizeof text, format, arguments);
  throw Error{status, text};
}

void keep_message(Context& context, const char* operation, const char* text) noexcept {
  try {
    context.message = std::string(operation) + ": " + text;
  } catch (...) {
    context.message.clear();  // no memory for the message; the status still reports the failure
  }
}

}  // namespace

void fail(int32_t status, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  throw_formatted(status, format, arguments);
}

void require(bool condition, int32_t status, const char* format, ...) {
  if (condition) [[likely]]
    return;
  va_list arguments;
  va_start(arguments, format);
  throw_formatted(status, format, arguments);
}

void require_size(int64_t value, const char* name) {
  require(value >= 1, REMOE_INVALID_ARGUMENT, "%s is %lld, but at least 1 is needed", name,
          static_cast<long long>(value));
}

void require_operation(int32_t operation, int32_t last) {
  require(operation >= 0 && operation <= last, REMOE_INVALID_ARGUMENT, "operation %d is unknown",
          operation);
}

void require_aligned(uint64_t address, std::size_t alignment, const char* name) {
  require(address % alignment == 0, REMOE_INVALID_ARGUMENT,
          "the address of %s is not a multiple of %zu bytes", name, alignment);
}

int32_t record_failure(Context& context, const char* operation) noexcept {
  try {
    throw;
  } catch (const Error& error) {
    keep_message(context, operation, error.message.c_str());
    return error.status;
  } catch (const std::bad_alloc&) {
    keep_message(context, operation, "the host is out of memory");
    return REMOE_OUT_OF_MEMORY;
  } catch (const std::exception& error) {
    keep_message(context, operation, error.what());
    return REMOE_INTERNAL;
  } catch (...) {
    keep_message(context, operation, "unknown error");
    return REMOE_INTERNAL;
  }
}

}  // namespace remoe
