// Copies of operands into the panels that the register tile reads.
#pragma once

#include <algorithm>

#include "gemm.h"
#include "micro_gemm.h"

namespace remoe::REMOE_TARGET {

REMOE_INLINE const float* stored_row(const Operand& x, int64_t i) {
  return x.data + (x.rows != nullptr ? x.rows[i] : i) * x.stride;
}

// Transposes kLanes vectors in place. Step s swaps, between vectors i and i + s, the lanes whose
// number has bit s: after all steps lane j of vector i is what was lane i of vector j.
template <int S, int... J>
REMOE_INLINE void transpose_step(Vec* v, std::integer_sequence<int, J...>) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (i & S) continue;
    const Vec a = v[i], b = v[i + S];
    v[i] = __builtin_shufflevector(a, b, ((J & S) ? kLanes + J - S : J)...);
    v[i + S] = __builtin_shufflevector(a, b, ((J & S) ? kLanes + J : J + S)...);
  }
}
REMOE_INLINE void transpose(Vec* v) {
  constexpr auto kAll = std::make_integer_sequence<int, kLanes>{};
  transpose_step<1>(v, kAll);
  transpose_step<2>(v, kAll);
  if constexpr (kLanes > 4) transpose_step<4>(v, kAll);
  if constexpr (kLanes > 8) transpose_step<8>(v, kAll);
}

// panel[p * width + i] = row(i)[p] for i < count and p < k; 0 for i in [count, width). Writes up to
// kLanes floats past the panel, so that whole vectors can be stored: the next panel, or room
// left at the end of the buffer, takes them.
template <int kMaxWidth, class Row>
REMOE_INLINE void pack_across(int width, int count, int64_t k, float* panel, Row&& row) {
  constexpr int kGroups = (kMaxWidth + kLanes - 1) / kLanes;
  static const float kZeros[kLanes] = {};
  const float* source[kGroups * kLanes];
  for (int i = 0; i < kGroups * kLanes; ++i) source[i] = i < count ? row(i) : nullptr;
  const int groups = (width + kLanes - 1) / kLanes;
  for (int64_t p = 0; p < k; p += kLanes) {
    const int64_t length = std::min<int64_t>(kLanes, k - p);
    Vec v[kGroups][kLanes];
    for (int g = 0; g < groups; ++g) {
      for (int i = 0; i < kLanes; ++i) {
        const float* from = source[g * kLanes + i];
        if (from == nullptr) {
          v[g][i] = load(kZeros);
        } else {
          v[g][i] = length == kLanes ? load(from + p) : load_partial(from + p, length);
        }
      }
      transpose(v[g]);
    }
    // Ascending, since each store may spill into what the next one writes.
    for (int64_t q = 0; q < length; ++q) {
      for (int g = 0; g < groups; ++g) store(panel + (p + q) * width + g * kLanes, v[g][q]);
    }
  }
}

// panel[p * width + i] = row(p)[i] for i < count, 0 for i in [count, width).
template <class Row>
REMOE_INLINE void pack_along(int width, int count, int64_t k, float* panel, Row&& row) {
  const int whole = count / kLanes * kLanes;
  for (int64_t p = 0; p < k; ++p, panel += width) {
    const float* from = row(p);
    for (int i = 0; i < whole; i += kLanes) store(panel + i, load(from + i));
    if (whole < count) store_partial(panel + whole, load_partial(from + whole, count - whole),
                                     count - whole);
    for (int i = count; i < width; ++i) panel[i] = 0;
  }
}

// Rows [i0, i0 + rows) and columns [p0, p0 + k) of op(A), in panels of `height` rows.
REMOE_INLINE void pack_a(const Operand& a, int64_t i0, int rows, int64_t p0, int64_t k, int height,
                         float* panels) {
  for (int i = 0; i < rows; i += height) {
    const int count = std::min(height, rows - i);
    if (a.transposed) {
      pack_along(count, count, k, panels, [&](int64_t p) {
        return stored_row(a, p0 + p) + i0 + i;
      });
    } else {
      pack_across<kTileRows>(count, count, k, panels, [&](int64_t r) {
        return stored_row(a, i0 + i + r) + p0;
      });
    }
    panels += k * count;
  }
}

// Rows [p0, p0 + k) and columns [j0, j0 + columns) of op(B), in panels of kTileColumns columns, the
// last filled up with 0.
REMOE_INLINE void pack_b(const Operand& b, int64_t p0, int64_t k, int64_t j0, int columns,
                         float* panels) {
  for (int j = 0; j < columns; j += kTileColumns) {
    const int count = std::min(kTileColumns, columns - j);
    if (b.transposed) {
      pack_across<kTileColumns>(kTileColumns, count, k, panels, [&](int64_t c) {
        return stored_row(b, j0 + j + c) + p0;
      });
    } else {
      pack_along(kTileColumns, count, k, panels, [&](int64_t p) {
        return stored_row(b, p0 + p) + j0 + j;
      });
    }
    panels += k * kTileColumns;
  }
}

}  // namespace remoe::REMOE_TARGET
