#include "runtime/context.h"

#include <sys/mman.h>

#include <array>
#include <mutex>
#include <new>

#include "per_isa/gemm/blocked_gemm.h"

namespace remoe {
namespace {

constexpr std::size_t kSlots = 1024;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
static_assert(kPackingLanes * sizeof(float) % kHugePage == 0);

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
  const std::lock_guard lock(table_mutex);
  for (std::size_t i = 0; i < kSlots; ++i) {
    Slot& slot = table[i];
    if (slot.context != nullptr) continue;
    slot.handle = ++slot.generation * kSlots + i;
    slot.context = context;
    return slot.handle;
  }
  fail(REMOE_OUT_OF_MEMORY, "%zu contexts are open, the most there can be: close some", kSlots);
}

Context* take_context(uint64_t handle) noexcept {
  const std::lock_guard lock(table_mutex);
  Slot& slot = table[handle % kSlots];
  if (handle == 0 || slot.handle != handle) return nullptr;
  Context* context = slot.context;
  slot.handle = 0;
  slot.context = nullptr;
  return context;
}

Context* find_context(uint64_t handle) noexcept {
  const std::lock_guard lock(table_mutex);
  const Slot& slot = table[handle % kSlots];
  return handle != 0 && slot.handle == handle ? slot.context : nullptr;
}

void enter_context(Context& context) noexcept {
  // oneDNN takes its thread count from OpenMP; our own loops set theirs explicitly.
  use_team(context.threads);
}

Context::Context(int wanted, Isa instruction_set, bool onednn, PoolOptions options)
    : team(measure_team(wanted)),
      threads(team.threads),
      threads_wanted(wanted),
      isa(instruction_set),
      dense_by_onednn(onednn),
      pool(options),
      pinned_pool({.guarded = options.guarded}) {
  for (int i = 0; i < threads; ++i) {
    packing.emplace_back(
        static_cast<float*>(std::aligned_alloc(kHugePage, kPackingLanes * sizeof(float))));
    if (packing.back() == nullptr) throw std::bad_alloc();
    madvise(packing.back().get(), kPackingLanes * sizeof(float), MADV_HUGEPAGE);
  }
}

Context::~Context() = default;

}  // namespace remoe
