// Weights packed into panels of kPanel adjacent columns per index of the inner dimension, which a
// block's product reads sequentially.
#pragma once

#include <algorithm>
#include <cstdint>

#include "per_isa/gemm/cache_tile.h"
#include "per_isa/gemm/packing.h"
#include "per_isa/simd/vector_math.h"

namespace remoe::REMOE_TARGET {

// Floats from one panel of k rows to the next: one cache line more than the panel takes, because
// the rows of a matrix are scattered over all panels, which should not map to the same cache set.
inline int64_t panel_floats(int64_t k) { return k * kPanel + 16; }

inline int64_t panels_floats(int64_t k, int64_t columns) {
  return round_up(columns, kPanel) / kPanel * panel_floats(k);
}

// Copies row p of `source` [k, columns], vector by vector, to target[p * kPanel + place(v)] for the
// v-th vector, padding the last with 0.
template <class Place>
void pack_vectors(float* target, const float* source, int64_t stride, int64_t k, int64_t columns,
                  Place&& place) {
  const int64_t whole = columns / kLanes, left = columns % kLanes;
  for (int64_t p = 0; p < k; ++p) {
    const float* from = source + p * stride;
    float* to = target + p * kPanel;
    if (p + kRowsAhead < k) prefetch_run(from + kRowsAhead * stride, columns);
    for (int64_t v = 0; v < whole; ++v) store(to + place(v), load(from + v * kLanes));
    if (left > 0) store(to + place(whole), load_partial(from + whole * kLanes, left));
  }
}

// Packs source [k, columns] into panels.
inline void pack_panels(float* target, const float* source, int64_t stride, int64_t k,
                        int64_t columns) {
  pack_vectors(target, source, stride, k, columns,
               [=](int64_t v) { return v / 2 * panel_floats(k) + v % 2 * kLanes; });
  // The second vector of the last panel, if no column reaches it.
  const int64_t vectors = (columns + kLanes - 1) / kLanes;
  if (vectors % 2 == 0) return;
  float* last = target + vectors / 2 * panel_floats(k) + kLanes;
  for (int64_t p = 0; p < k; ++p) store(last + p * kPanel, Vec{});
}

// Panels of an expert's first weights pair kLanes columns of W_gate with the same columns of W_up,
// so that a block of the product x W holds g and u of the same columns.
inline int64_t gate_up_panels_floats(int64_t hidden, int64_t columns) {
  return round_up(columns, kLanes) / kLanes * panel_floats(hidden);
}

// `w1` [hidden, 2 width] points to the first of `columns` adjacent columns of W_gate; those of W_up
// are `width` further on.
inline void pack_gate_up_panels(float* target, const float* w1, int64_t hidden, int64_t width,
                                int64_t columns) {
  const auto place = [=](int64_t v) { return v * panel_floats(hidden); };
  pack_vectors(target, w1, 2 * width, hidden, columns, place);
  pack_vectors(target + kLanes, w1 + width, 2 * width, hidden, columns, place);
}

// Packs the transpose of source [columns, k] into panels.
inline void pack_transposed_panels(float* target, const float* source, int64_t stride, int64_t k,
                                   int64_t columns) {
  for (int64_t j = 0; j < round_up(columns, kPanel); j += kLanes) {
    for (int64_t i = j + kLanes; i < std::min(columns, j + 2 * kLanes); ++i) {
      prefetch_run(source + i * stride, k);
    }
    transpose_vector<float>(target + j / kPanel * panel_floats(k) + j % kPanel, kPanel, k,
                            columns - j, [=](int64_t i) { return source + (j + i) * stride; });
  }
}

}  // namespace remoe::REMOE_TARGET
