// Copies. On the CPU device, host and pinned memory are the same memory.
#include <cstring>

#include "runtime/context.h"
#include "runtime/parallel.h"

using namespace remoe;

namespace {

// The fewest bytes per thread, about what one core moves while another wakes.
constexpr int64_t kCopyGrain = int64_t{1} << 18;
constexpr uint64_t kMostBytes = uint64_t{1} << 46;

void copy_bytes(Context& context, void* target, const void* source, uint64_t bytes) {
  require(bytes == 0 || (target != nullptr && source != nullptr), REMOE_INVALID_ARGUMENT,
          "the address of the %s is 0", target == nullptr ? "target" : "source");
  require(bytes <= kMostBytes, REMOE_INVALID_ARGUMENT, "bytes is %llu, beyond any memory",
          static_cast<unsigned long long>(bytes));
  const int64_t count = static_cast<int64_t>(bytes);
  const int parts = static_cast<int>(std::clamp<int64_t>(count / kCopyGrain, 1, context.threads));
  parallel_parts(context, parts, [&](int part) {
    const Range range = part_of(count, parts, part, 4096);
    if (range.begin == range.end) return;
    std::memcpy(static_cast<uint8_t*>(target) + range.begin,
                static_cast<const uint8_t*>(source) + range.begin, range.end - range.begin);
  });
}

int32_t copy_call(uint64_t context, const char* operation, void* target, const void* source,
                  uint64_t bytes) {
  return guard(context, operation, [&](Context& c) { copy_bytes(c, target, source, bytes); });
}

void* pointer(uint64_t address) { return reinterpret_cast<void*>(address); }

}  // namespace

int32_t remoe_copy_from_host(uint64_t context, uint64_t target, const uint8_t* source,
                             uint64_t bytes) {
  return copy_call(context, "copy_from_host", pointer(target), source, bytes);
}

int32_t remoe_copy_to_host(uint64_t context, uint8_t* target, uint64_t source, uint64_t bytes) {
  return copy_call(context, "copy_to_host", target, pointer(source), bytes);
}

int32_t remoe_copy(uint64_t context, uint64_t target, uint64_t source, uint64_t bytes) {
  return copy_call(context, "copy", pointer(target), pointer(source), bytes);
}

int32_t remoe_pinned_write(uint64_t context, uint64_t pinned, const uint8_t* source,
                           uint64_t bytes) {
  return copy_call(context, "pinned_write", pointer(pinned), source, bytes);
}

int32_t remoe_pinned_read(uint64_t context, uint8_t* target, uint64_t pinned, uint64_t bytes) {
  return copy_call(context, "pinned_read", target, pointer(pinned), bytes);
}

int32_t remoe_copy_from_pinned(uint64_t context, uint64_t target, uint64_t pinned, uint64_t bytes) {
  return copy_call(context, "copy_from_pinned", pointer(target), pointer(pinned), bytes);
}

int32_t remoe_copy_to_pinned(uint64_t context, uint64_t pinned, uint64_t source, uint64_t bytes) {
  return copy_call(context, "copy_to_pinned", pointer(pinned), pointer(source), bytes);
}
