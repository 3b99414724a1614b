// Walks through strided memory row by row.
#pragma once

#include "runtime/layout.h"

namespace remoe::REMOE_TARGET {

// Calls body(first element of the target, offset of each operand, count) for the runs along the
// inner axis that cover elements [begin, end) of the dense target.
template <class Body>
inline __attribute__((always_inline)) void walk_runs(const StridedLayout& layout, int64_t begin,
                                                     int64_t end, Body&& body) {
  const int inner = layout.axes - 1;
  int64_t index[kMostAxes];
  int64_t rest = begin;
  for (int i = inner; i >= 0; --i) {
    index[i] = rest % layout.length[i];
    rest /= layout.length[i];
  }
  int64_t offset[kMostOperands] = {};
  for (int i = 0; i <= inner; ++i) {
    for (int x = 0; x < kMostOperands; ++x) offset[x] += index[i] * layout.stride[x][i];
  }
  for (int64_t at = begin; at < end;) {
    const int64_t left = layout.length[inner] - index[inner];
    const int64_t run = left < end - at ? left : end - at;
    body(at, offset, run);
    at += run;
    if (at >= end) return;
    // The run reached the end of the inner axis: rewind it and advance the next axis.
    for (int x = 0; x < kMostOperands; ++x) offset[x] -= index[inner] * layout.stride[x][inner];
    index[inner] = 0;
    for (int i = inner - 1; i >= 0; --i) {
      ++index[i];
      for (int x = 0; x < kMostOperands; ++x) offset[x] += layout.stride[x][i];
      if (index[i] < layout.length[i]) break;
      for (int x = 0; x < kMostOperands; ++x) {
        offset[x] -= layout.length[i] * layout.stride[x][i];
      }
      index[i] = 0;
    }
  }
}

}  // namespace remoe::REMOE_TARGET
