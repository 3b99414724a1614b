// The optimizer's table of tensors, split into chunks that blocks share.
//
// The table lies on the device and the host does not know the sizes in it. One block therefore
// checks it and counts the chunks of the tensors before each one; the blocks of the work then find
// the tensor of a chunk by binary search.
#pragma once

#include "device/bf16.h"
#include "device/block_scan.h"
#include "runtime/operation.h"

namespace remoe {

// A row of the table, as laid out in remoe.h.
struct TensorRow {
  float* master;
  const void* gradient;
  float* moment_1;
  float* moment_2;
  Bf16* copy;  // or null
  uint64_t elements;
  uint64_t flags;
  uint64_t unused;

  __device__ __forceinline__ bool decays() const { return (flags & 1) != 0; }
  __device__ __forceinline__ int gradient_dtype() const {
    return static_cast<int>(flags >> 8 & 0xff);
  }
};
static_assert(sizeof(TensorRow) == REMOE_TENSOR_WORDS * sizeof(uint64_t));

// What is wrong with a row, where it is not the dtype of its gradient.
enum : int32_t { kLacksAddress = -1, kTooLarge = -2, kBadCorrections = -3 };

[[noreturn]] inline void fail_at_tensor(int32_t problem, int32_t tensor, int32_t) {
  if (problem == kBadCorrections) {
    fail(REMOE_INVALID_ARGUMENT, "the bias corrections of the state must be above 0");
  }
  if (problem == kLacksAddress) {
    fail(REMOE_INVALID_ARGUMENT, "tensor %d of the table lacks an address", tensor);
  }
  if (problem == kTooLarge) {
    fail(REMOE_INVALID_ARGUMENT, "tensor %d of the table has more elements than any memory holds",
         tensor);
  }
  fail(REMOE_UNSUPPORTED,
       "tensor %d of the table has a gradient of dtype %d, which is neither fp32 nor bf16", tensor,
       problem);
}

struct TensorSchedule {
  const TensorRow* table;
  uint32_t* first_chunk;  // [count + 1]: of each tensor, then the total
  int count;
};

constexpr int kScheduleThreads = 256;

struct ScheduleShared {
  uint32_t warp_totals[kScheduleThreads / kWarp];
};

// The chunks of a tensor. One with an error has none.
template <bool kMoments>
__device__ __forceinline__ uint32_t chunks_of(const TensorRow& row, int tensor, int chunk_elements,
                                              const IndexCheck& check) {
  constexpr uint64_t kMostElements = uint64_t{1} << 42;
  const bool complete =
      row.gradient != nullptr &&
      (!kMoments || (row.master != nullptr && row.moment_1 != nullptr && row.moment_2 != nullptr));
  if (!complete) {
    check.report(tensor, kLacksAddress);
    return 0;
  }
  const int dtype = row.gradient_dtype();
  if (dtype != REMOE_F32 && dtype != REMOE_BF16) {
    check.report(tensor, dtype);
    return 0;
  }
  if (row.elements > kMostElements) {
    check.report(tensor, kTooLarge);
    return 0;
  }
  return static_cast<uint32_t>((row.elements + chunk_elements - 1) / chunk_elements);
}

// Fills the schedule. All threads of a block of kScheduleThreads call it.
template <bool kMoments>
__device__ __forceinline__ void fill_schedule(ScheduleShared& shared, const TensorSchedule& s,
                                              int chunk_elements, const IndexCheck& check) {
  uint32_t carry = 0;
  for (int first = 0; first < s.count; first += kScheduleThreads) {
    const int i = first + static_cast<int>(threadIdx.x);
    const uint32_t chunks =
        i < s.count ? chunks_of<kMoments>(s.table[i], i, chunk_elements, check) : 0;
    uint32_t total;
    const uint32_t before =
        block_exclusive_scan<kScheduleThreads>(chunks, shared.warp_totals, total);
    if (i < s.count) s.first_chunk[i] = carry + before;
    carry += total;
    // The next round writes warp_totals, which slower warps may still be reading.
    __syncthreads();
  }
  if (threadIdx.x == 0) s.first_chunk[s.count] = carry;
}

// The tensor of a chunk: the last one that starts at or before it. Those without chunks start where
// the next one does.
__device__ __forceinline__ int tensor_of(const TensorSchedule& s, uint32_t chunk) {
  int low = 0;
  int high = s.count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (s.first_chunk[middle] <= chunk) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

// Elements [begin, end) of a chunk's tensor.
struct TensorSpan {
  TensorRow row;
  size_t begin;
  size_t end;

  __device__ __forceinline__ TensorSpan(const TensorSchedule& s, uint32_t chunk,
                                        int chunk_elements) {
    const int tensor = tensor_of(s, chunk);
    row = s.table[tensor];
    begin = static_cast<size_t>(chunk - s.first_chunk[tensor]) * chunk_elements;
    end = row.elements < begin + chunk_elements ? row.elements : begin + chunk_elements;
  }
};

}  // namespace remoe
