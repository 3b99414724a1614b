#include <algorithm>
#include <utility>

#include "runtime/errors.h"
#include "runtime/memory_pool.h"

namespace remoe {
namespace {

constexpr size_t kSegmentBytes = size_t{2} << 20;
constexpr size_t kSmallLimit = kSegmentBytes / 2;
constexpr size_t kSmallestBlock = 512;

// Blocks that no stream holds back. A context's streams are never the legacy default stream, which
// is null.
constexpr cudaStream_t kSettled = nullptr;

size_t rounded(size_t bytes) {
  if (bytes > kSmallLimit) return (bytes + kSegmentBytes - 1) / kSegmentBytes * kSegmentBytes;
  size_t size = kSmallestBlock;
  while (size < bytes) size *= 2;
  return size;
}

// A large block may serve a smaller request, but without wasting more than a quarter of it.
size_t largest_acceptable(size_t bytes) { return bytes > kSmallLimit ? bytes + bytes / 4 : bytes; }

}  // namespace

MemoryPool::~MemoryPool() {
  for (const auto& [address, block] : live_) gpu::block_closed(block.address, nullptr);
  for (const Segment& segment : segments_) cudaFree(segment.allocation);
}

void* MemoryPool::allocate(size_t bytes, cudaStream_t stream) {
  // Far above any device, and low enough that rounding up cannot wrap.
  if (bytes > (size_t{1} << 50)) fail(REMOE_OUT_OF_MEMORY, "%zu bytes do not fit", bytes);
  const size_t size = rounded(bytes);
  Block block = {};
  if (measuring_) {
    block.address = std::exchange(measured_, measured_ + size);
    return add_live(block, bytes);
  }
  if (take_captured(bytes, block)) return add_live(block, bytes);
  cudaStream_t owner = kSettled;
  if (!take_free(size, stream, block, owner) && !take_new(size, block)) {
    if (capturing_) {
      fail(REMOE_OUT_OF_MEMORY,
           "a graph is being captured, and the pool has no free block of %zu bytes: make the same "
           "calls once before",
           bytes);
    }
    // Cached blocks of other sizes may be taking up the room.
    if (cudaDeviceSynchronize() == cudaSuccess) trim();
    if (!take_new(size, block)) {
      fail(REMOE_OUT_OF_MEMORY, "the device has no %zu bytes left (%llu in use, %llu held)", bytes,
           static_cast<unsigned long long>(statistics_.in_use),
           static_cast<unsigned long long>(statistics_.held));
    }
  }
  // A capture may use the whole block for one request after another.
  block.opened = capturing_ ? block.bytes : bytes;
  gpu::block_opened(block.address, block.opened, owner);
  block.segment->live_blocks++;
  return add_live(block, bytes);
}

void* MemoryPool::add_live(Block& block, size_t bytes) {
  block.requested = bytes;
  live_.emplace(block.address, block);
  statistics_.in_use += bytes;
  statistics_.peak = std::max(statistics_.peak, statistics_.in_use);
  statistics_.blocks++;
  return block.address;
}

void MemoryPool::release(void* address, cudaStream_t stream) {
  const auto found = live_.find(address);
  const Block block = found->second;
  live_.erase(found);
  statistics_.in_use -= block.requested;
  statistics_.blocks--;
  if (measuring_) return;
  if (capturing_) return captured_.push_back(block);
  block.segment->live_blocks--;
  gpu::block_closed(address, stream);
  free_[{stream, block.bytes}].push_back(block);
}

void MemoryPool::begin_measuring() {
  // Aligned as any block, and no device's address.
  constexpr uint64_t kFirst = uint64_t{1} << 46;
  measuring_ = true;
  measured_ = reinterpret_cast<unsigned char*>(kFirst);
  unmeasured_ = std::exchange(statistics_, {});
}

uint64_t MemoryPool::end_measuring() {
  measuring_ = false;
  return std::exchange(statistics_, unmeasured_).peak;
}

std::vector<MemoryPool::Block> MemoryPool::end_capture() {
  capturing_ = false;
  return std::exchange(captured_, {});
}

void MemoryPool::release_captured(const std::vector<Block>& blocks, cudaStream_t stream) {
  for (const Block& block : blocks) {
    block.segment->live_blocks--;
    gpu::block_closed(block.address, stream);
    free_[{stream, block.bytes}].push_back(block);
  }
}

void MemoryPool::settle(cudaStream_t stream) {
  auto entry = free_.lower_bound({stream, 0});
  while (entry != free_.end() && entry->first.first == stream) {
    auto& settled = free_[{kSettled, entry->first.second}];
    settled.insert(settled.end(), entry->second.begin(), entry->second.end());
    entry = free_.erase(entry);
  }
}

void MemoryPool::trim() {
  for (auto& [key, blocks] : free_) {
    blocks.erase(std::remove_if(blocks.begin(), blocks.end(),
                                [](const Block& b) { return b.segment->live_blocks == 0; }),
                 blocks.end());
  }
  segments_.remove_if([this](const Segment& segment) {
    if (segment.live_blocks != 0) return false;
    if (&segment == carved_) carved_ = nullptr;
    cudaFree(segment.allocation);
    statistics_.held -= segment.bytes;
    return true;
  });
}

// The smallest block that fits, of those freed during the capture.
bool MemoryPool::take_captured(size_t bytes, Block& block) {
  auto best = captured_.end();
  for (auto it = captured_.begin(); it != captured_.end(); ++it) {
    const bool fits = it->opened >= bytes && it->bytes <= largest_acceptable(rounded(bytes));
    if (fits && (best == captured_.end() || it->bytes < best->bytes)) best = it;
  }
  if (best == captured_.end()) return false;
  block = *best;
  captured_.erase(best);
  return true;
}

bool MemoryPool::take_free(size_t bytes, cudaStream_t stream, Block& block, cudaStream_t& owner) {
  for (const cudaStream_t candidate : {stream, kSettled}) {
    for (auto entry = free_.lower_bound({candidate, bytes});
         entry != free_.end() && entry->first.first == candidate &&
         entry->first.second <= largest_acceptable(bytes);
         ++entry) {
      if (entry->second.empty()) continue;
      block = entry->second.back();
      entry->second.pop_back();
      owner = candidate;
      return true;
    }
  }
  return false;
}

// When the next segment is started, less than one small block is left of the previous one.
bool MemoryPool::take_new(size_t bytes, Block& block) {
  const bool small = bytes <= kSmallLimit;
  Segment* segment = small ? carved_ : nullptr;
  if (segment == nullptr || segment->bytes - segment->used < bytes) {
    if (capturing_) return false;
    segment = add_segment(small ? kSegmentBytes : bytes);
    if (segment == nullptr) return false;
    if (small) carved_ = segment;
  }
  block = {segment->base + segment->used, bytes, segment, 0, 0};
  segment->used += bytes;
  return true;
}

MemoryPool::Segment* MemoryPool::add_segment(size_t bytes) {
  void* allocation = nullptr;
  if (cudaMalloc(&allocation, bytes) != cudaSuccess) {
    cudaGetLastError();  // not sticky; the caller reports it
    return nullptr;
  }
  // In practice large allocations are 2 MiB-aligned, but only 256 bytes are promised.
  auto address = reinterpret_cast<uintptr_t>(allocation);
  if (address % kSegmentBytes != 0) {
    cudaFree(allocation);
    if (cudaMalloc(&allocation, bytes + kSegmentBytes) != cudaSuccess) {
      cudaGetLastError();
      return nullptr;
    }
    address = reinterpret_cast<uintptr_t>(allocation);
    address = (address + kSegmentBytes - 1) / kSegmentBytes * kSegmentBytes;
  }
  segments_.push_back({allocation, reinterpret_cast<unsigned char*>(address), bytes, 0, 0});
  statistics_.held += bytes;
  return &segments_.back();
}

}  // namespace remoe
