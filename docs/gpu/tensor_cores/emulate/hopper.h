// The names of ../hopper.h for the host: a fiber a thread, asynchronous copies completed late and
// in random order, wgmma computed at its wait by decoding the descriptors.
#pragma once
#include <ucontext.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <unordered_map>
#include <vector>

#define __device__
#define __global__
#define __host__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)

struct uint4 {
  uint32_t x, y, z, w;
};
struct float4 {
  float x, y, z, w;
};
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }
struct float2 {
  float x, y;
};
struct uint2 {
  uint32_t x, y;
};
inline uint2 make_uint2(uint32_t x, uint32_t y) { return {x, y}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
struct Dim {
  unsigned x;
};

namespace hopper {
using bf16 = uint16_t;
using Barrier = uint64_t;
constexpr int kWarp = 32;
constexpr int kWarpgroup = 128;
struct TensorMap {
  const char* data;
  int width;
  int64_t size[3], stride[2];
  int box[3];
};  // bytes an element; innermost first

[[noreturn]] inline void die(const char* what) {
  fprintf(stderr, "EMULATOR: %s\n", what);
  abort();
}
inline std::mt19937& rng() {
  static std::mt19937 r(7);
  return r;
}

struct Rendezvous {
  int arrived = 0;
  uint64_t generation = 0;
};
struct State {
  int count = 0, pending = 0;
  int64_t tx = 0;
  uint64_t phase = 0;
};
struct Mma {
  float* sum;
  uint64_t left, right;
  int ta, tb, n, keep;
  bool registers;
  uint32_t a[4];
};
struct BlockState;
struct StoreGroup {
  std::vector<std::function<void()>> stores;
  bool done = false;
};
struct Thread {
  ucontext_t context;
  std::vector<char> stack;
  Dim thread, block;
  BlockState* home;
  bool done = false;
  std::vector<std::function<void()>> copies;
  std::vector<std::function<void()>> stores;
  std::vector<std::shared_ptr<StoreGroup>> store_groups;
  std::vector<Mma> open;
  std::vector<std::vector<Mma>> groups;
};
struct Warp {
  Rendezvous meet;
  uint32_t value[32];
};
struct BlockState {
  unsigned char* shared;
  size_t bytes;
  Rendezvous all;
  std::unordered_map<int, Rendezvous> named;
  std::vector<Warp> warps;
  int threads;
};
inline Thread* current;
inline ucontext_t scheduler;
inline uint64_t progress;
inline Dim grid;
inline std::unordered_map<Barrier*, State> barriers;
inline std::vector<std::function<void()>> in_flight;
struct Range {
  const char* begin;
  const char* end;
};
inline std::vector<Range> readable;

inline void check_read(const void* p, size_t n) {
  if (readable.empty()) return;
  for (const Range& r : readable)
    if (p >= r.begin && static_cast<const char*>(p) + n <= r.end) return;
  die("read outside of every array");
}
inline void yield() { swapcontext(&current->context, &scheduler); }
template <class F>
void block_until(F ready) {
  while (!ready()) yield();
  progress++;
}
inline void meet(Rendezvous& r, int count) {
  const uint64_t generation = r.generation;
  progress++;
  if (++r.arrived == count) {
    r.arrived = 0;
    r.generation++;
    return;
  }
  block_until([&] { return r.generation != generation; });
}
inline Warp& warp() { return current->home->warps[current->thread.x / 32]; }
inline void warp_sync() { meet(warp().meet, 32); }

inline uint32_t shared_address(const void* p) {
  const std::ptrdiff_t d = static_cast<const unsigned char*>(p) - current->home->shared;
  if (d < 0 || static_cast<size_t>(d) >= current->home->bytes) die("not shared memory");
  return static_cast<uint32_t>(d);
}
inline void shared_put(void* to, uint32_t v) {
  shared_address(to);
  memcpy(to, &v, 4);
}
inline void shared_put(void* to, float v, float w) {
  shared_address(to);
  memcpy(to, &v, 4);
  memcpy(static_cast<char*>(to) + 4, &w, 4);
}
inline uint32_t shared_get(const void* from) {
  shared_address(from);
  uint32_t v;
  memcpy(&v, from, 4);
  return v;
}
inline float2 shared_get_2(const float* from) {
  shared_address(from);
  return {from[0], from[1]};
}
inline uint4 shared_get_16(const void* from) {
  shared_address(from);
  uint4 v;
  memcpy(&v, from, 16);
  return v;
}
inline void settle(Barrier* b) {
  State& s = barriers.at(b);
  if (s.pending < 0) die("too many arrivals");
  if (s.pending == 0 && s.tx == 0) {
    s.pending = s.count;
    s.phase++;
  }
  progress++;
}
inline void copy_16(void* to, const void* from, bool inside) {
  if (shared_address(to) % 16) die("copy_16: target");
  if (reinterpret_cast<uintptr_t>(from) % 16) die("copy_16: source alignment");
  if (inside) check_read(from, 16);
  current->copies.push_back([=] { inside ? (void)memcpy(to, from, 16) : (void)memset(to, 0, 16); });
}
inline void wait_copies() {
  for (auto& c : current->copies) c();
  current->copies.clear();
}
inline void arrive(Barrier* b) {
  barriers.at(b).pending--;
  settle(b);
}
inline void arrive_copies(Barrier* b) {
  auto copies = std::move(current->copies);
  current->copies.clear();
  in_flight.push_back([=] {
    for (auto& c : copies) c();
    arrive(b);
  });
}
inline void arrive_expect(Barrier* b, int bytes) {
  barriers.at(b).tx += bytes;
  arrive(b);
}
// `f`(place in shared memory, place in the tensor or null) for every element of a box.
template <class F>
void each_of_box(unsigned char* base, const TensorMap& m, int x, int y, int z, F f) {
  const int at[3] = {x, y, z};
  for (int k = 0; k < m.box[2]; k++)
    for (int j = 0; j < m.box[1]; j++)
      for (int i = 0; i < m.box[0]; i++) {
        const int64_t c[3] = {at[0] + i, at[1] + j, at[2] + k};
        bool inside = true;
        for (int d = 0; d < 3; d++) inside = inside && c[d] >= 0 && c[d] < m.size[d];
        uint32_t byte = (k * m.box[1] + j) * 128 + i * m.width;
        byte ^= (byte >> 7 & 7) << 4;
        f(base + byte,
          inside ? m.data + c[0] * m.width + c[1] * m.stride[0] + c[2] * m.stride[1] : nullptr);
      }
}
inline void copy_box(void* to, const TensorMap& m, int x, int y, int z, Barrier* b) {
  if (shared_address(to) % 1024) die("copy_box: target");
  if (m.data == nullptr) die("copy_box: no map");
  in_flight.push_back([=, &m] {
    each_of_box(static_cast<unsigned char*>(to), m, x, y, z, [&](unsigned char* p, const char* q) {
      q ? (void)memcpy(p, q, m.width) : (void)memset(p, 0, m.width);
    });
    barriers.at(b).tx -= m.box[0] * m.box[1] * m.box[2] * m.width;
    settle(b);
  });
}
inline void copy_bytes(void* to, const void* from, int bytes, Barrier* b) {
  if (shared_address(to) % 16 || reinterpret_cast<uintptr_t>(from) % 16 || bytes % 16)
    die("copy_bytes: alignment");
  check_read(from, bytes);
  in_flight.push_back([=] {
    memcpy(to, from, bytes);
    barriers.at(b).tx -= bytes;
    settle(b);
  });
}
inline void store(const TensorMap& m, int x, int y, int z, const void* from, bool add) {
  if (shared_address(from) % 1024) die("store_box: source");
  if (m.data == nullptr) die("store_box: no map");
  auto* base = static_cast<unsigned char*>(const_cast<void*>(from));
  current->stores.push_back([=, &m] {
    each_of_box(base, m, x, y, z, [&](unsigned char* p, const char* q) {
      if (q == nullptr) return;
      char* to = const_cast<char*>(q);
      if (!add) {
        memcpy(to, p, m.width);
        return;
      }
      float a, v;
      memcpy(&a, to, 4);
      memcpy(&v, p, 4);
      a += v;
      memcpy(to, &a, 4);
    });
  });
}
inline void store_box(const TensorMap& m, int x, int y, int z, const void* from) {
  store(m, x, y, z, from, false);
}
inline void add_box(const TensorMap& m, int x, int y, int z, const void* from) {
  if (m.width != 4) die("add_box: type");
  store(m, x, y, z, from, true);
}
inline void finish(StoreGroup& g) {
  if (!g.done)
    for (auto& f : g.stores) f();
  g.done = true;
}
inline void commit_stores() {
  auto g = std::make_shared<StoreGroup>();
  g->stores = std::move(current->stores);
  current->stores.clear();
  current->store_groups.push_back(g);
  in_flight.push_back([g] { finish(*g); });
}
template <int kPending>
void wait_stores_read() {
  auto& g = current->store_groups;
  while (g.size() > kPending) {
    finish(*g.front());
    g.erase(g.begin());
  }
}
inline void prefetch_map(const TensorMap&) {}
inline void barrier_init(Barrier* b, int count) { barriers[b] = {count, count, 0, 0}; }
inline void barrier_init_fence() {}
inline void wait(Barrier* b, uint32_t parity) {
  block_until([=] { return (barriers.at(b).phase & 1) != parity; });
}
inline void named_barrier_arrive(int id, int threads) {
  Rendezvous& r = current->home->named[id];
  progress++;
  if (++r.arrived == threads) {
    r.arrived = 0;
    r.generation++;
  }
}
inline void named_barrier_sync(int id, int threads) { meet(current->home->named[id], threads); }
inline void proxy_fence() {}
inline void wgmma_fence() {}
inline uint64_t descriptor(const void* p, uint32_t leading, uint32_t stride) {
  return static_cast<uint64_t>((shared_address(p) & 0x3ffff) >> 4) |
         static_cast<uint64_t>(leading >> 4) << 16 | static_cast<uint64_t>(stride >> 4) << 32 |
         static_cast<uint64_t>(1) << 62;
}
inline float element(uint64_t d, bool mn, int i, int k) {
  const uint32_t start = (d & 0x3fff) << 4, leading = (d >> 16 & 0x3fff) << 4,
                 stride = (d >> 32 & 0x3fff) << 4;
  uint32_t byte = mn ? start + i / 64 * leading + k / 8 * stride + k % 8 * 128 + i % 64 * 2
                     : start + i / 8 * stride + i % 8 * 128 + k * 2;
  byte ^= (byte >> 7 & 7) << 4;
  bf16 v;
  memcpy(&v, current->home->shared + byte, 2);
  const uint32_t w = static_cast<uint32_t>(v) << 16;
  float f;
  memcpy(&f, &w, 4);
  return f;
}
inline uint32_t exchange(uint32_t v, int from) {
  Warp& w = warp();
  w.value[current->thread.x % 32] = v;
  warp_sync();
  const uint32_t r = w.value[from];
  warp_sync();
  return r;
}
inline float bf16_at(uint32_t v) {
  v <<= 16;
  float f;
  memcpy(&f, &v, 4);
  return f;
}
// A's fragment from registers: each thread needs its row's sixteen values, held by its quad.
// Exchanged at the issue.
inline void run(const Mma& m, const float (*fragment)[16]) {
  const int t = current->thread.x % 128, lane = t % 32;
  for (int half = 0; half < 2; half++) {
    const int row = t / 32 * 16 + lane / 4 + half * 8;
    float a[16];
    for (int k = 0; k < 16; k++)
      a[k] = fragment ? fragment[half][k] : element(m.left, m.ta, row, k);
    for (int j = 0; j < m.n / 8; j++)
      for (int p = 0; p < 2; p++) {
        float s = 0;
        for (int k = 0; k < 16; k++)
          s += a[k] * element(m.right, m.tb, j * 8 + lane % 4 * 2 + p, k);
        float& d = m.sum[j * 4 + half * 2 + p];
        d = m.keep ? d + s : s;
      }
  }
}
template <int TA, int TB>
void wgmma_n256(float (&sum)[128], uint64_t a, uint64_t b) {
  current->open.push_back({sum, a, b, TA, TB, 256, 1, false, {}});
}
template <int TA, int TB, int R>
void wgmma(float (&sum)[R], uint64_t a, uint64_t b, int keep) {
  current->open.push_back({sum, a, b, TA, TB, R * 2, keep, false, {}});
}
template <int TB, int R>
void wgmma(float (&sum)[R], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint64_t b) {
  current->open.push_back({sum, 0, b, 0, TB, R * 2, 1, true, {a0, a1, a2, a3}});
}
inline void wgmma_commit() {
  current->groups.push_back(std::move(current->open));
  current->open.clear();
}
template <int kPending>
void wgmma_wait() {
  auto& g = current->groups;
  while (g.size() > kPending) {
    for (const Mma& m : g.front()) {
      if (!m.registers) {
        run(m, nullptr);
        continue;
      }
      float fragment[2][16];
      const int quad = current->thread.x % 32 / 4 * 4;
      for (int r = 0; r < 4; r++) {
        for (int from = 0; from < 4; from++) {
          const uint32_t v = exchange(m.a[r], quad + from);
          fragment[r % 2][r / 2 * 8 + from * 2] = bf16_at(v & 0xffff);
          fragment[r % 2][r / 2 * 8 + from * 2 + 1] = bf16_at(v >> 16);
        }
      }
      run(m, fragment);
    }
    g.erase(g.begin());
  }
  warp_sync();
}
template <int>
void registers_down() {}
template <int>
void registers_up() {}

inline uint32_t shuffle_xor(uint32_t v, int mask) {
  return exchange(v, (current->thread.x % 32) ^ mask);
}
inline float shuffle_xor(float v, int mask) {
  uint32_t w;
  memcpy(&w, &v, 4);
  w = shuffle_xor(w, mask);
  memcpy(&v, &w, 4);
  return v;
}
inline int shuffle_up(int v, int d) {
  const int lane = current->thread.x % 32;
  return static_cast<int>(exchange(v, lane >= d ? lane - d : lane));
}
inline int shuffle(int v, int lane) { return static_cast<int>(exchange(v, lane)); }
inline uint32_t round_bf16(float f) {
  uint32_t w;
  memcpy(&w, &f, 4);
  if (f != f) return 0x7fff;
  return (w + 0x7fff + (w >> 16 & 1)) >> 16;
}
inline uint32_t pack(float low, float high) { return round_bf16(low) | round_bf16(high) << 16; }
inline float low_half(uint32_t v) {
  v <<= 16;
  float f;
  memcpy(&f, &v, 4);
  return f;
}
inline float high_half(uint32_t v) {
  v &= 0xffff0000u;
  float f;
  memcpy(&f, &v, 4);
  return f;
}
inline float exp2_fast(float x) { return std::exp2(x); }
inline float root_fast(float x) { return std::sqrt(x); }
inline float divide_fast(float a, float b) { return a / b; }
inline float maximum(float a, float b) { return std::fmax(a, b); }
inline float log_fast(float x) { return std::log(x); }
inline float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }
inline uint4 load_16(const void* p) {
  if (reinterpret_cast<uintptr_t>(p) % 16) die("load_16: alignment");
  check_read(p, 16);
  uint4 v;
  memcpy(&v, p, 16);
  return v;
}
inline float4 stream_in(const float* p) {
  check_read(p, 16);
  float4 v;
  memcpy(&v, p, 16);
  return v;
}
inline void stream_out(float* p, float4 v) {
  check_read(p, 16);
  memcpy(p, &v, 16);
}

// ---- running
inline std::function<void()> body;
inline void entry() {
  body();
  current->done = true;
  swapcontext(&current->context, &scheduler);
}

inline void run_block(int number, int threads, size_t bytes, unsigned char* memory) {
  BlockState block;
  std::vector<Thread> fibers(threads);
  barriers.clear();
  in_flight.clear();
  block.shared = memory;
  block.bytes = bytes;
  block.threads = threads;
  block.warps.resize(threads / 32);
  memset(memory, 0xff, bytes);
  for (int t = 0; t < threads; t++) {
    Thread& f = fibers[t];
    f.home = &block;
    f.thread.x = t;
    f.block.x = number;
    f.stack.resize(48 << 10);
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack.data();
    f.context.uc_stack.ss_size = f.stack.size();
    f.context.uc_link = nullptr;
    makecontext(&f.context, entry, 0);
  }
  std::vector<Thread*> alive;
  for (auto& f : fibers) alive.push_back(&f);
  int idle = 0;
  while (!alive.empty() || !in_flight.empty()) {
    const uint64_t before = progress;
    const size_t begin = alive.empty() ? 0 : rng()() % alive.size();
    for (size_t i = 0; i < alive.size(); i++) {
      current = alive[(begin + i) % alive.size()];
      if (rng()() % 8 == 0) continue;
      swapcontext(&scheduler, &current->context);
    }
    std::erase_if(alive, [](Thread* t) { return t->done; });
    current = &fibers[0];
    for (int n = alive.empty() || idle > 2 ? 1000 : static_cast<int>(rng()() % 24);
         n > 0 && !in_flight.empty(); n--) {
      const size_t i = rng()() % in_flight.size();
      auto f = std::move(in_flight[i]);
      in_flight[i] = std::move(in_flight.back());
      in_flight.pop_back();
      f();
      progress++;
    }
    idle = progress == before ? idle + 1 : 0;
    if (idle > 200) die("deadlock");
  }
}
}  // namespace hopper

#define threadIdx (hopper::current->thread)
#define blockIdx (hopper::current->block)
#define gridDim (hopper::grid)
#define __syncthreads() hopper::meet(hopper::current->home->all, hopper::current->home->threads)
