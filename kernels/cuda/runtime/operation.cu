#include <exception>

#include "runtime/operation.h"

namespace remoe {
namespace {

void keep_message(Context& context, const char* operation, const char* text) noexcept {
  try {
    context.message = std::string(operation) + ": " + text;
  } catch (...) {
    context.message.clear();  // no memory for the message; the status still reports the failure
  }
}

}  // namespace

int32_t record_failure(Context& context, const char* operation) noexcept {
  try {
    if (context.capturing && context.failed_in_capture.empty()) {
      context.failed_in_capture = operation;
    }
    throw;
  } catch (const Error& error) {
    const char* name = error.operation != nullptr ? error.operation : operation;
    keep_message(context, name, error.message.c_str());
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
