// The emulated device: its streams and its failure.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime_api.h"

// Captured work, in order.
struct EmulatedGraph {
  std::vector<std::function<bool()>> work;
  bool is_invalid = false;  // a call that cannot be captured was made
};

// Pending work of a stream. An entry that returns false is waiting for an event and stays.
struct EmulatedStream {
  std::deque<std::function<bool()>> queue;
  std::unique_ptr<EmulatedGraph> capture;  // where work goes instead, if set
};

namespace remoe::emulator {

// REMOE_EMULATED_CAPABILITY, else 80.
int capability_of_environment();

struct Device {
  // Calls may come from several host threads.
  std::unique_lock<std::recursive_mutex> lock() {
    return std::unique_lock<std::recursive_mutex>(mutex);
  }

  // Enqueues work on a stream; unless deferred, it is done on return. A capture records it instead.
  cudaError_t enqueue(cudaStream_t stream, std::function<bool()> work);
  // The same, whether or not the stream captures.
  cudaError_t enqueue_uncaptured(cudaStream_t stream, std::function<bool()> work);
  // Refuses, and spoils the capture, if the stream is capturing.
  cudaError_t refuse_capture(cudaStream_t stream);

  // Runs queued work, from a random stream at a time, until `done` holds.
  cudaError_t drain(const std::function<bool()>& done);
  cudaError_t drain_stream(cudaStream_t stream);

  // A fault in work that ran: every later call returns it, as on a GPU.
  void fail(cudaError_t error, const std::string& text);

  // Rejects a call that leaves the device unchanged.
  cudaError_t refuse(cudaError_t error) { return last_error = error; }

  void reset();

  std::recursive_mutex mutex;
  std::vector<EmulatedStream*> streams;
  std::unordered_map<void*, size_t> pinned;
  std::mt19937_64 random{1};
  bool deferred = false;
  int capability = capability_of_environment();  // it poses as one of this: 80 or 90
  int multiprocessors = 3;
  cudaError_t last_error = cudaSuccess;
  cudaError_t failure = cudaSuccess;
  std::string failure_text;
};

// The process's only device, present whether or not anyone has opened it, like a machine's GPUs.
Device& device();

}  // namespace remoe::emulator
