// Copies into a dense target from strided memory: transposes, slices, broadcasts.

#include <algorithm>

#include "runtime/dtype.h"
#include "tensor/each_element.h"
#include "tensor/strides.h"

namespace remoe {
namespace {

// Words of an element's size stand for every dtype.
template <class Word>
struct CopyBody {
  Word* target;
  const Word* source;
  Strides<1> strides;

  template <int kCount>
  __device__ __forceinline__ void at(uint64_t i) const {
    const Word* from = source + strides.offset_of(i);
    Vector<Word, kCount> vector;
    if (kCount > 1 && strides.stride[0][0] != 0) {
      vector = load_vector<Word, kCount>(from);
    } else {
      const Word word = *from;
#pragma unroll
      for (int k = 0; k < kCount; k++) vector.element[k] = word;
    }
    store_vector(target + i, vector);
  }
};

// Side of the square tiles of a transpose: a row of a tile fills at least two sectors of 32 bytes
// on either side.
constexpr int kTile = 32;
constexpr int kTileThreads = 256;
constexpr int kTileRows = kTileThreads / kTile;

// Rows longer by a bank of 4 bytes, or by a word where that is more, so that the words of a column
// lie in different banks.
template <class Word>
struct TransposeShared {
  static constexpr int kPadding = sizeof(Word) < 4 ? 4 / sizeof(Word) : 1;
  Word tile[kTile][kTile + kPadding];
};

// The matrices whose rows are adjacent in the target and whose columns are in the source.
template <class Word>
struct Transpose {
  Word* target;
  const Word* source;
  uint32_t height;  // of the axis that is contiguous in the source
  uint32_t width;   // of the inner axis
  uint64_t target_stride;
  uint64_t source_stride;
  uint32_t tiles_down;
  uint32_t tiles_across;
  Strides<2> others;  // of the target and the source
};

template <class Word>
__global__ void __launch_bounds__(kTileThreads) transpose_kernel(Transpose<Word> a) {
  auto& tile = gpu::shared<TransposeShared<Word>>().tile;
  const uint32_t lane = threadIdx.x % kTile;
  const uint32_t first = threadIdx.x / kTile;
  const uint32_t down = blockIdx.x / a.tiles_across;
  const uint32_t matrix = down / a.tiles_down;
  const uint32_t row0 = (down - matrix * a.tiles_down) * kTile;
  const uint32_t column0 = (blockIdx.x - down * a.tiles_across) * kTile;
  uint64_t offset[2];
  a.others.offsets(matrix, offset);
#pragma unroll
  for (uint32_t j = first; j < kTile; j += kTileRows) {
    if (row0 + lane >= a.height || column0 + j >= a.width) continue;
    tile[j][lane] = a.source[offset[1] + row0 + lane + (column0 + j) * a.source_stride];
  }
  __syncthreads();
#pragma unroll
  for (uint32_t i = first; i < kTile; i += kTileRows) {
    if (row0 + i >= a.height || column0 + lane >= a.width) continue;
    a.target[offset[0] + (row0 + i) * a.target_stride + column0 + lane] = tile[lane][i];
  }
}

// The axis along which the source is contiguous, if that is not the inner one and tiles are worth
// their while; -1: none.
int transposed_axis(const StridedLayout& layout) {
  constexpr uint64_t kShortest = kTile / 4;
  if (layout.inner_stride(0) <= 1 || layout.inner_length() < kShortest) return -1;
  for (int axis = 0; axis < layout.axes - 1; axis++) {
    if (layout.stride[0][axis] == 1 && layout.length[axis] >= kShortest) return axis;
  }
  return -1;
}

// Whether it was possible: a grid has fewer than 2^31 tiles.
template <class Word>
bool transpose(Operation& op, const CopyBody<Word>& copy, const StridedLayout& layout, int across) {
  const int inner = layout.axes - 1;
  Transpose<Word> a = {};
  a.target = copy.target;
  a.source = copy.source;
  a.height = static_cast<uint32_t>(layout.length[across]);
  a.width = static_cast<uint32_t>(layout.length[inner]);
  a.source_stride = layout.stride[0][inner];
  uint64_t stride = 1;
  for (int axis = inner; axis >= 0; axis--) {
    if (axis == across) {
      a.target_stride = stride;
    } else if (axis != inner) {
      a.others.add_axis(layout.length[axis]);
      a.others.stride[0][a.others.axes - 1] = stride;
      a.others.stride[1][a.others.axes - 1] = layout.stride[0][axis];
    }
    stride *= layout.length[axis];
  }
  if (a.others.axes == 0) a.others.add_axis(1);
  a.tiles_down = (a.height + kTile - 1) / kTile;
  a.tiles_across = (a.width + kTile - 1) / kTile;
  const uint64_t matrices = layout.count / layout.length[across] / layout.length[inner];
  const uint64_t tiles = matrices * a.tiles_down * a.tiles_across;
  if (tiles > INT32_MAX || layout.length[across] > INT32_MAX || layout.length[inner] > INT32_MAX) {
    return false;
  }
  op.launch(transpose_kernel<Word>, dim3(static_cast<unsigned>(tiles)), dim3(kTileThreads),
            sizeof(TransposeShared<Word>), a);
  return true;
}

template <class Word>
void copy(Operation& op, void* target, const void* source, const StridedLayout& layout) {
  constexpr int kCount = kWidth<Word>;
  const CopyBody<Word> body = {static_cast<Word*>(target), static_cast<const Word*>(source),
                               Strides<1>(layout)};
  const int across = transposed_axis(layout);
  if (across >= 0 && transpose(op, body, layout, across)) return;
  const bool in_runs = starts_runs<kCount>(body.target) && has_runs(layout, 0, kCount) &&
                       (layout.inner_stride(0) == 0 || starts_runs<kCount>(body.source));
  launch_each<kCount>(op, body, layout.count, in_runs);
}

}  // namespace
}  // namespace remoe

int32_t remoe_copy_strided(uint64_t context, int32_t dtype, uint64_t target, uint64_t source,
                           const int32_t* layout) {
  using namespace remoe;
  return guard(context, "copy_strided", [&](Operation& op) {
    void* to = require_elements(target, dtype, "target");
    const void* from = require_elements(source, dtype, "source");
    const StridedLayout strides = read_strided_layout(layout, 1);
    switch (bytes_of(dtype)) {
      case 2:
        return copy<uint16_t>(op, to, from, strides);
      case 4:
        return copy<uint32_t>(op, to, from, strides);
      default:
        return copy<uint64_t>(op, to, from, strides);
    }
  });
}
