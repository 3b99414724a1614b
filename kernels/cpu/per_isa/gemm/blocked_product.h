// Cache-blocked dense products around the register tile of micro_gemm.h.
#pragma once

#include <algorithm>

#include "per_isa/gemm/blocked_gemm.h"
#include "per_isa/gemm/packing.h"

namespace remoe::REMOE_TARGET {

// Block sizes. A panel of B, kDepth x kTileColumns, is read by every panel of A. The block of A,
// kRows x kDepth, is read for every panel of B and stays in L2. The block of B, kDepth x kColumns,
// is read once per block of A.
template <class T>
struct Blocks;

// A panel of B stays in L1: 256 x 32 floats are 32 KiB with AVX-512, next to 16 KiB of A, whose
// block takes 288 KiB.
template <>
struct Blocks<float> {
  static constexpr int kDepth = 256;
  static constexpr int kColumns = 1024;
};
template <>
struct Blocks<Bf16> {
  static constexpr int kDepth = 1024;
  static constexpr int kColumns = 512;
};

inline constexpr int kBlockPanels = 18;
inline constexpr int kRows = kBlockPanels * kTileRows;

// Lanes of a block of A.
template <class T>
inline constexpr int64_t kBlockOfA = lanes_of<T>(Blocks<T>::kDepth) * kBlockPanels * kPanelStride;
template <class T>
inline constexpr int64_t kBlockOfB = lanes_of<T>(Blocks<T>::kDepth) * Blocks<T>::kColumns;
static_assert(kBlockOfA<float> + kBlockOfB<float> <= int64_t{kPackingLanes});
static_assert(kBlockOfA<Bf16> + kBlockOfB<Bf16> <= int64_t{kPackingLanes});

// From this many columns on, op(A) is copied into panels: the copy takes about 0.3 cycles per
// element, and its benefit (streams that the prefetcher follows, no conflicts in L1) counts once
// per panel of B.
inline constexpr int kColumnsWorthCopying = 512;

// Block size when `count` is split evenly into blocks of at most `largest`.
inline int even_block(int count, int largest) {
  const int blocks = (count + largest - 1) / largest;
  return (count + blocks - 1) / blocks;
}

// The inner dimension of a block: no lane of two elements is split.
template <class T>
int block_depth(int k) {
  const int depth = even_block(k, Blocks<T>::kDepth);
  return kPerLane<T> == 1 ? depth : static_cast<int>(round_up(depth, kPerLane<T> * kUnroll));
}

inline int64_t row_pitch(int64_t lanes) { const int64_t lines = (lanes + 15) / 16; return (lines | 1) * 16; }
#ifndef CWC
#define CWC 512
#endif
#ifndef CONF
#define CONF 4096
#endif
// How a block of op(A) is read: from copied panels or in place.
template <class T>
struct BlockOfA {
  const Lane<T>* data;
  int64_t stride;  // between rows if read by rows, else between k
  int64_t row;     // between rows if A is read across its own rows (transposed, not copied)
  int64_t panel;   // between panels if copied
  ReadA read;
  bool first_use;

  const Lane<T>* at(int panel_index, int first_row) const {
    return data + panel_index * panel + first_row * (read == ReadA::kRows ? stride : row);
  }
};

// Whether op(A) is better read in place: measured at 94 % of peak against 84 % for 256 rows, 128
// columns and k of 512, and at 97 against 87 with A transposed. Not if rows are a multiple of 4 KiB
// apart: they then share one L1 set, which has fewer ways than a tile has rows, and each would
// evict the next. Two bf16 can be read as one lane if they are adjacent and aligned like one.
template <class T>
bool reads_in_place(const OperandOf<T>& a, int n, int k) {
  const bool better = a.rows == nullptr && n < (kPerLane<T>>1?CWC:kColumnsWorthCopying) &&
                      a.stride * static_cast<int64_t>(sizeof(T)) % CONF != 0;
  if constexpr (kPerLane<T> == 1) return better;
  return better && !a.transposed && k % kPerLane<T> == 0 && a.stride % kPerLane<T> == 0 &&
         reinterpret_cast<uintptr_t>(a.data) % sizeof(Lane<T>) == 0;
}

// C[rows, columns] (+)= a block of A times a block of B, packed; k counts lanes.
template <class T, class C>
void multiply_blocks(int rows, int columns, int64_t k, const BlockOfA<T>& a, const Lane<T>* b,
                     Epilogue epilogue, C* c, int64_t ldc) {
  const int panels = panels_of(rows);
  for (int j = 0; j < columns; j += kTileColumns) {
    const Lane<T>* b_panel = b + static_cast<int64_t>(j) * k;
    for (int panel = 0; panel < panels; ++panel) {
      const int i = panel_begin(rows, panels, panel);
      const int count = panel_begin(rows, panels, panel + 1) - i;
      const Lane<T>* a_panel = a.at(panel, i);
      // On first use, the rows that follow are not in L2 yet.
      const bool prefetch = a.read == ReadA::kRows && j == 0 && a.first_use && panel + 1 < panels;
      const Lane<T>* next = prefetch ? a_panel + count * a.stride : nullptr;
      tile_function<Lane<T>, C>(count, a.read)(k, a_panel, a.stride, next, b_panel, epilogue,
                                               c + i * ldc + j, ldc, columns - j);
    }
  }
}

inline int padded(int columns) {
  return (columns + kTileColumns - 1) / kTileColumns * kTileColumns;
}

template <class T>
void pack_blocks(int k, int n, const OperandOf<T>& b, Lane<T>* packed, int begin, int end) {
  const int depth = block_depth<T>(k);
  for (int p = 0; p < k; p += depth) {
    const int64_t length = std::min(depth, k - p);
    pack_b(b, p, length, begin, end - begin,
           packed + lanes_of<T>(p) * padded(n) + lanes_of<T>(length) * begin);
  }
}

// A block of op(A) from row i and k p on, read in place.
template <class T>
BlockOfA<T> in_place(const OperandOf<T>& a, int64_t i, int64_t p, bool first_use) {
  const int64_t stride = a.stride / kPerLane<T>;
  const auto* data = reinterpret_cast<const Lane<T>*>(a.data);
  if (a.transposed) return {data + p * stride + i, stride, 1, 0, ReadA::kTransposed, first_use};
  return {data + i * stride + p / kPerLane<T>, stride, 0, 0, ReadA::kRows, first_use};
}

// C = alpha * op(A) * op(B) + beta * C, see gemm_blocked(). A sum over several blocks of k must not
// be rounded in between, so it goes to fp32.
template <class T, class C>
void blocked_product(Lane<T>* packing, int m, int n, int k, float alpha, const OperandOf<T>& a,
                     const OperandOf<T>& b, const Lane<T>* packed_b, float beta, C* c,
                     int64_t ldc) {
  constexpr int kColumns = Blocks<T>::kColumns;
  Lane<T>* a_block = packing;
  Lane<T>* b_block = packing + kBlockOfA<T>;
  const int depth = block_depth<T>(k);
  const int row_block = even_block(m, kRows);
  const bool reads_a = reads_in_place(a, n, k);
  const bool one_block = depth >= k && row_block >= m;
  for (int j = 0; j < n; j += kColumns) {
    const int columns = std::min(kColumns, n - j);
    for (int p = 0; p < k; p += depth) {
      const int64_t length = std::min(depth, k - p), lanes = lanes_of<T>(length);
      const Lane<T>* b_panels = b_block;
      if (packed_b != nullptr) {
        b_panels = packed_b + lanes_of<T>(p) * padded(n) + lanes * j;
      } else {
        pack_b(b, p, length, j, columns, b_block);
      }
      const Epilogue epilogue{alpha, p == 0 ? beta : 1.0f};
      for (int i = 0; i < m; i += row_block) {
        const int rows = std::min(row_block, m - i);
        BlockOfA<T> block{a_block, kPanelStride, 0, lanes * kPanelStride, ReadA::kPanels, j == 0};
        if (kPerLane<T> > 1 && !a.transposed) block = {a_block, row_pitch(lanes), 0, 0, ReadA::kRows, false};
        if (reads_a) {
          block = in_place(a, i, p, j == 0);
        } else if (j == 0 || !one_block) {
        if (kPerLane<T> > 1 && !a.transposed) copy_rows(a, i, rows, p, length, a_block, row_pitch(lanes)); else
          pack_a(a, i, rows, p, length, a_block);
        }
        multiply_blocks(rows, columns, lanes, block, b_panels, epilogue, c + i * ldc + j, ldc);
      }
    }
  }
}

}  // namespace remoe::REMOE_TARGET
