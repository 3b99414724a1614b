// Products of bf16 matrices on the FMA cores.
#include "gemm/simt_kernel.h"

namespace remoe {

template <>
void launch_simt<Bf16, Bf16>(Operation& op, SimtTile tile, const Product& product,
                             const SimtProduct& p, int splits) {
  launch_simt_tile<Bf16, Bf16>(op, tile, product, p, splits);
}

}  // namespace remoe
