/** Programs on Hopper's instructions: sound ones, and those that the emulator has to refuse. @module */

import { SIDE, X, Y } from "./hopper_probe.ts";

/** A program of one block. */
export interface Probe {
  /** What it does, phrased as the end of a sentence. */
  readonly does: string;
  readonly body: string;
}

/** An element of a matrix as the maps see it. */
function seen(matrix: Float32Array, row: number, column: number): number {
  return column < 60 ? matrix[row * SIDE + column]! : 0;
}

/** The sum over k of a(k) * b(k). */
function dot(a: (k: number) => number, b: (k: number) => number): number {
  let sum = 0;
  for (let k = 0; k < SIDE; k++) sum += a(k) * b(k);
  return sum;
}

const PRODUCT = `float d[32];
  load(s, mx, my);
  wait(&s.full, 0);`;

/** Code with a well-defined result on Hopper, and that result. */
export const SOUND:
  readonly (Probe & { readonly expected: (row: number, column: number) => number })[] = [
    {
      does: "multiplies boxes, both K-major",
      body: `${PRODUCT} multiply<0, 0>(s, d); wgmma_wait<0>(); store(out, d);`,
      expected: (row, column) => dot((k) => seen(X, row, k), (k) => seen(Y, column, k)),
    },
    {
      does: "multiplies boxes, both MN-major",
      body: `${PRODUCT} multiply<1, 1>(s, d); wgmma_wait<0>(); store(out, d);`,
      expected: (row, column) => dot((k) => seen(X, k, row), (k) => seen(Y, k, column)),
    },
    {
      does: "multiplies A from registers, in two batches",
      body: `${PRODUCT}
      for (int n = 0; n < 32; n++) d[n] = 1;
      for (int k = 0; k < 64; k += 16) {
        uint32_t r[4];
        for (int q = 0; q < 4; q++) {
          const int row = i / 32 * 16 + i % 32 / 4 + q % 2 * 8;
          const int column = k + i % 4 * 2 + q / 2 * 8;
          memcpy(&r[q], &x[row * 64 + column], 4);
        }
        wgmma_fence();
        wgmma<1>(d, r[0], r[1], r[2], r[3], descriptor(s.b + k * 64, 8192, 1024));
        if (k == 16) { wgmma_commit(); wgmma_wait<0>(); }
      }
      wgmma_commit();
      wgmma_wait<0>();
      store(out, d);`,
      expected: (row, column) => 1 + dot((k) => X[row * SIDE + k]!, (k) => seen(Y, k, column)),
    },
    {
      does: "multiplies what copies of 16 bytes brought, zeros included",
      body: `start_barrier(s, 128);
      for (int n = i; n < 512; n += 128) {
        const int row = n / 8, chunk = n % 8, to = row * 64 + (chunk ^ (row & 7)) * 8;
        copy_16(s.a + to, x + n * 8, row < 50);
        copy_16(s.b + to, y + n * 8, row < 50);
      }
      arrive_copies(&s.full);
      wait(&s.full, 0);
      proxy_fence();
      float d[32];
      multiply<1, 1>(s, d);
      wgmma_wait<0>();
      store(out, d);`,
      expected: (row, column) =>
        dot((k) => k < 50 ? X[k * SIDE + row]! : 0, (k) => k < 50 ? Y[k * SIDE + column]! : 0),
    },
    {
      does: "adds and stores boxes",
      body: `for (int n = i; n < 4096; n += 128) {
        const float v = static_cast<float>(n);
        memcpy(place(s, n / 64, n % 64), &v, 4);
      }
      proxy_fence();
      __syncthreads();
      if (i == 0) {
        add_box(mo, 0, 0, 0, s.c);
        commit_stores();
        store_box(mo, 32, 0, 0, s.c + 2048);
        commit_stores();
        wait_stores_read<0>();
      }`,
      expected: (row, column) => row * SIDE + column + (column < 32 ? 1 : 0),
    },
    {
      does: "leaves out what lies outside of the tensor",
      body: `for (int n = 2 * i; n < 2048; n += 256) shared_put(s.c + n, 7.0f, 7.0f);
      proxy_fence();
      __syncthreads();
      if (i == 0) {
        store_box(mo, 32, 60, 0, s.c);
        store_box(mo, 64, 0, 0, s.c);
        store_box(mo, 0, -63, 0, s.c);
        commit_stores();
        wait_stores_read<0>();
      }`,
      expected: (row, column) => (row >= 60 && column >= 32) || (row < 1 && column < 32) ? 7 : 1,
    },
    {
      does: "uses a barrier without a fence among threads, and with a proxy fence for copies",
      body: `if (i == 0) { barrier_init(&s.full, 128); barrier_init(&s.other, 1); }
      __syncthreads();
      arrive(&s.full);
      wait(&s.full, 0);
      if (i == 0) {
        proxy_fence();
        arrive_expect(&s.other, 8192);
        copy_box(s.a, mx, 0, 0, 0, &s.other);
      }
      wait(&s.other, 0);
      for (int n = i; n < 4096; n += 128) out[n] = 4;`,
      expected: () => 4,
    },
    {
      does: "passes phases of a barrier, and values by named barriers",
      body: `start_barrier(s, 2);
      for (int round = 0; round < 4; round++) {
        if (i % 64 == 5) { shared_put(s.c + i / 64, static_cast<uint32_t>(round)); arrive(&s.full); }
        wait(&s.full, round & 1);
        const uint32_t sum = shared_get(s.c) + shared_get(s.c + 1);
        if (sum != 2u * static_cast<uint32_t>(round)) return;
        if (i < 64) named_barrier_arrive(3, 128);
        if (i >= 64) { named_barrier_sync(3, 128); named_barrier_arrive(4, 128); }
        if (i < 64) named_barrier_sync(4, 128);
        if (i == 69) named_barrier_arrive(5, 128);
        else if (i >= 64 || i < 64) named_barrier_sync(5, 128);
        __syncthreads();
      }
      for (int n = i; n < 4096; n += 128) out[n] = 4;`,
      expected: () => 4,
    },
  ];

/** Code that cannot run on. */
export const FAULTS: readonly (Probe & { readonly text: string })[] = [
  {
    does: "waits for bytes that nothing brings",
    body: "start_barrier(s, 1); if (i == 0) arrive_expect(&s.full, 16); wait(&s.full, 0);",
    text: "waits at a barrier probe_0:1",
  },
  {
    does: "copies to an address within a swizzle",
    body: "start_barrier(s, 1); copy_box(s.a + 64, mx, 0, 0, 0, &s.full);",
    text: "a box in shared memory at 128, not a multiple of 1024 at probe_1:1",
  },
  {
    does: "copies 16 bytes beyond a block of memory",
    body: "copy_16(s.a, x + 1000000, true); wait_copies();",
    text: "copy_16 of 16 bytes out of bounds at probe_2:1",
  },
  {
    does: "copies 16 bytes from an odd address",
    body: "copy_16(s.a, x + 4, true); wait_copies();",
    text: "not a multiple of 16 at probe_3:1",
  },
  {
    does: "exits before its copies are complete",
    body: "copy_16(s.a, x, true);",
    text: "exits before its copies are complete at probe_4:1",
  },
  {
    does: "exits before its stores have read",
    body: "if (i == 0) { store_box(mo, 0, 0, 0, s.c); commit_stores(); }",
    text: "exits before its stores have read at probe_5:1",
  },
  {
    does: "multiplies beyond shared memory",
    body:
      "float d[32]; wgmma_fence(); wgmma<0, 0>(d, descriptor(&s.full, 16, 1024), descriptor(s.b, 16, 1024));" +
      "wgmma_commit(); wgmma_wait<0>();",
    text: "wgmma reads outside of the launch's shared memory at probe_6:1",
  },
  {
    does: "gives wgmma other matrices in some lanes",
    body: "float d[32]; load(s, mx, my); wait(&s.full, 0); wgmma_fence();" +
      "wgmma<0, 0>(d, descriptor(s.a, 16, 1024), descriptor(i == 7 ? s.a : s.b, 16, 1024));" +
      "wgmma_commit(); wgmma_wait<0>();",
    text: "the lanes of a warp give wgmma different matrices at probe_7:1",
  },
  {
    does: "exits before wgmma is complete",
    body: "float d[32]; load(s, mx, my); wait(&s.full, 0); multiply<0, 0>(s, d);",
    text: "exits before wgmma is complete",
  },
  {
    does: "arrives too often",
    body: "start_barrier(s, 2); if (i < 3) { arrive(&s.full); arrive_expect(&s.full, 16); }",
    text: "takes more arrivals at probe_9:1",
  },
  {
    does: "multiplies without a fence since the last commit",
    body: "float d[32]; load(s, mx, my); wait(&s.full, 0); multiply<0, 0>(s, d);" +
      "wgmma<0, 0>(d, descriptor(s.a, 16, 1024), descriptor(s.b, 16, 1024));" +
      "wgmma_commit(); wgmma_wait<0>();",
    text: "wgmma without wgmma_fence since the last commit at probe_10:1",
  },
  {
    does: "copies for a barrier that was not shown to copies",
    body: "if (i == 0) barrier_init(&s.full, 1); __syncthreads();" +
      "if (i == 1) { barrier_init_fence(); copy_bytes(s.a, x, 16, &s.full); }",
    text: "a copy that counts on an mbarrier without barrier_init_fence at probe_11:1",
  },
];

/** Code that waits for too little, and what the race checker has to say. */
export const RACES: readonly (Probe & { readonly report: string })[] = [
  {
    does: "multiplies before its boxes have come",
    body: `float d[32]; load(s, mx, my); multiply<0, 0>(s, d); wgmma_wait<0>(); wait(&s.full, 0);`,
    report: "read",
  },
  {
    does: "takes the end of a later copy for that of an earlier one",
    body: `start_barrier(s, 1);
      if (i == 0) {
        arrive_expect(&s.full, 8192);
        copy_box(s.a, mx, 0, 0, 0, &s.full);
        arrive_expect(&s.other, 8192);
        copy_box(s.b, my, 0, 0, 0, &s.other);
      }
      wait(&s.other, 0);
      float d[32];
      multiply<0, 0>(s, d);
      wgmma_wait<0>();
      wait(&s.full, 0);`,
    report: "race in shared memory",
  },
  {
    does: "copies two boxes to one place",
    body: `start_barrier(s, 1);
      if (i == 0) {
        arrive_expect(&s.full, 16384);
        copy_box(s.a, mx, 0, 0, 0, &s.full);
        copy_box(s.a, my, 0, 0, 0, &s.full);
      }
      wait(&s.full, 0);`,
    report: "write-after-write race in shared memory",
  },
  {
    does: "overwrites a matrix that wgmma may still read",
    body: `float d[32]; load(s, mx, my); wait(&s.full, 0); multiply<0, 0>(s, d);
      shared_put(s.a + i / 32 * 16 * 64 + i % 32 * 2, 0u);
      wgmma_wait<0>();`,
    report: "race in shared memory",
  },
  {
    does: "overwrites a box whose store may still read",
    body: `start_barrier(s, 1);
      for (int n = i; n < 2048; n += 128) shared_put(s.c + n, 7u);
      proxy_fence();
      __syncthreads();
      if (i == 0) {
        store_box(mo, 0, 0, 0, s.c);
        commit_stores();
        shared_put(s.c, 8u);
        wait_stores_read<0>();
      }`,
    report: "race in shared memory",
  },
  {
    does: "stores a box without a proxy fence",
    body: `start_barrier(s, 1);
      for (int n = i; n < 2048; n += 128) shared_put(s.c + n, 7u);
      __syncthreads();
      if (i == 0) { store_box(mo, 0, 0, 0, s.c); commit_stores(); wait_stores_read<0>(); }`,
    report: "asynchronous read without a proxy fence in shared memory",
  },
  {
    does: "multiplies what copies of 16 bytes brought without a proxy fence",
    body: `start_barrier(s, 128);
      for (int n = i; n < 512; n += 128) {
        copy_16(s.a + n * 8, x + n * 8, true);
        copy_16(s.b + n * 8, y + n * 8, true);
      }
      arrive_copies(&s.full);
      wait(&s.full, 0);
      float d[32];
      multiply<0, 0>(s, d);
      wgmma_wait<0>();`,
    report: "asynchronous read without a proxy fence in shared memory",
  },
  {
    does: "reads what copies of 16 bytes bring without waiting",
    body: `start_barrier(s, 128); copy_16(s.a + i * 8, x + i * 8, true);
      out[i] = static_cast<float>(shared_get(s.a + i * 8));
      wait_copies();`,
    report: "in shared memory",
  },
  {
    does: "reads before a named barrier is complete",
    body: `start_barrier(s, 1);
      if (i < 64) { shared_put(s.c + i, 1u); named_barrier_arrive(2, 128); }
      if (i >= 64) { out[i] = static_cast<float>(shared_get(s.c + i - 64)); named_barrier_sync(2, 128); }`,
    report: "in shared memory",
  },
  {
    does: "arrives before it writes",
    body: `start_barrier(s, 128);
      arrive(&s.full);
      shared_put(s.c + i, 1u);
      wait(&s.full, 0);
      out[i] = static_cast<float>(shared_get(s.c + (i + 32) % 128));`,
    report: "in shared memory",
  },
];
