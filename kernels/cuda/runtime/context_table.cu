#include <array>
#include <mutex>

#include "runtime/context.h"

namespace remoe {
namespace {

constexpr size_t kSlots = 1024;

// The open contexts of the process. A handle names a slot and the generation in which it was
// filled, so a closed context, or an arbitrary number, is recognised without reading memory that
// may be gone. This table is the library's only global state.
struct Slot {
  uint64_t handle = 0;
  Context* context = nullptr;
  uint64_t generation = 0;
};

std::mutex table_mutex;
std::array<Slot, kSlots> table;

}  // namespace

uint64_t register_context(Context* context) {
  const std::lock_guard<std::mutex> lock(table_mutex);
  for (size_t i = 0; i < kSlots; i++) {
    Slot& slot = table[i];
    if (slot.context != nullptr) continue;
    slot.handle = ++slot.generation * kSlots + i;
    slot.context = context;
    return slot.handle;
  }
  fail(REMOE_OUT_OF_MEMORY, "%zu contexts are open, the most there can be: close some", kSlots);
}

Context* take_context(uint64_t handle) noexcept {
  const std::lock_guard<std::mutex> lock(table_mutex);
  Slot& slot = table[handle % kSlots];
  if (handle == 0 || slot.handle != handle) return nullptr;
  Context* context = slot.context;
  slot.handle = 0;
  slot.context = nullptr;
  return context;
}

Context* find_context(uint64_t handle) noexcept {
  const std::lock_guard<std::mutex> lock(table_mutex);
  const Slot& slot = table[handle % kSlots];
  return handle != 0 && slot.handle == handle ? slot.context : nullptr;
}

}  // namespace remoe
