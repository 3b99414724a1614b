// Products of bf16 matrices of any sizes and addresses.
#include "gemm/mma_product.h"
#include "gemm/simt_kernel.h"

namespace remoe {

template <>
void launch_simt<Bf16, Bf16>(Operation& op, SimtTile tile, const Product& product,
                             const SimtProduct& p, int splits) {
  if (tile == SimtTile::kMma) {
    launch_simt<MmaLoop, Bf16, Bf16>(op, product, p, splits);
  } else {
    launch_simt<SimtLoop<FlatTile>, Bf16, Bf16>(op, product, p, splits);
  }
}

}  // namespace remoe
