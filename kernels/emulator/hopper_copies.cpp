// Copies that a kernel starts and waits for later: 16 bytes of a thread, boxes of a tensor.

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "asynchronous.h"
#include "counter.h"
#include "device.h"
#include "device_memory.h"
#include "emulator.h"
#include "hopper.h"
#include "scheduler_state.h"
#include "shared_memory.h"

namespace remoe::emulator {
namespace {

constexpr int kSwizzleBytes = 128;  // of a box's row
constexpr int kSwizzleAtom = 1024;  // eight rows, after which the pattern repeats
constexpr int kChunk = 16;          // what the swizzle moves

using Work = std::function<void()>;

using checker::Access;

#define REMOE_CALLER __builtin_return_address(0)

struct StoreGroup {
  std::vector<Work> stores;
  std::vector<ordering::Known> known;
  bool done = false;

  void finish() {
    if (!done) {
      for (const Work& store : stores) store();
    }
    done = true;
  }
};

struct ThreadCopies {
  std::vector<Work> copies;  // until they are waited for, or handed to a barrier
  ordering::Work copying;    // all of these
  StoreGroup open;           // until it is committed
  std::vector<std::shared_ptr<StoreGroup>> groups;
  Site site;  // of the newest
};

std::vector<ThreadCopies>& threads() {
  static std::vector<ThreadCopies> all;
  return all;
}

int own_thread() { return running_block().current->thread; }
ThreadCopies& own() { return threads()[own_thread()]; }

// A box in shared memory and in its tensor.
struct Box {
  CUtensorMap map;
  int64_t at[3];
  unsigned char* shared;

  int64_t bytes() const { return int64_t{map.width} * map.box[0] * map.box[1] * map.box[2]; }

  // Calls f(shared, global, bytes) for every chunk; the part of it that the tensor has, and then
  // the rest with null, which the copies fill with zeros.
  template <class F>
  void for_each_chunk(F f) const {
    for (int z = 0; z < map.box[2]; z++) {
      for (int y = 0; y < map.box[1]; y++) {
        const int64_t row = z * map.box[1] + y;
        for (int x = 0; x < map.box[0] * map.width; x += kChunk) {
          const size_t place = shared_offset(shared) + row * kSwizzleBytes + x;
          unsigned char* chunk = shared_memory() + (place ^ (place >> 7 & 7) << 4);
          const int64_t column = at[0] + x / map.width;
          const int64_t inside = inside_row(y, z) ? columns_left(column) : 0;
          const size_t valid = static_cast<size_t>(inside * map.width);
          if (valid > 0) f(chunk, global(column, y, z), valid);
          if (valid < kChunk) f(chunk + valid, nullptr, kChunk - valid);
        }
      }
    }
  }

 private:
  bool inside_row(int y, int z) const {
    return at[1] + y >= 0 && at[1] + y < map.size[1] && at[2] + z >= 0 && at[2] + z < map.size[2];
  }
  // Elements of a chunk that the tensor has; boxes begin at chunks.
  int64_t columns_left(int64_t column) const {
    if (column < 0) return 0;
    const int64_t left = map.size[0] - column;
    const int64_t most = kChunk / map.width;
    return left < 0 ? 0 : (left < most ? left : most);
  }
  unsigned char* global(int64_t column, int y, int z) const {
    return map.data + column * map.width + (at[1] + y) * map.stride[0] +
           (at[2] + z) * map.stride[1];
  }
};

Box box_at(const CUtensorMap& map, int x, int y, int z, const void* shared, Site site) {
  require_hopper(site);
  if (map.data == nullptr) fault("a box of a tensor map that was not encoded", site);
  if (reinterpret_cast<uintptr_t>(&map) % 64 != 0) {
    fault("a tensor map at an address that is not a multiple of 64", site);
  }
  if (x * map.width % kChunk != 0) fault("a box that begins within 16 bytes", site);
  Box box{map, {x, y, z}, static_cast<unsigned char*>(const_cast<void*>(shared))};
  shared_place(shared, static_cast<size_t>(box.bytes()), kSwizzleAtom, "a box", site);
  box.for_each_chunk([&](unsigned char*, unsigned char* global, size_t bytes) {
    if (global != nullptr) require_global(global, bytes, "a box's row", site);
  });
  return box;
}

// Counts the runs of global memory that a box is copied in.
void count_box(const Box& box, bool is_write) {
  const unsigned char* run = nullptr;
  size_t length = 0;
  box.for_each_chunk([&](unsigned char*, const unsigned char* global, size_t bytes) {
    if (global == nullptr) return;
    if (global != run + length) {
      if (length > 0) counter::bulk_access(run, length, is_write);
      run = global;
      length = 0;
    }
    length += bytes;
  });
  if (length > 0) counter::bulk_access(run, length, is_write);
}

void store_later(const CUtensorMap& map, int x, int y, int z, const void* from, bool add,
                 Site site) {
  const Box box = box_at(map, x, y, z, from, site);
  if (add && map.width != sizeof(float)) fault("boxes are added in fp32 alone", site);
  const ordering::Work work = ordering::begin_copy(own_thread());
  own().site = site;
  own().open.known.push_back(ordering::done(work));
  // Loads of boxes are not checked so: they may bring what nothing uses.
  box.for_each_chunk([&](unsigned char*, unsigned char* global, size_t bytes) {
    if (global == nullptr) return;
    if (add) checker::check_global(global, bytes, Access::kRead, site);
    checker::check_global(global, bytes, Access::kWrite, site);
  });
  if (add) count_box(box, false);
  count_box(box, true);
  own().open.stores.push_back([=] {
    box.for_each_chunk([&](unsigned char* shared, unsigned char* global, size_t bytes) {
      if (global == nullptr) return;
      ordering::access(work, shared, bytes, Access::kRead, false, site);
      if (!add) {
        std::memcpy(global, shared, bytes);
        return;
      }
      for (size_t i = 0; i < bytes; i += sizeof(float)) {
        float sum, value;
        std::memcpy(&sum, global + i, sizeof sum);
        std::memcpy(&value, shared + i, sizeof value);
        sum += value;
        std::memcpy(global + i, &sum, sizeof sum);
      }
    });
  });
}

void read(void* to, const void* from, size_t bytes, Site site, const void* caller) {
  shared_place(from, bytes, bytes, "a load", site);
  ordering::access(from, bytes, Access::kRead, site);
  counter::lane_access(from, bytes, false, caller);
  std::memcpy(to, from, bytes);
}

}  // namespace

void copies_begin(int count) { threads().assign(count, ThreadCopies()); }

void copies_thread_ends(int thread) {
  const ThreadCopies& left = threads()[thread];
  if (!left.copies.empty()) fault("a thread exits before its copies are complete", left.site);
  if (!left.open.stores.empty()) fault("a thread exits before it commits its stores", left.site);
  for (const auto& group : left.groups) {
    if (!group->done) fault("a thread exits before its stores have read", left.site);
  }
}

void read_shared(void* to, const void* from, size_t bytes, Site site) {
  read(to, from, bytes, site, REMOE_CALLER);
}

void wait_stores(int pending, Site) {
  auto& groups = own().groups;
  while (groups.size() > static_cast<size_t>(pending)) {
    groups.front()->finish();
    for (const auto& known : groups.front()->known) ordering::acquire(own_thread(), known);
    groups.erase(groups.begin());
  }
}

}  // namespace remoe::emulator

namespace remoe::hopper {

using namespace emulator;

uint32_t shared_address(const void* p, Site site) {
  return shared_place(p, 1, 1, "an address", site);
}

void copy_16(void* to, const void* from, bool inside, Site site) {
  shared_place(to, kChunk, kChunk, "copy_16", site);
  if (reinterpret_cast<uintptr_t>(from) % kChunk != 0) {
    fault("copy_16 from an address that is not a multiple of 16", site);
  }
  if (inside) {
    require_global(from, kChunk, "copy_16", site);
    checker::check_global(from, kChunk, Access::kRead, site);
    counter::lane_access(from, kChunk, false, REMOE_CALLER);
  }
  counter::lane_access(to, kChunk, true, REMOE_CALLER);
  if (own().copies.empty()) own().copying = ordering::begin_copy(own_thread());
  own().site = site;
  Work copy = [=, work = own().copying] {
    ordering::access(work, to, kChunk, Access::kWrite, true, site);
    inside ? std::memcpy(to, from, kChunk) : std::memset(to, 0, kChunk);
  };
  if (is_early()) {
    copy();
    copy = [] {};
  }
  own().copies.push_back(std::move(copy));
}

void wait_copies(Site) {
  for (const Work& copy : own().copies) copy();
  if (!own().copies.empty()) ordering::acquire(own_thread(), ordering::done(own().copying));
  own().copies.clear();
}

void arrive_copies(Barrier* b, Site site) {
  const ordering::Known known =
      own().copies.empty() ? ordering::release(own_thread()) : ordering::done(own().copying);
  start([=, copies = std::exchange(own().copies, {})] {
    for (const Work& copy : copies) copy();
    complete_arrival(b, known, site);
  });
}

void copy_box(void* to, const TensorMap& map, int x, int y, int z, Barrier* barrier, Site site) {
  const Box box = box_at(map, x, y, z, to, site);
  require_shown(barrier, site);
  count_box(box, false);
  const ordering::Work work = ordering::begin_copy(own_thread(), barrier, site);
  start([=] {
    box.for_each_chunk([&](unsigned char* shared, unsigned char* global, size_t bytes) {
      ordering::access(work, shared, bytes, Access::kWrite, false, site);
      global != nullptr ? std::memcpy(shared, global, bytes) : std::memset(shared, 0, bytes);
    });
    complete_bytes(barrier, box.bytes(), ordering::done(work), site);
  });
}

void copy_bytes(void* to, const void* from, int bytes, Barrier* barrier, Site site) {
  require_hopper(site);
  if (bytes < kChunk || bytes % kChunk != 0 || reinterpret_cast<uintptr_t>(from) % kChunk != 0) {
    fault("copy_bytes takes multiples of 16 bytes from multiples of 16", site);
  }
  shared_place(to, static_cast<size_t>(bytes), kChunk, "copy_bytes", site);
  require_global(from, static_cast<size_t>(bytes), "copy_bytes", site);
  require_shown(barrier, site);
  counter::bulk_access(from, static_cast<size_t>(bytes), false);
  const ordering::Work work = ordering::begin_copy(own_thread(), barrier, site);
  start([=] {
    ordering::access(work, to, static_cast<size_t>(bytes), Access::kWrite, false, site);
    std::memcpy(to, from, static_cast<size_t>(bytes));
    complete_bytes(barrier, bytes, ordering::done(work), site);
  });
}

void prefetch_map(const TensorMap& map, Site site) {
  if (map.data == nullptr) fault("a tensor map that was not encoded", site);
}

void shared_put(void* to, uint32_t v, Site site) {
  shared_place(to, sizeof v, sizeof v, "a store", site);
  ordering::access(to, sizeof v, Access::kWrite, site);
  counter::lane_access(to, sizeof v, true, REMOE_CALLER);
  std::memcpy(to, &v, sizeof v);
}

void shared_put(void* to, float v, float w, Site site) {
  const float2 both = {v, w};
  shared_place(to, sizeof both, sizeof both, "a store", site);
  ordering::access(to, sizeof both, Access::kWrite, site);
  counter::lane_access(to, sizeof both, true, REMOE_CALLER);
  std::memcpy(to, &both, sizeof both);
}

uint32_t shared_get(const void* from, Site site) {
  uint32_t v;
  read(&v, from, sizeof v, site, REMOE_CALLER);
  return v;
}

float2 shared_get_2(const float* from, Site site) {
  float2 v;
  read(&v, from, sizeof v, site, REMOE_CALLER);
  return v;
}

void store_box(const TensorMap& map, int x, int y, int z, const void* from, Site site) {
  store_later(map, x, y, z, from, false, site);
}

void add_box(const TensorMap& map, int x, int y, int z, const void* from, Site site) {
  store_later(map, x, y, z, from, true, site);
}

void commit_stores(Site) {
  auto group = std::make_shared<StoreGroup>(std::exchange(own().open, {}));
  own().groups.push_back(group);
  start([group] { group->finish(); });
}

}  // namespace remoe::hopper

namespace {

// As the driver does, for three dimensions in the 128-byte swizzle.
CUresult encode_tiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* data,
                      const cuuint64_t* size, const cuuint64_t* stride, const cuuint32_t* box,
                      const cuuint32_t* step, CUtensorMapInterleave, CUtensorMapSwizzle,
                      CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
  const int width = type == CU_TENSOR_MAP_DATA_TYPE_FLOAT32 ? 4 : 2;
  if (rank != 3 || data == nullptr || reinterpret_cast<uintptr_t>(data) % 16 != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *map = {static_cast<unsigned char*>(data), {}, {}, {}, width};
  uint64_t inner = size[0] * static_cast<uint64_t>(width);
  for (int i = 0; i < 3; i++) {
    if (size[i] < 1 || size[i] > uint64_t{1} << 32 || box[i] < 1 || box[i] > 256 || step[i] != 1) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    map->size[i] = static_cast<int64_t>(size[i]);
    map->box[i] = static_cast<int32_t>(box[i]);
    if (i == 2) continue;
    if (stride[i] % 16 != 0 || stride[i] >= uint64_t{1} << 40 || stride[i] < inner) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    map->stride[i] = static_cast<int64_t>(stride[i]);
    inner = stride[i];
  }
  // Shorter rows exist, but no kernel here has them.
  return box[0] * width == 128 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned,
                                             unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  *result = cudaDriverEntryPointSuccess;
  if (std::strcmp(symbol, "cuTensorMapEncodeTiled") != 0) return cudaErrorInvalidValue;
  *function = reinterpret_cast<void*>(encode_tiled);
  return cudaSuccess;
}
