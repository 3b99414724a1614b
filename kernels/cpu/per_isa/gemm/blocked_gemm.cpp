// Cache-blocked dense products around the register tile of micro_gemm.h.
#include "per_isa/gemm/blocked_gemm.h"

#include <algorithm>

#include "per_isa/gemm/packing.h"

namespace remoe::REMOE_TARGET {
namespace {

// Block sizes. A panel of B, kDepth x kTileColumns, is read by every panel of A and stays in L1
// (256 x 32 floats are 32 KiB with AVX-512, next to 16 KiB of A). The block of A, kRows x kDepth,
// is read for every panel of B and stays in L2 (288 KiB). The block of B, kDepth x kColumns, is
// read once per block of A.
constexpr int kDepth = 256;
constexpr int kBlockPanels = 18;
constexpr int kRows = kBlockPanels * kTileRows;
constexpr int kColumns = 1024;
constexpr int64_t kBlockOfA = static_cast<int64_t>(kBlockPanels) * kPanelStride * kDepth;
static_assert(kBlockOfA + kDepth * kColumns <= static_cast<int64_t>(kPackingFloats));

// From this many columns on, op(A) is copied into panels: the copy takes about 0.3 cycles per
// element, and its benefit (streams that the prefetcher follows, no conflicts in L1) counts once
// per panel of B.
constexpr int kColumnsWorthCopying = 512;

// Block size when `count` is split evenly into blocks of at most `largest`.
int even_block(int count, int largest) {
  const int blocks = (count + largest - 1) / largest;
  return (count + blocks - 1) / blocks;
}

// How a block of op(A) is read: from copied panels or in place.
struct BlockOfA {
  const float* data;
  int64_t stride;  // between rows if read by rows, else between k
  int64_t row;     // between rows if A is read across its own rows (transposed, not copied)
  int64_t panel;   // between panels if copied
  ReadA read;
  bool first_use;

  const float* at(int panel_index, int first_row) const {
    return data + panel_index * panel + first_row * (read == ReadA::kRows ? stride : row);
  }
};

// Whether op(A) is better read in place: measured at 94 % of peak against 84 % for 256 rows, 128
// columns and k of 512, and at 97 against 87 with A transposed. Not if rows are a multiple of 4 KiB
// apart: they then share one L1 set, which has fewer ways than a tile has rows, and each would
// evict the next.
bool reads_in_place(const Operand& a, int n) {
  return a.rows == nullptr && n < kColumnsWorthCopying &&
         a.stride * static_cast<int64_t>(sizeof(float)) % 4096 != 0;
}

// C[rows, columns] (+)= a block of A times a block of B, packed.
void multiply_blocks(int rows, int columns, int64_t k, const BlockOfA& a, const float* b,
                     Epilogue epilogue, float* c, int64_t ldc) {
  const int panels = panels_of(rows);
  for (int j = 0; j < columns; j += kTileColumns) {
    const float* b_panel = b + static_cast<int64_t>(j) * k;
    for (int panel = 0; panel < panels; ++panel) {
      const int i = panel_begin(rows, panels, panel);
      const int count = panel_begin(rows, panels, panel + 1) - i;
      const float* a_panel = a.at(panel, i);
      // On first use, the rows that follow are not in L2 yet.
      const bool prefetch = a.read == ReadA::kRows && j == 0 && a.first_use && panel + 1 < panels;
      const float* next = prefetch ? a_panel + count * a.stride : nullptr;
      tile_function(count, a.read)(k, a_panel, a.stride, next, b_panel, epilogue, c + i * ldc + j,
                                   ldc, columns - j);
    }
  }
}

int padded(int columns) { return (columns + kTileColumns - 1) / kTileColumns * kTileColumns; }

}  // namespace

int gemm_panel_columns(const Context&) { return kTileColumns; }

std::size_t gemm_packed_size(const Context&, int k, int n) {
  return static_cast<std::size_t>(k) * padded(n);
}

void gemm_pack(const Context&, int k, int n, const Operand& b, float* packed, int begin, int end) {
  const int depth = even_block(k, kDepth);
  for (int p = 0; p < k; p += depth) {
    const int64_t length = std::min(depth, k - p);
    pack_b(b, p, length, begin, end - begin,
           packed + static_cast<int64_t>(p) * padded(n) + length * begin);
  }
}

void gemm_blocked(const Context&, float* packing, int m, int n, int k, float alpha,
                  const Operand& a, const Operand& b, const float* packed_b, float beta, float* c,
                  int64_t ldc) {
  float* a_block = packing;
  float* b_block = packing + kBlockOfA;
  const int depth = even_block(k, kDepth);
  const int row_block = even_block(m, kRows);
  const bool in_place = reads_in_place(a, n);
  const bool one_block = depth >= k && row_block >= m;
  for (int j = 0; j < n; j += kColumns) {
    const int columns = std::min(kColumns, n - j);
    for (int p = 0; p < k; p += depth) {
      const int64_t length = std::min(depth, k - p);
      const float* b_panels = b_block;
      if (packed_b != nullptr) {
        b_panels = packed_b + static_cast<int64_t>(p) * padded(n) + length * j;
      } else {
        pack_b(b, p, length, j, columns, b_block);
      }
      const Epilogue epilogue{alpha, p == 0 ? beta : 1.0f};
      for (int i = 0; i < m; i += row_block) {
        const int rows = std::min(row_block, m - i);
        BlockOfA block{a_block, kPanelStride, 0, length * kPanelStride, ReadA::kPanels, j == 0};
        if (in_place && a.transposed) {
          block = {a.data + p * a.stride + i, a.stride, 1, 0, ReadA::kTransposed, j == 0};
        } else if (in_place) {
          block = {a.data + i * a.stride + p, a.stride, 0, 0, ReadA::kRows, j == 0};
        } else if (j == 0 || !one_block) {
          pack_a(a, i, rows, p, length, a_block);
        }
        multiply_blocks(rows, columns, length, block, b_panels, epilogue, c + i * ldc + j, ldc);
      }
    }
  }
}

}  // namespace remoe::REMOE_TARGET
