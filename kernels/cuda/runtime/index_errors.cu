#include "runtime/errors.h"
#include "runtime/index_errors.h"

namespace remoe {
namespace {

constexpr size_t kWords = 64;
// Above every report, whose position is not negative.
constexpr unsigned long long kNone = ~0ull;

}  // namespace

IndexErrors::~IndexErrors() {
  if (words_ != nullptr) cudaFreeHost(words_);
}

bool IndexErrors::is_full() const { return checked_.size() == kWords; }

IndexCheck IndexErrors::check(const char* operation, FailAtIndex fail_at, int32_t bound) {
  for (size_t i = 0; i < checked_.size(); i++) {
    const Checked& known = checked_[i];
    if (known.fail_at == fail_at && known.bound == bound && known.operation == operation) {
      return {words_ + i};
    }
  }
  if (words_ == nullptr) {
    void* words = nullptr;
    if (cudaMallocHost(&words, kWords * sizeof *words_) != cudaSuccess) {
      cudaGetLastError();
      fail(REMOE_OUT_OF_MEMORY, "no page-locked memory for errors in the data");
    }
    words_ = static_cast<unsigned long long*>(words);
  }
  words_[checked_.size()] = kNone;
  checked_.push_back({operation, fail_at, bound});
  return {words_ + checked_.size() - 1};
}

void IndexErrors::throw_first() {
  // Kernels of other streams may still be writing.
  const volatile unsigned long long* words = words_;
  for (size_t i = 0; i < checked_.size(); i++) {
    const unsigned long long word = words[i];
    if (word == kNone) continue;
    for (size_t j = 0; j < checked_.size(); j++) words_[j] = kNone;
    const Checked& met = checked_[i];
    try {
      met.fail_at(static_cast<int32_t>(word & 0xffffffffu), static_cast<int32_t>(word >> 32),
                  met.bound);
    } catch (Error& error) {
      error.operation = met.operation;
      throw;
    }
  }
}

void IndexErrors::clear() { checked_.resize(kept_); }

}  // namespace remoe
