// Products of fp32 matrices on the FMA cores.
#include "gemm/simt_kernel.h"

namespace remoe {

template <>
void launch_simt<float, float>(Operation& op, SimtTile tile, const Product& product,
                               const SimtProduct& p, int splits) {
  launch_simt_tile<float, float>(op, tile, product, p, splits);
}

}  // namespace remoe
