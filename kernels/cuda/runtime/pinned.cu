// Page-locked host memory, and the copies that therefore need no staging.

#include <cstring>

#include "runtime/operation.h"

namespace remoe {
namespace {

// A block, or a position inside one, with room for `bytes`.
void* require_pinned(Operation& op, uint64_t address, uint64_t bytes) {
  require(bytes >= 1, "bytes is 0, but at least 1 is needed");
  for (const auto& [block, size] : op.context.pinned) {
    const uint64_t first = reinterpret_cast<uint64_t>(block);
    if (address < first || address - first >= size) continue;
    require(bytes <= size - (address - first), "%llu bytes pass the end of the pinned block",
            static_cast<unsigned long long>(bytes));
    return reinterpret_cast<void*>(address);
  }
  fail(REMOE_INVALID_ARGUMENT, "0x%llx is not pinned memory of this context",
       static_cast<unsigned long long>(address));
}

}  // namespace
}  // namespace remoe

using remoe::guard;
using remoe::Operation;

int32_t remoe_pinned_allocate(uint64_t context, uint64_t bytes, uint64_t* address) {
  return guard(context, "pinned_allocate", [&](Operation& op) {
    remoe::require(bytes >= 1, "bytes is 0, but at least 1 is needed");
    remoe::require(address != nullptr, "the pointer for the address is null");
    void* block = nullptr;
    op.context.check(cudaMallocHost(&block, bytes), "page-locking host memory");
    op.context.pinned.emplace(block, bytes);
    address[0] = reinterpret_cast<uint64_t>(block);
  });
}

int32_t remoe_pinned_free(uint64_t context, uint64_t address) {
  return guard(context, "pinned_free", [&](Operation& op) {
    void* block = reinterpret_cast<void*>(address);
    remoe::require(op.context.pinned.count(block) != 0, "0x%llx is not a pinned block",
                   static_cast<unsigned long long>(address));
    op.context.wait_for_all();  // copies may still be using it
    op.context.pinned.erase(block);
    op.context.check(cudaFreeHost(block), "freeing pinned memory");
  });
}

int32_t remoe_pinned_write(uint64_t context, uint64_t pinned, const uint8_t* source,
                           uint64_t bytes) {
  return guard(context, "pinned_write", [&](Operation& op) {
    remoe::require(source != nullptr, "the source is null");
    std::memcpy(remoe::require_pinned(op, pinned, bytes), source, bytes);
  });
}

int32_t remoe_pinned_read(uint64_t context, uint8_t* target, uint64_t pinned, uint64_t bytes) {
  return guard(context, "pinned_read", [&](Operation& op) {
    remoe::require(target != nullptr, "the target is null");
    std::memcpy(target, remoe::require_pinned(op, pinned, bytes), bytes);
  });
}

int32_t remoe_copy_from_pinned(uint64_t context, uint64_t target, uint64_t pinned, uint64_t bytes) {
  return guard(context, "copy_from_pinned", [&](Operation& op) {
    op.check(cudaMemcpyAsync(remoe::require_address<unsigned char>(target, "target"),
                             remoe::require_pinned(op, pinned, bytes), bytes,
                             cudaMemcpyHostToDevice, op.context.stream));
  });
}

int32_t remoe_copy_to_pinned(uint64_t context, uint64_t pinned, uint64_t source, uint64_t bytes) {
  return guard(context, "copy_to_pinned", [&](Operation& op) {
    op.check(cudaMemcpyAsync(remoe::require_pinned(op, pinned, bytes),
                             remoe::require_address<unsigned char>(source, "source"), bytes,
                             cudaMemcpyDeviceToHost, op.context.stream));
  });
}
