// Products of the tensor cores, from matrices in shared memory that descriptors name.

#include <cstring>
#include <utility>
#include <vector>

#include "asynchronous.h"
#include "counter.h"
#include "emulator.h"
#include "hopper.h"
#include "scheduler_state.h"

namespace remoe::emulator {
namespace {

constexpr int kLanes = 32;
constexpr int kDepth = 16;
constexpr int kWarpRows = 16;  // of a warpgroup's 64
constexpr int kMostColumns = 256;

struct Product {
  float* sums;
  int columns;
  uint64_t a, b;  // descriptors
  uint32_t registers[4];
  bool from_registers, transposed_a, transposed_b, keep;
  Site site;

  bool same(const Product& other) const {
    return columns == other.columns && a == other.a && b == other.b &&
           from_registers == other.from_registers && transposed_a == other.transposed_a &&
           transposed_b == other.transposed_b && keep == other.keep;
  }
};

struct Group {
  std::vector<Product> products;
  ordering::Work work;  // the warp's, in its first lane
  bool done = false;
};

struct ThreadProducts {
  bool is_fenced = false;  // since the last commit
  std::vector<Product> open;
  std::vector<Group> groups;
};

std::vector<ThreadProducts>& threads() {
  static std::vector<ThreadProducts> all;
  return all;
}

float widened(uint32_t bits) { return __uint_as_float(bits << 16); }

// Element (i, k) of a matrix of bf16 in the 128-byte swizzle: i a row of A or a column of B.
float element(uint64_t descriptor, bool transposed, int i, int k, const ordering::Work& work,
              Site site) {
  const uint32_t start = (descriptor & 0x3fff) << 4;
  const uint32_t leading = (descriptor >> 16 & 0x3fff) << 4;
  const uint32_t stride = (descriptor >> 32 & 0x3fff) << 4;
  uint32_t place = transposed ? start + i / 64 * leading + k / 8 * stride + k % 8 * 128 + i % 64 * 2
                              : start + i / 8 * stride + i % 8 * 128 + k * 2;
  place ^= (place >> 7 & 7) << 4;
  uint16_t bits;
  if (place + sizeof bits > shared_memory_bytes()) {
    fault("wgmma reads outside of the launch's shared memory", site);
  }
  ordering::access(work, shared_memory() + place, sizeof bits, checker::Access::kRead, false, site);
  std::memcpy(&bits, shared_memory() + place, sizeof bits);
  return widened(bits);
}

// The product of a warp, for the threads whose products are given.
void compute(const Product* const (&lanes)[kLanes], int warp_of_group, const ordering::Work& work) {
  const Product& first = *lanes[0];
  if (!counter::product(2L * kWarpRows * kDepth * first.columns)) return;
  static float a[kWarpRows][kDepth];
  static float b[kDepth][kMostColumns];
  for (int row = 0; row < kWarpRows; row++) {
    for (int k = 0; k < kDepth; k++) {
      if (first.from_registers) {
        // A thread's registers: rows lane / 4 and 8 on, of the depth 2 (lane % 4) and 8 on.
        const Product& holder = *lanes[row % 8 * 4 + k % 8 / 2];
        const uint32_t pair = holder.registers[row / 8 + k / 8 * 2];
        a[row][k] = widened(k % 2 == 0 ? pair & 0xffff : pair >> 16);
      } else {
        const int i = warp_of_group * kWarpRows + row;
        a[row][k] = element(first.a, first.transposed_a, i, k, work, first.site);
      }
    }
  }
  for (int k = 0; k < kDepth; k++) {
    for (int j = 0; j < first.columns; j++) {
      b[k][j] = element(first.b, first.transposed_b, j, k, work, first.site);
    }
  }
  for (int row = 0; row < kWarpRows; row++) {
    float sums[kMostColumns] = {};
    for (int k = 0; k < kDepth; k++) {
      for (int j = 0; j < first.columns; j++) sums[j] += a[row][k] * b[k][j];
    }
    for (int j = 0; j < first.columns; j++) {
      const Product& holder = *lanes[row % 8 * 4 + j % 8 / 2];
      float& to = holder.sums[j / 8 * 4 + row / 8 * 2 + j % 2];
      to = holder.keep ? to + sums[j] : sums[j];
    }
  }
}

struct Request {
  int thread;
  size_t left;   // groups that may stay under way
  bool commits;  // the newest, which may be done at once
  Site site;
};

// Runs the groups of a warp that are not done, except the newest `left`.
void compute_groups(unsigned, void** arguments) {
  Request& last = *static_cast<Request*>(arguments[0]);
  const int first_thread = last.thread / kLanes * kLanes;
  ThreadProducts* lanes = &threads()[first_thread];
  const size_t groups = lanes[0].groups.size();
  if (last.commits) {
    lanes[0].groups.back().work = ordering::begin_product(first_thread);
    if (is_early()) last.left = 0;
  }
  for (size_t g = 0; g + last.left < groups; g++) {
    if (lanes[0].groups[g].done) continue;
    for (size_t i = 0; i < lanes[0].groups[g].products.size(); i++) {
      const Product* products[kLanes];
      for (int lane = 0; lane < kLanes; lane++) {
        const auto& own = lanes[lane].groups;
        if (own.size() != groups || own[g].products.size() <= i ||
            !own[g].products[i].same(lanes[0].groups[g].products[i])) {
          fault("the lanes of a warp give wgmma different matrices", last.site);
        }
        products[lane] = &own[g].products[i];
      }
      compute(products, last.thread / kLanes % 4, lanes[0].groups[g].work);
    }
    for (int lane = 0; lane < kLanes; lane++) lanes[lane].groups[g].done = true;
  }
  for (size_t g = 0; !last.commits && g + last.left < groups; g++) {
    const auto known = ordering::done(lanes[0].groups[g].work);
    for (int lane = 0; lane < kLanes; lane++) ordering::acquire(first_thread + lane, known);
  }
}

ThreadProducts& own() { return threads()[running_block().current->thread]; }

void run_groups(size_t left, bool commits, Site site) {
  Request request{running_block().current->thread, left, commits, site};
  warp_collective(0xffffffffu, compute_groups, &request, false, site);
}

}  // namespace

void wgmma_begins(int count) { threads().assign(count, ThreadProducts()); }

void wgmma_thread_ends(int thread) {
  const ThreadProducts& left = threads()[thread];
  if (!left.open.empty()) fault("a thread exits before it commits wgmma", left.open[0].site);
  for (const Group& group : left.groups) {
    if (!group.done) fault("a thread exits before wgmma is complete", group.products[0].site);
  }
}

void issue_wgmma(float* sums, int count, uint64_t a, uint64_t b, const uint32_t* registers,
                 unsigned transposed, bool keep, Site site) {
  require_hopper(site);
  // PTX asks for it where a thread has used registers of the sums or of A. Registers are not
  // followed here, so every group has to be fenced, one behind another on the same sums as well.
  if (!own().is_fenced) fault("wgmma without wgmma_fence since the last commit", site);
  Product product{
      sums, count * 2, a, b, {}, registers != nullptr, (transposed & 1) != 0, (transposed & 2) != 0,
      keep, site};
  if (registers != nullptr) std::memcpy(product.registers, registers, sizeof product.registers);
  own().open.push_back(product);
}

void wait_wgmma(int pending, Site site) {
  run_groups(static_cast<size_t>(pending), false, site);
  auto& groups = own().groups;
  while (groups.size() > static_cast<size_t>(pending)) groups.erase(groups.begin());
}

}  // namespace remoe::emulator

namespace remoe::hopper {

using namespace emulator;

void wgmma_fence() { own().is_fenced = true; }

void wgmma_commit(Site site) {
  own().is_fenced = false;
  Group group;
  group.products = std::exchange(own().open, {});
  own().groups.push_back(std::move(group));
  run_groups(own().groups.size(), true, site);
}

}  // namespace remoe::hopper
