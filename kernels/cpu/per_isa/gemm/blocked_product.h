// Cache-blocked dense products around the register tile of micro_gemm.h.
#pragma once

#include <algorithm>

#include "per_isa/gemm/blocked_gemm.h"
#include "per_isa/gemm/packing.h"

namespace remoe::REMOE_TARGET {

// Block sizes. A panel of B, kDepth x kTileColumns, is read by every panel of A. The block of A,
// kPanels panels of kDepth, is read for every panel of B and stays in L2. The block of B, kDepth x
// kColumns, is read once per block of A.
template <class T>
struct Blocks;

// A panel of B stays in L1: 256 x 32 floats are 32 KiB with AVX-512, next to 16 KiB of A, whose
// block takes 288 KiB.
template <>
struct Blocks<float> {
  static constexpr int kDepth = 256;
  static constexpr int kPanels = 18;
  static constexpr int kColumns = 1024;
};

// Half the time per byte: a panel of B (64 KiB) streams from L2, so that C is added to half as
// often, and results in bf16, which must not be, are rounded in registers up to this depth.
template <>
struct Blocks<Bf16> {
  static constexpr int kDepth = 1024;
  static constexpr int kPanels = 9;
  static constexpr int kColumns = 512;
};

// Lanes of a block of A, and of one of B.
template <class T>
inline constexpr int64_t kBlockOfA =
    lanes_of<T>(Blocks<T>::kDepth) * Blocks<T>::kPanels * kPanelStride;
template <class T>
inline constexpr int64_t kBlockOfB = lanes_of<T>(Blocks<T>::kDepth) * Blocks<T>::kColumns;
static_assert(kBlockOfA<float> + kBlockOfB<float> <= int64_t{kPackingLanes});
static_assert(kBlockOfA<Bf16> + kBlockOfB<Bf16> <= int64_t{kPackingLanes});

// Block size when `count` is split evenly into blocks of at most `largest`.
inline int even_block(int count, int largest) {
  const int blocks = (count + largest - 1) / largest;
  return (count + blocks - 1) / blocks;
}

// The inner dimension of a block: no lane of two elements is split.
template <class T>
int block_depth(int k) {
  return static_cast<int>(round_up(even_block(k, Blocks<T>::kDepth), kPerLane<T>));
}

// How a block of op(A) is read: from copied panels or in place.
template <class T>
struct BlockOfA {
  const Lane<T>* data;
  int64_t stride;  // between rows if read by rows, else between k
  int64_t row;     // between rows if A is read across its own rows (transposed, not copied)
  int64_t panel;   // between panels if copied
  ReadA read;

  const Lane<T>* at(int panel_index, int first_row) const {
    return data + panel_index * panel + first_row * (read == ReadA::kRows ? stride : row);
  }
};

// Whether op(A) is better read in place. Not if rows are a multiple of 4 KiB apart: they then share
// one L1 set, which has fewer ways than a tile has rows, and each would evict the next.
//
// For fp32, measured at 94 % of peak against 84 % for 256 rows, 128 columns and k of 512, and at 97
// against 87 with A transposed. From some hundred columns on, panels are better: the copy takes
// about 0.3 cycles per element, and its benefit (streams that the prefetcher follows, no conflicts
// in L1) counts once per panel of B. For bf16 they are not, and two can be read as one lane only if
// they are adjacent and aligned like one.
template <class T>
bool reads_in_place(const OperandOf<T>& a, int n, int k) {
  if (a.rows != nullptr || a.stride * static_cast<int64_t>(sizeof(T)) % 4096 == 0) return false;
  if constexpr (kPerLane<T> == 1) return n < 512;
  return !a.transposed && k % kPerLane<T> == 0 && a.stride % kPerLane<T> == 0 &&
         reinterpret_cast<uintptr_t>(a.data) % sizeof(Lane<T>) == 0;
}

// The block of op(A) from row i and k p on, in place.
template <class T>
BlockOfA<T> in_place(const OperandOf<T>& a, int64_t i, int64_t p) {
  const int64_t stride = a.stride / kPerLane<T>;
  const auto* data = reinterpret_cast<const Lane<T>*>(a.data);
  if (a.transposed) return {data + p * stride + i, stride, 1, 0, ReadA::kTransposed};
  return {data + i * stride + p / kPerLane<T>, stride, 0, 0, ReadA::kRows};
}

// A block of an operand that comes next, prefetched in strips: one line of each of many rows.
class NextBlock {
 public:
  NextBlock() = default;  // none
  // Rows [i, i + rows) and columns [j, j + columns) of op(x).
  template <class T>
  NextBlock(const OperandOf<T>& x, int64_t i, int64_t rows, int64_t j, int64_t columns) {
    if (x.rows != nullptr) return;
    if (x.transposed) {
      std::swap(i, j);
      std::swap(rows, columns);
    }
    stride_ = x.stride * sizeof(T);
    row_ = reinterpret_cast<const char*>(x.data + j) + i * stride_;
    rows_ = rows;
    lines_ = columns * static_cast<int64_t>(sizeof(T)) / kLine + 1;
  }

  bool empty() const { return rows_ <= 0; }

  // The next strip, of `rows` rows; when there is none left, `instead`.
  Ahead next(int64_t rows, const void* instead) {
    if (empty()) return {static_cast<const char*>(instead), 0};
    const Ahead strip{row_ + kLine * line_, stride_};
    if (++line_ == lines_) {
      line_ = 0;
      rows_ -= rows;
      row_ += rows * stride_;
    }
    return strip;
  }

 private:
  static constexpr int64_t kLine = 64;

  const char* row_ = nullptr;
  int64_t stride_ = 0;  // bytes
  int64_t rows_ = 0;
  int64_t lines_ = 0;  // per row
  int64_t line_ = 0;
};

// C[rows, columns] (+)= a block of A times a block of B, packed; k counts lanes. Meanwhile, the
// operands of the next blocks are prefetched: a copy of B from memory takes as long as 20 rows of a
// product in bf16.
template <class T, class C>
void multiply_blocks(int rows, int columns, int64_t k, const BlockOfA<T>& a, const Lane<T>* b,
                     Epilogue epilogue, C* c, int64_t ldc, NextBlock& next_a, NextBlock& next_b) {
  const int panels = panels_of(rows);
  const int64_t strip = std::max<int64_t>(1, k / kUnroll);
  for (int j = 0; j < columns; j += kTileColumns) {
    const Lane<T>* b_panel = b + static_cast<int64_t>(j) * k;
    for (int panel = 0; panel < panels; ++panel) {
      const int i = panel_begin(rows, panels, panel);
      const int count = panel_begin(rows, panels, panel + 1) - i;
      const Ahead ahead = (next_a.empty() ? next_b : next_a).next(strip, b_panel);
      tile_function<Lane<T>, C>(count, a.read)(k, a.at(panel, i), a.stride, b_panel, epilogue,
                                               c + i * ldc + j, ldc, columns - j, ahead);
    }
  }
}

inline int padded(int columns) { return static_cast<int>(round_up(columns, kTileColumns)); }

// gemm_pack(): blocks of depth in turn, the panels of each in turn.
template <class T>
void pack_blocks(int k, int n, const OperandOf<T>& b, Lane<T>* packed, int begin, int end) {
  const int depth = block_depth<T>(k);
  for (int p = 0; p < k; p += depth) {
    const int64_t length = std::min(depth, k - p);
    pack_b(b, p, length, begin, end - begin,
           packed + lanes_of<T>(p) * padded(n) + lanes_of<T>(length) * begin);
  }
}

// C = alpha * op(A) * op(B) + beta * C: see gemm_blocked().
template <class T, class C>
class BlockedProduct {
 public:
  BlockedProduct(Lane<T>* packing, int m, int n, int k, const OperandOf<T>& a,
                 const OperandOf<T>& b, const Lane<T>* packed_b)
      : a_(a),
        b_(b),
        packed_b_(packed_b),
        a_block_(packing),
        b_block_(packing + kBlockOfA<T>),
        m_(m),
        n_(n),
        k_(k),
        depth_(block_depth<T>(k)),
        rows_(even_block(m, Blocks<T>::kPanels * kTileRows)),
        in_place_(reads_in_place(a, n, k)) {}

  void run(float alpha, float beta, C* c, int64_t ldc) {
    for (int j = 0; j < n_; j += kColumns) {
      for (int p = 0; p < k_; p += depth_) {
        const Epilogue epilogue{alpha, p == 0 ? beta : 1.0f};
        const Lane<T>* b = block_of_b(p, j);
        NextBlock next_b = p + depth_ < k_ ? next_of_b(p + depth_, j) : next_of_b(0, j + kColumns);
        for (int i = 0; i < m_; i += rows_) {
          const BlockOfA<T> a = block_of_a(i, p, j);
          NextBlock next_a = next_of_a(i, p, j);
          multiply_blocks(rows(i), columns(j), lanes_of<T>(depth(p)), a, b, epilogue,
                          c + i * ldc + j, ldc, next_a, next_b);
        }
      }
    }
  }

 private:
  static constexpr int kColumns = Blocks<T>::kColumns;

  int rows(int i) const { return std::min(rows_, m_ - i); }
  int depth(int p) const { return std::min(depth_, k_ - p); }
  int columns(int j) const { return std::min(kColumns, n_ - j); }

  const Lane<T>* block_of_b(int p, int j) {
    if (packed_b_ != nullptr) {
      return packed_b_ + lanes_of<T>(p) * padded(n_) + lanes_of<T>(depth(p)) * j;
    }
    pack_b(b_, p, depth(p), j, columns(j), b_block_);
    return b_block_;
  }

  BlockOfA<T> block_of_a(int i, int p, int j) {
    if (in_place_) return in_place(a_, i, p);
    if (j == 0 || !is_one_block()) pack_a(a_, i, rows(i), p, depth(p), a_block_);
    return {a_block_, kPanelStride, 0, lanes_of<T>(depth(p)) * kPanelStride, ReadA::kPanels};
  }

  // Whether the block of A stays the same throughout.
  bool is_one_block() const { return depth_ >= k_ && rows_ >= m_; }

  NextBlock next_of_b(int p, int j) const {
    if (packed_b_ != nullptr || j >= n_) return {};
    return {b_, p, depth(p), j, columns(j)};
  }

  NextBlock next_of_a(int i, int p, int j) const {
    i += rows_;
    if (i >= m_) {
      i = 0;
      p += depth_;
    }
    if (p >= k_) {
      p = 0;
      j += kColumns;
    }
    if (is_one_block() || j >= n_) return {};
    return {a_, i, rows(i), p, depth(p)};
  }

  const OperandOf<T>&a_, &b_;
  const Lane<T>* packed_b_;
  Lane<T>*a_block_, *b_block_;
  int m_, n_, k_;
  int depth_, rows_;  // of a block
  bool in_place_;
};

}  // namespace remoe::REMOE_TARGET
