// Packs operands into the panels that the register tile reads.
#pragma once

#include <algorithm>

#include "per_isa/gemm/micro_gemm.h"
#include "runtime/gemm.h"

namespace remoe::REMOE_TARGET {

REMOE_INLINE const float* stored_row(const Operand& x, int64_t i) {
  return x.data + (x.rows != nullptr ? x.rows[i] : i) * x.stride;
}

// Prefetch distance, in rows, of a copy of columns: the hardware does not prefetch short runs that
// are a row apart. A product of 256 x 768 x 6144 takes 15 % less time with it.
inline constexpr int64_t kRowsAhead = 16;

REMOE_INLINE void prefetch_run(const float* from, int64_t count) {
  for (int64_t i = 0; i < count; i += 16) __builtin_prefetch(from + i);
}

// Transposes kLanes vectors in place. Step s swaps, between vectors i and i + s, the lanes whose
// index has bit s set. After all steps, lane j of vector i holds what was lane i of vector j.
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

// panel[p * kWidth + i] = row(i)[p] for i < count and p < k; 0 for i in [count, kWidth).
template <int kWidth, class Row>
REMOE_INLINE void pack_across(int count, int64_t k, float* panel, Row&& row) {
  static_assert(kWidth % kLanes == 0);
  static constexpr float kZeros[kLanes] = {};
  const float* source[kWidth];
  // Missing rows read the same zeros for every p.
  int64_t step[kWidth];
  for (int i = 0; i < kWidth; ++i) {
    source[i] = i < count ? row(i) : kZeros;
    step[i] = i < count ? 1 : 0;
  }
  for (int64_t p = 0; p < k; p += kLanes) {
    const int64_t length = std::min<int64_t>(kLanes, k - p);
    for (int group = 0; group < kWidth; group += kLanes) {
      Vec v[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        const float* from = source[group + i] + p * step[group + i];
        v[i] = length == kLanes ? load(from) : load_partial(from, length);
      }
      transpose(v);
      for (int64_t q = 0; q < length; ++q) store(panel + (p + q) * kWidth + group, v[q]);
    }
  }
}

// The same for panel[p * kWidth + i] = row(p)[i].
template <int kWidth, class Row>
REMOE_INLINE void pack_along(int count, int64_t k, float* panel, Row&& row) {
  static_assert(kWidth % kLanes == 0);
  if (count == kWidth) {
    for (int64_t p = 0; p < k; ++p) {
      const float* from = row(p);
      for (int i = 0; i < kWidth; i += kLanes) store(panel + p * kWidth + i, load(from + i));
    }
    return;
  }
  for (int64_t p = 0; p < k; ++p) {
    const float* from = row(p);
    for (int i = 0; i < kWidth; i += kLanes) {
      const int left = std::clamp(count - i, 0, kLanes);
      store(panel + p * kWidth + i, left == kLanes ? load(from + i) : load_partial(from + i, left));
    }
  }
}

// Packs rows [i0, i0 + rows) and columns [p0, p0 + k) of op(A) into the panels of panel_begin().
REMOE_INLINE void pack_a(const Operand& a, int64_t i0, int rows, int64_t p0, int64_t k,
                         float* packed) {
  const int panels = panels_of(rows);
  for (int panel = 0; panel < panels; ++panel, packed += k * kPanelStride) {
    const int i = panel_begin(rows, panels, panel);
    const int count = panel_begin(rows, panels, panel + 1) - i;
    if (a.transposed) {
      pack_along<kPanelStride>(count, k, packed,
                               [&](int64_t p) { return stored_row(a, p0 + p) + i0 + i; });
    } else {
      pack_across<kPanelStride>(count, k, packed,
                                [&](int64_t r) { return stored_row(a, i0 + i + r) + p0; });
    }
  }
}

// Packs rows [p0, p0 + k) and columns [j0, j0 + columns) of op(B) into panels of kTileColumns
// columns, padding the last with 0.
REMOE_INLINE void pack_b(const Operand& b, int64_t p0, int64_t k, int64_t j0, int columns,
                         float* packed) {
  int j = 0;
  if (!b.transposed) {
    // Several panels at a time, for longer runs per row, which the hardware prefetches.
    constexpr int kTogether = 8;
    for (; j + kTogether * kTileColumns <= columns; j += kTogether * kTileColumns) {
      for (int64_t p = 0; p < k; ++p) {
        const float* from = stored_row(b, p0 + p) + j0 + j;
        if (p + kRowsAhead < k) {
          prefetch_run(stored_row(b, p0 + p + kRowsAhead) + j0 + j, kTogether * kTileColumns);
        }
        for (int panel = 0; panel < kTogether; ++panel) {
          float* to = packed + (panel * k + p) * kTileColumns;
          for (int i = 0; i < kTileColumns; i += kLanes) {
            store(to + i, load(from + panel * kTileColumns + i));
          }
        }
      }
      packed += kTogether * k * kTileColumns;
    }
  }
  for (; j < columns; j += kTileColumns, packed += k * kTileColumns) {
    const int count = std::min(kTileColumns, columns - j);
    if (b.transposed) {
      pack_across<kTileColumns>(count, k, packed,
                                [&](int64_t c) { return stored_row(b, j0 + j + c) + p0; });
    } else {
      pack_along<kTileColumns>(count, k, packed,
                               [&](int64_t p) { return stored_row(b, p0 + p) + j0 + j; });
    }
  }
}

}  // namespace remoe::REMOE_TARGET
