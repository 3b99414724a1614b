// Products of fp32 matrices.
#include "gemm/mma_product.h"
#include "gemm/simt_kernel.h"

namespace remoe {

template <>
void launch_simt<float, float>(Operation& op, SimtTile tile, const Product& product,
                               const SimtProduct& p, int splits) {
  if (tile == SimtTile::kMma) {
    launch_simt<MmaLoop<float>, float, float>(op, product, p, splits);
  } else if (tile == SimtTile::kMedium) {
    launch_simt<SimtLoop<MediumTile>, float, float>(op, product, p, splits);
  } else {
    launch_simt<SimtLoop<FlatTile>, float, float>(op, product, p, splits);
  }
}

}  // namespace remoe
