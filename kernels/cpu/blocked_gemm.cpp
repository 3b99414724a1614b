// Dense products by blocks that stay in cache, around the register tile of micro_gemm.h.
#include <algorithm>

#include "gemm_blocks.h"
#include "kernels.h"
#include "packing.h"

namespace remoe::REMOE_TARGET {
namespace {

// Block sizes. A panel of B, kDepth x kTileColumns, is read by every panel of A and stays in L1
// (384 x 32 floats are 48 KiB with AVX-512); the block of A, kRows x kDepth, is read for every
// panel of B and stays in L2 (387 KiB); the block of B, kDepth x kColumns, is read once for each
// block of A.
constexpr int kDepth = 384;
constexpr int kRows = 18 * kTileRows;
constexpr int kColumns = 1024;

// Room for the vectors that pack_across() stores past the end.
constexpr int kSlack = 64;
static_assert(kRows * kDepth + kSlack + kDepth * kColumns + kSlack <= kPackingFloats);

// `count` in even blocks of at most `largest`: the size of one, a multiple of `multiple`.
int even_block(int count, int largest, int multiple) {
  const int blocks = (count + largest - 1) / largest;
  const int even = (count + blocks - 1) / blocks;
  return std::min(largest, (even + multiple - 1) / multiple * multiple);
}

// C[rows, columns] (+)= a block of A, packed, times a block of B, packed.
void multiply_blocks(int rows, int columns, int64_t k, int height, const float* a, const float* b,
                     Epilogue epilogue, float* c, int64_t ldc) {
  for (int j = 0; j < columns; j += kTileColumns) {
    const float* b_panel = b + static_cast<int64_t>(j) * k;
    for (int i = 0; i < rows; i += height) {
      const int count = std::min(height, rows - i);
      tile_function(count)(k, a + i * k, count, b_panel, epilogue, c + i * ldc + j, ldc,
                           columns - j);
    }
  }
}

int padded(int columns) { return (columns + kTileColumns - 1) / kTileColumns * kTileColumns; }

}  // namespace

int gemm_panel_columns(const Context&) { return kTileColumns; }

std::size_t gemm_packed_size(const Context&, int k, int n) {
  return static_cast<std::size_t>(k) * padded(n) + kSlack;
}

void gemm_pack(const Context&, int k, int n, const Operand& b, float* packed, int begin, int end) {
  const int depth = even_block(k, kDepth, 1);
  for (int p = 0; p < k; p += depth) {
    const int64_t length = std::min(depth, k - p);
    pack_b(b, p, length, begin, end - begin,
           packed + static_cast<int64_t>(p) * padded(n) + length * begin);
  }
}

void gemm_blocked(Context& context, float* packing, int m, int n, int k, float alpha,
                  const Operand& a, const Operand& b, const float* packed_b, float beta, float* c,
                  int64_t ldc) {
  (void)context;
  float* a_block = packing;
  float* b_block = packing + kRows * kDepth + kSlack;
  const int depth = even_block(k, kDepth, 1);
  const int row_block = even_block(m, kRows, 1);
  const bool one_a_block = depth >= k && row_block >= m;
  const int height = panel_rows(row_block);
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
        if (j == 0 || !one_a_block) pack_a(a, i, rows, p, length, height, a_block);
        multiply_blocks(rows, columns, length, height, a_block, b_panels, epilogue,
                        c + i * ldc + j, ldc);
      }
    }
  }
}

}  // namespace remoe::REMOE_TARGET
