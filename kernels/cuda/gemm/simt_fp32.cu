// Products of fp32 matrices on the FMA cores.
#include "gemm/simt_kernel.h"

namespace remoe {

template <>
void launch_simt<float, float>(Operation& op, SimtTile tile, const Product& product,
                               const SimtProduct& p, int splits) {
  if (tile == SimtTile::kLarge) {
    launch_simt<SimtLoop<LargeTile>, float, float>(op, product, p, splits);
  } else if (tile == SimtTile::kMedium) {
    launch_simt<SimtLoop<MediumTile>, float, float>(op, product, p, splits);
  } else {
    launch_simt<SimtLoop<FlatTile>, float, float>(op, product, p, splits);
  }
}

}  // namespace remoe
