// The memory pool, and host memory for asynchronous copies.
#include <cstring>

#include "runtime/context.h"

using namespace remoe;

int32_t remoe_memory_allocate(uint64_t context, uint64_t bytes, uint64_t* address) {
  return guard(context, "memory_allocate", [&](Context& c) {
    require(address != nullptr, REMOE_INVALID_ARGUMENT, "the pointer for the address is null");
    *address = reinterpret_cast<uint64_t>(c.pool.allocate(bytes));
  });
}

int32_t remoe_memory_free(uint64_t context, const uint64_t* addresses, int32_t count) {
  return guard(context, "memory_free", [&](Context& c) {
    require(count >= 0, REMOE_INVALID_ARGUMENT, "count is %d", count);
    require(addresses != nullptr || count == 0, REMOE_INVALID_ARGUMENT, "the addresses are null");
    const int64_t wrong = c.pool.release_all(addresses, count);
    require(wrong < 0, REMOE_INVALID_ARGUMENT,
            "0x%llx (number %lld) is not a live block, or is listed twice; nothing was freed",
            static_cast<unsigned long long>(wrong < 0 ? 0 : addresses[wrong]),
            static_cast<long long>(wrong));
  });
}

int32_t remoe_memory_statistics(uint64_t context, uint64_t* statistics) {
  return guard(context, "memory_statistics", [&](Context& c) {
    require(statistics != nullptr, REMOE_INVALID_ARGUMENT,
            "the pointer for the statistics is null");
    c.pool.check_live_blocks();
    c.pinned_pool.check_live_blocks();
    statistics[0] = c.pool.in_use();
    statistics[1] = c.pool.peak();
    statistics[2] = c.pool.held();
    statistics[3] = c.pool.live_blocks();
  });
}

int32_t remoe_memory_reset_peak(uint64_t context) {
  return guard(context, "memory_reset_peak", [](Context& c) { c.pool.reset_peak(); });
}

int32_t remoe_memory_trim(uint64_t context) {
  return guard(context, "memory_trim", [](Context& c) {
    c.pool.trim();
    c.pinned_pool.trim();
  });
}

int32_t remoe_pinned_allocate(uint64_t context, uint64_t bytes, uint64_t* address) {
  return guard(context, "pinned_allocate", [&](Context& c) {
    require(address != nullptr, REMOE_INVALID_ARGUMENT, "the pointer for the address is null");
    *address = reinterpret_cast<uint64_t>(c.pinned_pool.allocate(bytes));
  });
}

int32_t remoe_pinned_free(uint64_t context, uint64_t address) {
  return guard(context, "pinned_free", [&](Context& c) {
    require(c.pinned_pool.release(reinterpret_cast<const void*>(address)), REMOE_INVALID_ARGUMENT,
            "0x%llx is not a live pinned block", static_cast<unsigned long long>(address));
  });
}
