#include "runtime/memory_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "runtime/context.h"

namespace remoe {
namespace {

constexpr uint64_t kHugePage = uint64_t{2} << 20;
constexpr uint64_t kLargerClass = 16;
constexpr uint64_t kLargest = uint64_t{1} << 46;  // about what x86-64 and aarch64 can address

uint64_t round_up(uint64_t value, uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Size of the class that serves `bytes`: eight classes per power of two, so at most an eighth is
// lost, in units of a cache line below 2 MiB and of a huge page from there.
uint64_t class_bytes(uint64_t bytes) {
  const uint64_t step = std::bit_ceil(bytes) / 16;
  return round_up(bytes, std::max<uint64_t>(step, bytes < kHugePage ? 64 : kHugePage));
}

// 2 MiB-aligned, or nullptr. Maps 2 MiB more than requested and unmaps the ends, since mmap aligns
// to small pages only.
void* map_aligned(uint64_t bytes) {
  void* raw =
      mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  char* first = static_cast<char*>(raw);
  char* block = reinterpret_cast<char*>(round_up(reinterpret_cast<uint64_t>(raw), kHugePage));
  const uint64_t before = block - first;
  if (before > 0) munmap(first, before);
  if (before < kHugePage) munmap(block + bytes, kHugePage - before);
  madvise(block, bytes, MADV_HUGEPAGE);  // a hint: the block also works without huge pages
  return block;
}

}  // namespace

MemoryPool::~MemoryPool() {
  for (const auto& [block, mapping] : mappings_) {
    forget_guards(block, mapping.bytes);
    munmap(const_cast<void*>(block), mapping.bytes);
  }
}

void* MemoryPool::allocate(uint64_t bytes) {
  require(bytes > 0, REMOE_INVALID_ARGUMENT, "bytes is 0, but a block has at least 1");
  require(bytes <= kLargest, REMOE_OUT_OF_MEMORY, "%llu bytes exceed the address space",
          static_cast<unsigned long long>(bytes));
  SizeClass& size_class =
      class_with_block(class_bytes(options_.guarded ? guarded_bytes(bytes) : bytes), bytes);
  void* block = size_class.free.back();
  if (options_.guarded) block = guard_block(block, bytes);
  live_.emplace(block, Live{bytes, &size_class, false});
  size_class.free.pop_back();
  in_use_ += bytes;
  peak_ = std::max(peak_, in_use_);
  return block;
}

// Scratch sizes follow the number of routed rows, which changes from step to step and falls by E/k
// from the dense stage to the sparse one. If only blocks of the exact class were reused, a class
// would be mapped whenever the rows first reach it, and the memory held would creep up as long as
// they move. A free block of a larger class costs nothing extra, so one of up to kLargerClass times
// the size serves.
MemoryPool::SizeClass& MemoryPool::class_with_block(uint64_t block_bytes, uint64_t asked) {
  SizeClass& own = classes_[block_bytes];
  own.block_bytes = block_bytes;
  if (!own.free.empty()) return own;
  for (auto larger = classes_.upper_bound(block_bytes);
       larger != classes_.end() && larger->first <= kLargerClass * block_bytes; ++larger) {
    if (!larger->second.free.empty()) return larger->second;
  }
  refill(own, asked);
  return own;
}

void MemoryPool::refill(SizeClass& size_class, uint64_t asked) {
  const uint64_t block_bytes = size_class.block_bytes;
  // A slab holds at least eight blocks, so that little is left over at its end.
  const uint64_t bytes =
      block_bytes >= kHugePage ? block_bytes : round_up(8 * block_bytes, kHugePage);
  const std::size_t blocks = bytes / block_bytes;
  size_class.free.reserve(size_class.blocks + blocks);
  void* first = map(bytes);
  if (first == nullptr) {
    trim();
    first = map(bytes);
  }
  if (first == nullptr) fail_full(asked, fits_limit(bytes));
  try {
    mappings_.emplace(first, Mapping{bytes, &size_class, 0});
  } catch (...) {
    munmap(first, bytes);
    throw;
  }
  held_ += bytes;
  size_class.blocks += blocks;
  for (std::size_t i = blocks; i > 0; --i) {
    size_class.free.push_back(static_cast<char*>(first) + (i - 1) * block_bytes);
  }
}

bool MemoryPool::fits_limit(uint64_t bytes) const {
  return held_ <= options_.limit && bytes <= options_.limit - held_;
}

void* MemoryPool::map(uint64_t bytes) const {
  return fits_limit(bytes) ? map_aligned(bytes) : nullptr;
}

void MemoryPool::fail_full(uint64_t asked, bool fits) const {
  const std::string reason =
      fits ? "the system has" : "REMOE_MEMORY_LIMIT=" + std::to_string(options_.limit) + " leaves";
  fail(REMOE_OUT_OF_MEMORY, "%s no room for %llu bytes (%llu are held, %llu of them in use)",
       reason.c_str(), static_cast<unsigned long long>(asked),
       static_cast<unsigned long long>(held_), static_cast<unsigned long long>(in_use_));
}

bool MemoryPool::release(const void* block) noexcept {
  const auto found = live_.find(block);
  if (found == live_.end()) return false;
  void* memory = const_cast<void*>(block);
  if (options_.guarded) {
    if (!damage_) damage_ = find_damage(block, found->second.asked);
    memory = retire_block(memory, found->second.asked);
  }
  found->second.size_class->free.push_back(memory);
  in_use_ -= found->second.asked;
  live_.erase(found);
  return true;
}

int64_t MemoryPool::release_all(const uint64_t* addresses, int64_t count) noexcept {
  const auto block = [&](int64_t i) { return reinterpret_cast<const void*>(addresses[i]); };
  for (int64_t i = 0; i < count; ++i) {
    const auto found = live_.find(block(i));
    if (found != live_.end() && !std::exchange(found->second.leaving, true)) continue;
    for (int64_t seen = 0; seen < i; ++seen) live_.find(block(seen))->second.leaving = false;
    return i;
  }
  for (int64_t i = 0; i < count; ++i) release(block(i));
  return -1;
}

void MemoryPool::check_live_blocks() {
  if (!options_.guarded) return;
  for (const auto& [block, live] : live_) {
    if (!damage_) damage_ = find_damage(block, live.asked);
  }
  report_damage();
}

void MemoryPool::fail_damaged() {
  const Damage damage = *std::exchange(damage_, std::nullopt);
  fail(REMOE_INTERNAL, "a block of %llu bytes was overrun: a write at offset %lld, outside of it",
       static_cast<unsigned long long>(damage.bytes), static_cast<long long>(damage.offset));
}

void MemoryPool::trim() noexcept {
  const auto mapping_of = [this](const void* block) {
    return std::prev(mappings_.upper_bound(block));
  };
  for (auto& [first, mapping] : mappings_) mapping.free = 0;
  for (auto& [bytes, size_class] : classes_) {
    for (const void* block : size_class.free) ++mapping_of(block)->second.free;
  }
  const auto is_unused = [](const Mapping& mapping) {
    return mapping.free == mapping.bytes / mapping.size_class->block_bytes;
  };
  for (auto& [bytes, size_class] : classes_) {
    std::erase_if(size_class.free, [&](const void* b) { return is_unused(mapping_of(b)->second); });
  }
  std::erase_if(mappings_, [&](const auto& entry) {
    const auto& [first, mapping] = entry;
    if (!is_unused(mapping)) return false;
    mapping.size_class->blocks -= mapping.free;
    held_ -= mapping.bytes;
    forget_guards(first, mapping.bytes);
    munmap(const_cast<void*>(first), mapping.bytes);
    return true;
  });
}

}  // namespace remoe
