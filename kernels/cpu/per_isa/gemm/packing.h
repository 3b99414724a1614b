// Packs operands into the panels that the register tile reads.
#pragma once

#include <algorithm>

#include "per_isa/gemm/micro_gemm.h"
#include "runtime/gemm.h"

namespace remoe::REMOE_TARGET {

inline int64_t round_up(int64_t x, int64_t multiple) {
  return (x + multiple - 1) / multiple * multiple;
}

template <class T>
REMOE_INLINE const T* stored_row(const OperandOf<T>& x, int64_t i) {
  return x.data + (x.rows != nullptr ? x.rows[i] : i) * x.stride;
}

// Prefetch distance, in rows, of a copy of columns: the hardware does not prefetch short runs that
// are a row apart. A product of 256 x 768 x 6144 takes 15 % less time with it.
inline constexpr int64_t kRowsAhead = 16;

template <class T>
REMOE_INLINE void prefetch_run(const T* from, int64_t count) {
  constexpr int64_t kLine = 64 / sizeof(T);
  for (int64_t i = 0; i < count; i += kLine) __builtin_prefetch(from + i);
}

// Transposes kLanes vectors in place. Step s swaps, between vectors i and i + s, the lanes whose
// index has bit s set. After all steps, lane j of vector i holds what was lane i of vector j.
template <int S, class V, int... J>
REMOE_INLINE void transpose_step(V* v, std::integer_sequence<int, J...>) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (i & S) continue;
    const V a = v[i], b = v[i + S];
    v[i] = __builtin_shufflevector(a, b, ((J & S) ? kLanes + J - S : J)...);
    v[i + S] = __builtin_shufflevector(a, b, ((J & S) ? kLanes + J : J + S)...);
  }
}
template <class V>
REMOE_INLINE void transpose(V* v) {
  constexpr auto kAll = std::make_integer_sequence<int, kLanes>{};
  transpose_step<1>(v, kAll);
  transpose_step<2>(v, kAll);
  if constexpr (kLanes > 4) transpose_step<4>(v, kAll);
  if constexpr (kLanes > 8) transpose_step<8>(v, kAll);
}

// panel[p * kWidth + i] = lane p of row(i), for i < count and the lanes of k elements; 0 for i in
// [count, kWidth).
template <int kWidth, class T, class Row>
REMOE_INLINE void pack_across(int count, int64_t k, Lane<T>* panel, Row&& row) {
  static_assert(kWidth % kLanes == 0);
  static constexpr T kZeros[kPerVector<T>] = {};
  const T* source[kWidth];
  // Missing rows read the same zeros for every p.
  int64_t step[kWidth];
  for (int i = 0; i < kWidth; ++i) {
    source[i] = i < count ? row(i) : kZeros;
    step[i] = i < count ? 1 : 0;
  }
  for (int64_t p = 0; p < k; p += kPerVector<T>) {
    const int64_t length = std::min<int64_t>(kPerVector<T>, k - p);
    Lane<T>* to = panel + p / kPerLane<T> * kWidth;
    for (int group = 0; group < kWidth; group += kLanes) {
      LaneVec<T> v[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        const T* from = source[group + i] + p * step[group + i];
        v[i] = length == kPerVector<T> ? load_lanes(from) : load_lanes_partial(from, length);
      }
      transpose(v);
      for (int64_t q = 0; q < lanes_of<T>(length); ++q) store(to + q * kWidth + group, v[q]);
    }
  }
}

// The same for panel[p * kWidth + i] = lane p of column i of the rows row(0), row(1), ...
template <int kWidth, class T, class Row>
REMOE_INLINE void pack_along(int count, int64_t k, Lane<T>* panel, Row&& row) {
  static_assert(kWidth % kLanes == 0);
  if (count == kWidth) {
    for (int64_t p = 0; p < lanes_of<T>(k); ++p) {
      const LaneRow<T> from(row, p, k);
      if constexpr (kWidth == 2 * kLanes) {
        from.copy(panel + p * kWidth, 0);
      } else {
        for (int i = 0; i < kWidth; i += kLanes) store(panel + p * kWidth + i, from.load(i));
      }
    }
    return;
  }
  for (int64_t p = 0; p < lanes_of<T>(k); ++p) {
    const LaneRow<T> from(row, p, k);
    for (int i = 0; i < kWidth; i += kLanes) {
      const int left = std::clamp(count - i, 0, kLanes);
      store(panel + p * kWidth + i, left == kLanes ? from.load(i) : from.load_partial(i, left));
    }
  }
}

// pack_a() for a transposed A. All panels take a row together, for long runs per row.
template <class T>
REMOE_INLINE void pack_transposed_a(const OperandOf<T>& a, int64_t i0, int rows, int64_t p0,
                                    int64_t k, Lane<T>* packed) {
  const int panels = panels_of(rows);
  const auto row = [&](int64_t p) { return stored_row(a, p0 + p) + i0; };
  for (int64_t p = 0; p < lanes_of<T>(k); ++p) {
    const LaneRow<T> from(row, p, k);
    const int64_t ahead = p * kPerLane<T> + kRowsAhead;
    for (int64_t q = ahead; q < std::min(ahead + kPerLane<T>, k); ++q) {
      prefetch_run(row(q), rows);
    }
    for (int panel = 0; panel < panels; ++panel) {
      const int i = panel_begin(rows, panels, panel);
      const int count = panel_begin(rows, panels, panel + 1) - i;
      Lane<T>* to = packed + (panel * lanes_of<T>(k) + p) * kPanelStride;
      for (int c = 0; c < kPanelStride; c += kLanes) {
        const int left = std::clamp(count - c, 0, kLanes);
        store(to + c, left == kLanes ? from.load(i + c) : from.load_partial(i + c, left));
      }
    }
  }
}

// Copies rows [i0, i0 + rows) and columns [p0, p0 + k) of A to rows of `pitch` lanes, for products
// that read A by rows.
template <class T>
REMOE_INLINE void copy_rows(const OperandOf<T>& a, int64_t i0, int rows, int64_t p0, int64_t k,
                            Lane<T>* to, int64_t pitch) {
  for (int r = 0; r < rows; ++r, to += pitch) {
    const T* from = stored_row(a, i0 + r) + p0;
    int64_t p = 0;
    for (; p + kPerVector<T> <= k; p += kPerVector<T>) {
      store(to + p / kPerLane<T>, load_lanes(from + p));
    }
    if (p < k) store(to + p / kPerLane<T>, load_lanes_partial(from + p, k - p));
  }
}

// Packs rows [i0, i0 + rows) and columns [p0, p0 + k) of op(A) into the panels of panel_begin().
template <class T>
REMOE_INLINE void pack_a(const OperandOf<T>& a, int64_t i0, int rows, int64_t p0, int64_t k,
                         Lane<T>* packed) {
  const int panels = panels_of(rows);
  if (a.transposed) return pack_transposed_a(a, i0, rows, p0, k, packed);
  for (int panel = 0; panel < panels; ++panel, packed += lanes_of<T>(k) * kPanelStride) {
    const int i = panel_begin(rows, panels, panel);
    const int count = panel_begin(rows, panels, panel + 1) - i;
    pack_across<kPanelStride, T>(count, k, packed,
                                 [&](int64_t r) { return stored_row(a, i0 + i + r) + p0; });
  }
}

// Packs rows [p0, p0 + k) and columns [j0, j0 + columns) of op(B) into panels of kTileColumns
// columns, padding the last with 0.
template <class T>
REMOE_INLINE void pack_b(const OperandOf<T>& b, int64_t p0, int64_t k, int64_t j0, int columns,
                         Lane<T>* packed) {
  const int64_t lanes = lanes_of<T>(k);
  int j = 0;
  if (!b.transposed) {
    // Several panels at a time, for longer runs per row, which the hardware prefetches.
    constexpr int kTogether = 8;
    for (; j + kTogether * kTileColumns <= columns; j += kTogether * kTileColumns) {
      const auto row = [&](int64_t p) { return stored_row(b, p0 + p) + j0 + j; };
      for (int64_t p = 0; p < lanes; ++p) {
        const LaneRow<T> from(row, p, k);
        const int64_t ahead = p * kPerLane<T> + kRowsAhead;
        for (int64_t q = ahead; q < std::min(ahead + kPerLane<T>, k); ++q) {
          prefetch_run(row(q), kTogether * kTileColumns);
        }
        for (int panel = 0; panel < kTogether; ++panel) {
          Lane<T>* to = packed + (panel * lanes + p) * kTileColumns;
          from.copy(to, panel * kTileColumns);
        }
      }
      packed += kTogether * lanes * kTileColumns;
    }
  }
  for (; j < columns; j += kTileColumns, packed += lanes * kTileColumns) {
    const int count = std::min(kTileColumns, columns - j);
    if (b.transposed) {
      pack_across<kTileColumns, T>(count, k, packed,
                                   [&](int64_t c) { return stored_row(b, j0 + j + c) + p0; });
    } else {
      pack_along<kTileColumns, T>(count, k, packed,
                                  [&](int64_t p) { return stored_row(b, p0 + p) + j0 + j; });
    }
  }
}

}  // namespace remoe::REMOE_TARGET
