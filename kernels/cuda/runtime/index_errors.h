// Errors in the data of enqueued work, such as a token outside the vocabulary.
//
// The host must not wait for a kernel to say that its data is fine. A kernel that meets an index
// out of range leaves the memory it names alone and writes a word of page-locked memory instead;
// the next call that waits anyway reads the word and fails with the message of the call that met
// the index. Correct data costs neither a launch nor a copy.
//
// In an entry point:
//
//   [[noreturn]] void fail_at_token(int32_t token, int32_t position, int32_t vocabulary) {
//     fail(REMOE_OUT_OF_RANGE, "token %d at position %d is outside ...", token, position, ...);
//   }
//   const IndexCheck check = op.index_check(fail_at_token, vocabulary);
//   op.launch(kernel, ..., tokens, check, ...);
//
// In the kernel, from one or more threads, in any order:
//
//   if (tokens[i] < 0 || tokens[i] >= vocabulary) check.report(i, tokens[i]);
#pragma once

#include <cstdint>
#include <vector>

#include "device/gpu.h"

namespace remoe {

// A kernel's way to report an index.
struct IndexCheck {
  unsigned long long* first;  // the lowest report: its position, then the bits of its value

  __device__ __forceinline__ void report(int32_t position, int32_t value) const {
    atomicMin(first,
              static_cast<unsigned long long>(position) << 32 | static_cast<uint32_t>(value));
  }
};

// Throws the Error for an index: its value, its position, and the bound it should be below.
using FailAtIndex = void (*)(int32_t value, int32_t position, int32_t bound);

// The reports of a context. Of several, that at the lowest position of the operation that was
// checked first is thrown, so the message does not depend on the order of the threads.
class IndexErrors {
 public:
  IndexErrors() = default;
  ~IndexErrors();
  IndexErrors(const IndexErrors&) = delete;
  IndexErrors& operator=(const IndexErrors&) = delete;

  bool is_full() const;
  // The check of an operation; the same one for every call with the same bound.
  IndexCheck check(const char* operation, FailAtIndex fail_at, int32_t bound);
  // Throws if an index was reported, and forgets all reports. Call after waiting.
  void throw_first();
  // Forgets all operations but those kept. No work of others that may report may be pending.
  void clear();
  // Keeps those known so far: a captured graph may report at any launch.
  void keep() { kept_ = checked_.size(); }

 private:
  struct Checked {
    const char* operation;
    FailAtIndex fail_at;
    int32_t bound;
  };

  std::vector<Checked> checked_;
  size_t kept_ = 0;
  unsigned long long* words_ = nullptr;  // page-locked; one of each operation
};

}  // namespace remoe
