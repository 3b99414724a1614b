// The C interface of the memory pool.

#include <unordered_set>

#include "runtime/operation.h"

using remoe::guard;
using remoe::Operation;

int32_t remoe_memory_allocate(uint64_t context, uint64_t bytes, uint64_t* address) {
  return guard(context, "memory_allocate", [&](Operation& op) {
    remoe::require(bytes >= 1, "bytes is 0, but at least 1 is needed");
    remoe::require(address != nullptr, "the pointer for the address is null");
    void* block = op.context.pool.allocate(bytes, op.context.stream);
    address[0] = reinterpret_cast<uint64_t>(block);
  });
}

int32_t remoe_memory_free(uint64_t context, const uint64_t* addresses, int32_t count) {
  return guard(context, "memory_free", [&](Operation& op) {
    remoe::require_size(count, "count");
    remoe::require(addresses != nullptr, "the list of addresses is null");
    std::unordered_set<uint64_t> seen;
    for (int32_t i = 0; i < count; i++) {
      const bool live = op.context.pool.is_live(reinterpret_cast<void*>(addresses[i]));
      remoe::require(live && seen.insert(addresses[i]).second,
                     "address %d of %d, 0x%llx, is not a live block: nothing was freed", i, count,
                     static_cast<unsigned long long>(addresses[i]));
    }
    for (int32_t i = 0; i < count; i++) {
      op.context.pool.release(reinterpret_cast<void*>(addresses[i]), op.context.stream);
    }
  });
}

int32_t remoe_memory_statistics(uint64_t context, uint64_t* statistics) {
  return guard(context, "memory_statistics", [&](Operation& op) {
    remoe::require(statistics != nullptr, "the pointer for the statistics is null");
    const remoe::MemoryPool::Statistics& now = op.context.pool.statistics();
    statistics[0] = now.in_use;
    statistics[1] = now.peak;
    statistics[2] = now.held;
    statistics[3] = now.blocks;
  });
}

int32_t remoe_memory_reset_peak(uint64_t context) {
  return guard(context, "memory_reset_peak", [](Operation& op) { op.context.pool.reset_peak(); });
}

int32_t remoe_memory_trim(uint64_t context) {
  return guard(context, "memory_trim", [](Operation& op) {
    op.context.wait_for_all();
    op.context.pool.trim();
  });
}
