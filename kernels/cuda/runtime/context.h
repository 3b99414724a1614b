// The environment of every function of the library: an open device, its streams and its memory.
//
// A context serves one chain of calls: two calls on the same context never overlap.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "device/gpu.h"
#include "runtime/errors.h"
#include "runtime/gemm_path.h"
#include "runtime/index_errors.h"
#include "runtime/memory_pool.h"
#include "runtime/staging.h"

namespace remoe {

struct Graph {
  cudaStream_t stream;  // of the capture and of every launch
  std::vector<MemoryPool::Block> blocks;
};

struct Context {
  // Throws Error (REMOE_NO_DEVICE) if there is no such device or no driver.
  explicit Context(int device_ordinal);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // Makes the context's device current on the calling thread.
  void enter() noexcept { cudaSetDevice(ordinal); }

  // Throws Error for anything but cudaSuccess. Errors of work enqueued earlier surface in whichever
  // call comes next, so the message names the operations they may have come from.
  void check(cudaError_t error, const char* what);

  // Throws during a capture, saying why the call cannot be part of it.
  void refuse_capture(const char* why) const;

  // Records that `operation` put work on the current stream.
  void note_enqueued(const char* operation);

  // Blocks the host until all work on `on` is done; throws if any of it failed, or met an index out
  // of range.
  void wait(cudaStream_t on);
  void wait_for_all();
  // The same, but leaves indices out of range to the next wait.
  void drain(cudaStream_t on);

  int ordinal;
  int multiprocessors = 1;
  bool is_hopper = false;  // runs the kernels that are compiled for sm_90a alone
  GemmPath gemm_path = GemmPath::kMma;
  cudaStream_t first_stream = nullptr;
  cudaStream_t stream = nullptr;  // where later calls enqueue
  std::string message;            // of the last failure, until it is read
  std::unordered_set<cudaStream_t> streams;
  std::unordered_map<cudaEvent_t, bool> events;  // value: whether recorded
  std::unordered_map<void*, size_t> pinned;      // page-locked host blocks, by address
  bool capturing = false;                        // the current stream's work becomes a graph
  std::string failed_in_capture;                 // the first call that did
  std::unordered_map<cudaGraphExec_t, Graph> graphs;
  MemoryPool pool;
  StagingRing staging;
  IndexErrors index_errors;

 private:
  struct Enqueued {
    cudaStream_t stream;
    const char* operation;
  };
  std::string suspects() const;

  std::vector<Enqueued> enqueued_;  // since the host last waited, oldest first
};

// The open context of a handle, or nullptr.
Context* find_context(uint64_t handle) noexcept;

// Assigns a handle to an open context. Throws if too many are open.
uint64_t register_context(Context* context);

// Removes a context from the table and hands it to the caller to close; nullptr if the handle names
// none.
Context* take_context(uint64_t handle) noexcept;

}  // namespace remoe
