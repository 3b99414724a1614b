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

// The same for rows [first, first + kPerLane) that are among k.
template <class T, class Row>
REMOE_INLINE void prefetch_rows(Row&& row, int64_t first, int64_t k, int64_t columns) {
  for (int64_t i = first; i < std::min(first + kPerLane<T>, k); ++i) prefetch_run(row(i), columns);
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

// kPanels panels at once from rows that run across the inner dimension: panel[p * kWidth + i] =
// lane p of column first(panel) + i, for the lanes of k rows row(0), row(1), ... Of the last panel
// there are `left` columns: others are 0.
template <int kPanels, int kWidth, class T, class Row, class First>
[[gnu::noinline]] void pack_panels_along(int64_t k, int left, Lane<T>* packed, const Row& row,
                                         const First& first) {
  int64_t column[kPanels];
  for (int i = 0; i < kPanels; ++i) column[i] = first(i);
  const int64_t panel = lanes_of<T>(k) * kWidth;
  const int64_t run = column[kPanels - 1] + left - column[0];
  for_each_lane_row<T>(k, row, [&](int64_t p, const auto& from) {
    prefetch_rows<T>([&](int64_t i) { return row(i) + column[0]; }, p * kPerLane<T> + kRowsAhead, k,
                     run);
    Lane<T>* to = packed + p * kWidth;
#pragma GCC unroll 8
    for (int i = 0; i < kPanels; ++i, to += panel) {
#pragma GCC unroll 8
      for (int c = 0; c < kWidth; c += kLanes) {
        if (i + 1 < kPanels || left >= kWidth) {
          store(to + c, from.load(column[i] + c));
        } else {
          const int n = std::clamp(left - c, 0, kLanes);
          store(to + c,
                n == kLanes ? from.load(column[i] + c) : from.load_partial(column[i] + c, n));
        }
      }
    }
  });
}

// All panels of `columns` columns; panel i begins at column begin(i). Several take a row together,
// for longer runs per row, which the hardware prefetches. What lies between a panel's columns and
// its width may be those of the next.
template <int kWidth, class T, class Row, class Begin>
REMOE_INLINE void pack_along(int panels, int columns, int64_t k, Lane<T>* packed, Row&& row,
                             Begin&& begin) {
  static_assert(kWidth % kLanes == 0);
  constexpr int kTogether = 8;
  const int64_t panel = lanes_of<T>(k) * kWidth;
  int i = 0;
  for (; i + kTogether <= panels; i += kTogether, packed += kTogether * panel) {
    pack_panels_along<kTogether, kWidth, T>(k, columns - begin(i + kTogether - 1), packed, row,
                                            [&](int q) { return begin(i + q); });
  }
  for (; i < panels; ++i, packed += panel) {
    pack_panels_along<1, kWidth, T>(k, columns - begin(i), packed, row,
                                    [&](int q) { return begin(i + q); });
  }
}

// Packs rows [i0, i0 + rows) and columns [p0, p0 + k) of op(A) into the panels of panel_begin().
template <class T>
REMOE_INLINE void pack_a(const OperandOf<T>& a, int64_t i0, int rows, int64_t p0, int64_t k,
                         Lane<T>* packed) {
  const int panels = panels_of(rows);
  const auto begin = [&](int panel) { return panel_begin(rows, panels, panel); };
  if (a.transposed) {
    return pack_along<kPanelStride, T>(
        panels, rows, k, packed, [&](int64_t p) { return stored_row(a, p0 + p) + i0; }, begin);
  }
  for (int panel = 0; panel < panels; ++panel, packed += lanes_of<T>(k) * kPanelStride) {
    const int i = begin(panel), count = begin(panel + 1) - i;
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
  if (!b.transposed) {
    const auto row = [&](int64_t p) { return stored_row(b, p0 + p) + j0; };
    return pack_along<kTileColumns, T>((columns + kTileColumns - 1) / kTileColumns, columns, k,
                                       packed, row, [](int panel) { return panel * kTileColumns; });
  }
  for (int j = 0; j < columns; j += kTileColumns, packed += lanes * kTileColumns) {
    pack_across<kTileColumns, T>(std::min(kTileColumns, columns - j), k, packed,
                                 [&](int64_t c) { return stored_row(b, j0 + j + c) + p0; });
  }
}

}  // namespace remoe::REMOE_TARGET
