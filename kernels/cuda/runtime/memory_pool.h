// A caching pool over cudaMalloc, which costs hundreds of microseconds, and whose cudaFree waits
// for the whole device. A training step can afford neither.
//
// Blocks below 1 MiB are rounded to powers of two and carved from 2 MiB segments; larger ones are
// rounded to 2 MiB and get a segment of their own. Work in flight on its stream may still read or
// write a freed block, so the block is reused only on that stream until the host has waited.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <unordered_map>
#include <vector>

#include "device/gpu.h"

namespace remoe {

class MemoryPool {
 public:
  struct Statistics {
    uint64_t in_use = 0;
    uint64_t peak = 0;
    uint64_t held = 0;
    uint64_t blocks = 0;
  };

  struct Segment {
    void* allocation;  // from cudaMalloc
    unsigned char* base;
    size_t bytes;
    size_t used;  // carved so far
    size_t live_blocks;
  };
  struct Block {
    unsigned char* address;
    size_t bytes;
    Segment* segment;
    size_t requested;
    size_t opened;  // what the emulator lets kernels touch
  };

  MemoryPool() = default;
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  // At least 256-byte aligned; 2 MiB-aligned from 2 MiB on. Throws Error if memory is exhausted.
  void* allocate(size_t bytes, cudaStream_t stream);

  // `address` is a live block, `stream` the last one to use it.
  void release(void* address, cudaStream_t stream);

  bool is_live(const void* address) const { return live_.count(address) != 0; }

  // The bytes that were asked for with the live block at `address`; 0 if there is none.
  size_t requested(const void* address) const {
    const auto found = live_.find(address);
    return found == live_.end() ? 0 : found->second.requested;
  }

  // To be called when the host has waited for `stream`: blocks freed on it become free for every
  // stream.
  void settle(cudaStream_t stream);

  // To be called when the host has waited for the device: returns segments without live blocks to
  // it.
  void trim();

  // From here to end_capture(), blocks come from what is cached, since a capture must not wait for
  // cudaMalloc, and freed blocks serve the capture alone.
  void begin_capture() { capturing_ = true; }
  // Gives up the blocks that were freed meanwhile. They are the graph's: its work uses them
  // whenever it runs.
  std::vector<Block> end_capture();
  // Takes back a graph's blocks; work of the graph on `stream` may be pending.
  void release_captured(const std::vector<Block>& blocks, cudaStream_t stream);

  // From here to end_measuring(), blocks are counted but have no memory: no kernel may run.
  void begin_measuring();
  // The most bytes of such blocks at a time; all have been released.
  uint64_t end_measuring();
  bool is_measuring() const { return measuring_; }

  void reset_peak() { statistics_.peak = statistics_.in_use; }
  const Statistics& statistics() const { return statistics_; }

 private:
  // Free blocks by the stream whose work they must follow (kSettled: none), then by size.
  using FreeKey = std::pair<cudaStream_t, size_t>;

  void* add_live(Block& block, size_t bytes);
  bool take_captured(size_t bytes, Block& block);
  // Sets `owner` to the stream whose work the block must follow.
  bool take_free(size_t bytes, cudaStream_t stream, Block& block, cudaStream_t& owner);
  bool take_new(size_t bytes, Block& block);
  Segment* add_segment(size_t bytes);

  std::list<Segment> segments_;
  Segment* carved_ = nullptr;  // where small blocks come from
  std::map<FreeKey, std::vector<Block>> free_;
  std::unordered_map<const void*, Block> live_;
  bool capturing_ = false;
  std::vector<Block> captured_;  // freed during the capture
  bool measuring_ = false;
  unsigned char* measured_ = nullptr;  // the next address
  Statistics unmeasured_;              // kept meanwhile
  Statistics statistics_;
};

}  // namespace remoe
