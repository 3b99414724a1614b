/*
 * remoe.h: the contract between remoe and a kernel library.
 *
 * The CPU build, the CUDA build and the emulated CUDA build implement the same
 * symbols; TypeScript calls them through Deno FFI. Conventions shared by all of them:
 *
 * Calls      The first argument is a context; the result is a remoe_status. The
 *            message of the last failure is read from the context, never from
 *            thread-local state. Nothing prints, exits, aborts or throws.
 * Addresses  Device addresses are passed as uint64_t, which keeps the call on Deno's
 *            fast path and needs no unscoped FFI permission. 0 means "none" and is
 *            allowed only where a comment says so. Parameters typed as pointers are
 *            HOST buffers, read or written before the call returns.
 * Sizes      int32_t, at least 1 unless stated otherwise; counts that can exceed
 *            2^31 are uint64_t. At most 24 parameters per function.
 * Layout     Dense and row-major: in a matrix [rows, columns], the columns are
 *            adjacent. Vectors and matrices are fp32 unless stated otherwise.
 * dtype      Functions that compute activations take their element type, fp32 or bf16;
 *            "bf16" below says what has it and where values are rounded.
 * Waiting    Work is enqueued on the context's current stream; only functions
 *            marked [waits] block the host. On the CPU all work is done on return.
 *            An index out of range in the data of an enqueued call may be reported by
 *            the next [waits] function, with the message of the call that met it.
 * Repeatable The same inputs give the same bits for a fixed number of threads.
 *            No floating-point atomics; every reduction has a fixed order.
 * accumulate Gradient functions take a bit mask: bit i set adds to the i-th
 *            gradient output, clear overwrites it. An output whose address is 0
 *            is not computed.
 * Optional   A build may lack any function not marked [required].
 *
 * kernels/tools/generate_symbols.ts generates the TypeScript side from this file: run
 * `deno task build:symbols` after a change. It accepts only these declarations:
 *
 * Functions  REMOE_API, preceded by a comment whose first sentence is a summary.
 * Enums      `enum remoe_state_slot` becomes `StateSlot`. Its constants start with
 *            REMOE_STATE_, or all with REMOE_ alone; a comment may follow each.
 * Layouts    REMOE_LAYOUT: the sum or product that gives an offset into a buffer.
 *
 * Symbols in shape comments: T tokens, D hidden size, E experts, N routed rows
 * (pairs of a token and one of its active experts), W width of one expert,
 * V vocabulary, B sequences, S sequence length.
 */
#ifndef REMOE_H
#define REMOE_H

#include <stdint.h>

#if defined(_WIN32)
#define REMOE_API __declspec(dllexport)
#else
#define REMOE_API __attribute__((visibility("default")))
#endif

/* Internal linkage, so that sources compiled for different instruction sets do not share a copy. */
#if defined(__CUDACC__)
#define REMOE_LAYOUT static inline __host__ __device__
#else
#define REMOE_LAYOUT static inline
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Raised whenever a signature, a layout or a meaning in this file changes. */
#define REMOE_ABI_VERSION 6

/* ---- Codes -------------------------------------------------------------- */

/* Result of a call. */
enum remoe_status {
  REMOE_OK = 0,
  REMOE_INVALID_ARGUMENT = 1, /* a null address, a size below 1, an unknown code */
  REMOE_INVALID_CONTEXT = 2,  /* the context is null, closed or not a context */
  REMOE_OUT_OF_MEMORY = 3,
  REMOE_UNSUPPORTED = 4,  /* known to the contract, not to this build or dtype */
  REMOE_NO_DEVICE = 5,    /* no such device, or no driver */
  REMOE_DEVICE_FAULT = 6, /* an earlier operation failed asynchronously */
  REMOE_OUT_OF_RANGE = 7, /* an index in the data (token, target) is out of range */
  REMOE_INTERNAL = 8
};

/* Element types. */
enum remoe_dtype_code {
  REMOE_F32 = 0,
  REMOE_BF16 = 1,
  REMOE_I32 = 2,
  REMOE_F64 = 3 /* only for the step state: storage, fill, copies and casts */
};

/* ---- bf16 --------------------------------------------------------------- */
/*
 * A function's `dtype` is that of its activations, their gradients, and the weights of its matrix
 * products. What it does not name stays fp32: weight gradients, norm weights, router weights,
 * logits, gates and their gradients, statistics, normalizers and losses. The optimizer keeps fp32
 * master weights and writes the bf16 copy that the products read.
 *
 * Sums accumulate in fp32. Outputs are rounded to bf16, to nearest even, once per call; an output
 * that is added to is read, added to in fp32 and rounded. Subnormal bf16 may be read and written as
 * 0. Inside a function, these are rounded, since they are operands of products or kept:
 *
 *   experts_forward         h = (g | u) and a = gate * silu(g) * u, from the rounded h
 *   experts_gradient        h where recomputed, a, dg, du
 *   attention_forward       q / sqrt(head_dim), p = exp(score - m)
 *   attention_gradient      those, dO / l, dS
 *   attention_extend        rotated q and k, and as in attention_forward
 *   cross_entropy_gradient  kept logits, dz
 *
 * A build may keep more of them in fp32, but none other in less. Its results differ from exact
 * arithmetic with the same roundings by at most n * 2^-23 * sum |a b| per product of inner size n,
 * and by what that moves across a rounding boundary; two builds need not agree bit for bit.
 */

/* Kinds of kernel library. */
enum remoe_backend_code { REMOE_CPU = 0, REMOE_CUDA = 1, REMOE_EMULATED = 2 };

/* ---- Library and context ------------------------------------------------ */

/* REMOE_ABI_VERSION of the build; check it before any other call. [required] */
REMOE_API int32_t remoe_abi_version(void);

/* Writes JSON, at most `length` bytes without a terminating zero, and returns the number of bytes
 * needed: {"backend","version","compiler","gemm","isa":[...]}. [required] */
REMOE_API int32_t remoe_build_info(uint8_t* buffer, uint64_t length);

/* Opens a context on device `ordinal` (0 on the CPU) with `threads` CPU threads (0: one per
 * available core). Writes the context to `context[0]`. On failure, writes the reason to `message`
 * (at most `length` bytes, zero-terminated). */
REMOE_API int32_t remoe_context_create(int32_t ordinal, int32_t threads, uint64_t* context,
                                       uint8_t* message, uint64_t length);

/* Waits for pending work, frees all memory of the context and closes it. [waits] */
REMOE_API int32_t remoe_context_destroy(uint64_t context);

/* Writes the message of the last failed call, "<operation>: <what and why>", and returns the number
 * of bytes needed (0: no failure since the last read). */
REMOE_API int32_t remoe_context_message(uint64_t context, uint8_t* buffer, uint64_t length);

/* Writes JSON describing the open device, {"backend","name","isa","threads","gemm","memory_bytes"},
 * and returns the number of bytes needed. If OpenMP grants fewer threads than requested, also
 * "threads_wanted" and, in words, "threads_limit". "bf16": the unit that computes bf16 products, or
 * "fp32" if they are computed from widened operands. */
REMOE_API int32_t remoe_context_info(uint64_t context, uint8_t* buffer, uint64_t length);

/* ---- Memory: a caching pool per context --------------------------------- */
/*
 * The CPU build has two testing aids, read from the environment when a context opens:
 *
 * REMOE_MEMORY_LIMIT=<bytes>  The most memory the pool takes from the system; an
 *                             allocation beyond it fails with REMOE_OUT_OF_MEMORY.
 * REMOE_MEMORY_GUARD=1        Blocks lie between canaries, and hold NaN (0x7fff in every
 *                             two bytes) until they are written and again once freed.
 *                             If a canary was overwritten, the next call that frees a
 *                             block (scratch memory included) or reads the statistics
 *                             fails with REMOE_INTERNAL and says where. Closing the
 *                             context fails too, without a message.
 */

/* Writes the address of `bytes` uninitialised bytes, 64-byte aligned (blocks of 2 MiB or more: 2
 * MiB-aligned), to `address[0]`. Freed blocks are kept for reuse and not returned to the system
 * while the context is open. */
REMOE_API int32_t remoe_memory_allocate(uint64_t context, uint64_t bytes, uint64_t* address);

/* Frees `count` blocks. An address that is not a live block fails the call
 * (REMOE_INVALID_ARGUMENT) and frees nothing. */
REMOE_API int32_t remoe_memory_free(uint64_t context, const uint64_t* addresses, int32_t count);

/* Writes {bytes in use, peak bytes in use, bytes held from the system, live blocks} to
 * statistics[0..3]. Bytes in use are counted as requested, before rounding. */
REMOE_API int32_t remoe_memory_statistics(uint64_t context, uint64_t* statistics);

/* Resets the peak to the bytes in use now. */
REMOE_API int32_t remoe_memory_reset_peak(uint64_t context);

/* Returns all cached, unused blocks to the system. [waits] */
REMOE_API int32_t remoe_memory_trim(uint64_t context);

/* ---- Copies ------------------------------------------------------------- */

/* Copies from host to device; the host buffer may be reused on return. */
REMOE_API int32_t remoe_copy_from_host(uint64_t context, uint64_t target, const uint8_t* source,
                                       uint64_t bytes);
/* Copies from device to host. [waits] */
REMOE_API int32_t remoe_copy_to_host(uint64_t context, uint8_t* target, uint64_t source,
                                     uint64_t bytes);
/* Copies from device to device; the ranges must not overlap. */
REMOE_API int32_t remoe_copy(uint64_t context, uint64_t target, uint64_t source, uint64_t bytes);
/* Sets `count` elements to `value`, rounded to `dtype`. */
REMOE_API int32_t remoe_fill(uint64_t context, int32_t dtype, uint64_t target, double value,
                             uint64_t count);

/* Writes the address of page-locked host memory, for asynchronous copies, to `address[0]`
 * (plain memory on the CPU). */
REMOE_API int32_t remoe_pinned_allocate(uint64_t context, uint64_t bytes, uint64_t* address);
/* Frees page-locked memory. */
REMOE_API int32_t remoe_pinned_free(uint64_t context, uint64_t address);
/* Copies host memory to page-locked memory. */
REMOE_API int32_t remoe_pinned_write(uint64_t context, uint64_t pinned, const uint8_t* source,
                                     uint64_t bytes);
/* Copies page-locked memory to host memory. */
REMOE_API int32_t remoe_pinned_read(uint64_t context, uint8_t* target, uint64_t pinned,
                                    uint64_t bytes);
/* Enqueues a copy from page-locked memory to the device. */
REMOE_API int32_t remoe_copy_from_pinned(uint64_t context, uint64_t target, uint64_t pinned,
                                         uint64_t bytes);
/* Enqueues a copy from the device to page-locked memory. */
REMOE_API int32_t remoe_copy_to_pinned(uint64_t context, uint64_t pinned, uint64_t source,
                                       uint64_t bytes);

/* ---- Streams, events, capture ------------------------------------------- */
/* On the CPU these succeed and do nothing, since all work is done on return. */

/* Creates a stream and writes it to stream[0]. */
REMOE_API int32_t remoe_stream_create(uint64_t context, uint64_t* stream);
/* Destroys a stream. */
REMOE_API int32_t remoe_stream_destroy(uint64_t context, uint64_t stream);
/* Enqueues subsequent calls on `stream`; 0 is the context's default stream. */
REMOE_API int32_t remoe_stream_use(uint64_t context, uint64_t stream);
/* Waits for the work of a stream. [waits] */
REMOE_API int32_t remoe_stream_synchronize(uint64_t context, uint64_t stream);
/* Waits for the device. [waits] */
REMOE_API int32_t remoe_synchronize(uint64_t context);
/* Creates an event and writes it to event[0]. */
REMOE_API int32_t remoe_event_create(uint64_t context, uint64_t* event);
/* Destroys an event. */
REMOE_API int32_t remoe_event_destroy(uint64_t context, uint64_t event);
/* Records an event on the current stream. */
REMOE_API int32_t remoe_event_record(uint64_t context, uint64_t event);
/* Makes the current stream wait for an event. */
REMOE_API int32_t remoe_event_wait(uint64_t context, uint64_t event);
/* Waits for an event. [waits] */
REMOE_API int32_t remoe_event_synchronize(uint64_t context, uint64_t event);
/* Writes the seconds between two recorded events to seconds[0]. [waits] */
REMOE_API int32_t remoe_event_elapsed(uint64_t context, uint64_t start, uint64_t end,
                                      double* seconds);
/* Captures the calls from here to remoe_capture_end as a graph. */
REMOE_API int32_t remoe_capture_begin(uint64_t context);
/* Ends the capture and writes the graph to graph[0]. A build that runs work immediately returns
 * graph 0: nothing was captured, so make the calls again. */
REMOE_API int32_t remoe_capture_end(uint64_t context, uint64_t* graph);
/* Enqueues a captured graph; REMOE_INVALID_ARGUMENT for graph 0. */
REMOE_API int32_t remoe_graph_launch(uint64_t context, uint64_t graph);
/* Destroys a captured graph. */
REMOE_API int32_t remoe_graph_destroy(uint64_t context, uint64_t graph);

/* ---- Step state --------------------------------------------------------- */
/*
 * Slots of the step state. Values that change from step to step live in one device buffer
 * of doubles, so that a captured graph does not freeze them and a step reads back once:
 *
 *   [REMOE_STATE_HEADER doubles][one record of REMOE_RECORD_EXTRA + E doubles per layer]
 *
 * The host writes slots 0..7 before a step; the device writes the rest.
 */
enum remoe_state_slot {
  REMOE_STATE_LEARNING_RATE = 0,
  REMOE_STATE_BIAS_CORRECTION_1 = 1, /* 1 - beta1^step */
  REMOE_STATE_BIAS_CORRECTION_2 = 2, /* 1 - beta2^step */
  REMOE_STATE_STEP = 3,              /* counter of Philox draws */
  REMOE_STATE_LAMBDA = 8,            /* coefficient of the L1 regularisation */
  REMOE_STATE_SPARSITY = 9,          /* S, equation 8 */
  REMOE_STATE_ACTIVE_PAIRS = 10,     /* (token, active expert) pairs, all layers */
  REMOE_STATE_GRADIENT_NORM = 11,
  REMOE_STATE_CLIP_SCALE = 12,
  REMOE_STATE_NOT_FINITE = 13, /* 1 once a gradient norm was not finite */
  REMOE_STATE_LOSS = 14,       /* sum of the values remoe_state_add added */
  REMOE_STATE_L1 = 15,         /* L_reg of equation 9 or 10 */
  REMOE_STATE_BALANCE = 16,    /* TopK's balance loss */
  REMOE_STATE_OVERFLOW = 17,   /* 1 once a dispatch plan overflowed its capacity */
  REMOE_STATE_EXCESS = 18,     /* A/target - 1 of the last proportional update of lambda */
  REMOE_STATE_HEADER = 32
};

/* A layer's record in the step state: REMOE_RECORD_EXTRA totals, then the counts of its E
 * experts. */
enum remoe_record_field {
  REMOE_RECORD_TOKENS = 0,         /* tokens seen */
  REMOE_RECORD_WITHOUT_EXPERT = 1, /* tokens with no active expert */
  REMOE_RECORD_REGULARIZATION = 2, /* sum of f_e * sum_t gate_te, before dividing by L*T */
  REMOE_RECORD_BALANCE = 3,        /* sum of balance losses weighted by tokens */
  REMOE_RECORD_EXTRA = 4
};
/* Index of the first double of a layer's record. With `layer` the number of layers: the doubles in
 * the state. */
REMOE_LAYOUT int64_t remoe_state_record(int64_t layer, int64_t experts) {
  return REMOE_STATE_HEADER + layer * (REMOE_RECORD_EXTRA + experts);
}

/* Begins a step: zeroes the records and the slots ACTIVE_PAIRS, SPARSITY, LOSS, L1, BALANCE,
 * NOT_FINITE, OVERFLOW and GRADIENT_NORM, and sets CLIP_SCALE to 1. LAMBDA and EXCESS are kept. */
REMOE_API int32_t remoe_state_begin(uint64_t context, uint64_t state, int32_t layers,
                                    int32_t experts);
/* Adds a device value to a slot: state[slot] += scale * value[0]; value is fp32[1]. */
REMOE_API int32_t remoe_state_add(uint64_t context, uint64_t state, int32_t slot, uint64_t value,
                                  double scale);
/*
 * Adds one micro-batch's routing to the record of a layer: tokens, tokens without an expert
 * and overflow from the plan, counts i32[E], and depending on `balance`:
 *   REMOE_BALANCE_SWITCH: record[BALANCE] += T * balance_loss(counts, sums) with
 *     balance_loss = E/(k*T^2) * sum_e n_e * P_e, P_e the softmax sums (no coefficient);
 *   else record[REGULARIZATION] += sum_e f_e * P_e with P_e the gate sums and f_e as
 *     in remoe_relu_router_gradient.
 * `sums` is fp32[E] (0: add to neither). `layer` selects the record.
 */
REMOE_API int32_t remoe_state_record_routing(uint64_t context, uint64_t state, int32_t layer,
                                             uint64_t plan, uint64_t counts, uint64_t sums,
                                             int32_t balance, double active, int32_t tokens,
                                             int32_t experts);
/* How lambda follows the sparsity. */
enum remoe_lambda_code {
  REMOE_LAMBDA_FIXED = 0,
  REMOE_LAMBDA_SIGN = 1,        /* equation 7 */
  REMOE_LAMBDA_PROPORTIONAL = 2 /* proportional-integral control of log(lambda) */
};
/*
 * Adapts lambda to the sparsity, once per step. With A = sum of all counts, `tokens` the tokens of
 * the step and target = active * layers * tokens:
 *   SPARSITY = 1 - A/(E*layers*tokens);
 *   L1 = sum of REGULARIZATION records / (layers*tokens);
 *   BALANCE = sum over layers of record[BALANCE]/tokens;
 * and by `rule`
 *   SIGN: lambda <- clamp(lambda * alpha^sign(A - target), floor, ceiling), with sign(0) = 0;
 *   PROPORTIONAL: with e = A/target - 1,
 *     lambda <- clamp(lambda * clamp(exp(gain*e + damping*(e - EXCESS)), 1/alpha, alpha), floor,
 *     ceiling), EXCESS <- e.
 * gain and damping are read by PROPORTIONAL alone. While OVERFLOW is set, lambda and EXCESS keep
 * their values: the counts of a step that did not run in full say nothing about its sparsity.
 */
REMOE_API int32_t remoe_state_update_lambda(uint64_t context, uint64_t state, int32_t layers,
                                            int32_t experts, double active, double tokens,
                                            double alpha, double floor, double ceiling,
                                            int32_t rule, double gain, double damping);

/* ---- Random numbers: Philox 4x32-10 ------------------------------------- */
/* Distributions of random numbers. */
enum remoe_distribution_code { REMOE_UNIFORM = 0, REMOE_NORMAL = 1 };
/*
 * Fills `target` with draws that depend only on the seed, operation, step and index: the
 * same numbers come out for any thread count, device or tiling.
 * key = seed (low word, high word), counter = (index/4 low, index/4 high, operation,
 * step): element i takes word i%4 of the block of counter i/4.
 * REMOE_UNIFORM: a + (b-a) * u, u = (word >> 8) * 2^-24 in [0, 1).
 * REMOE_NORMAL: a + b * z; words (0,1) and (2,3) of a block give two pairs by
 * Box-Muller, z0 = sqrt(-2 ln u1) cos(2 pi u2), z1 = ... sin(...), with
 * u1 = (word_even + 1) * 2^-32 in (0, 1] and u2 = word_odd * 2^-32.
 */
REMOE_API int32_t remoe_random(uint64_t context, int32_t distribution, uint64_t target,
                               uint64_t count, double a, double b, uint64_t seed,
                               uint32_t operation, uint32_t step);

/* ---- Elementwise, reductions, layout ------------------------------------ */

/* Elementwise operations of two tensors. */
enum remoe_binary_code { REMOE_ADD = 0, REMOE_SUBTRACT = 1, REMOE_MULTIPLY = 2, REMOE_DIVIDE = 3 };
/* target = a (op) b with broadcasting. `layout` is host int32: rank (0..8), then shape[rank],
 * strides of a [rank], strides of b [rank], in elements; a stride of 0 broadcasts. The target is
 * dense. */
REMOE_API int32_t remoe_binary(uint64_t context, int32_t operation, int32_t dtype, uint64_t target,
                               uint64_t a, uint64_t b, const int32_t* layout);

/* Elementwise functions. */
enum remoe_unary_code {
  REMOE_NEGATE = 0,
  REMOE_EXP = 1,
  REMOE_LOG = 2,
  REMOE_SQRT = 3,
  REMOE_SQUARE = 4,
  REMOE_RELU = 5,
  REMOE_SIGMOID = 6,
  REMOE_SILU = 7,
  REMOE_TANH = 8,
  REMOE_SCALE = 9, /* parameter * x */
  REMOE_SHIFT = 10 /* parameter + x */
};
/* target[i] = op(x[i]), element by element. */
REMOE_API int32_t remoe_unary(uint64_t context, int32_t operation, int32_t dtype, uint64_t target,
                              uint64_t x, float parameter, uint64_t count);
/* Gradient of remoe_unary: dx[i] (+)= op'(x[i]) * dy[i]. */
REMOE_API int32_t remoe_unary_gradient(uint64_t context, int32_t operation, int32_t dtype,
                                       uint64_t dx, uint64_t dy, uint64_t x, float parameter,
                                       uint64_t count, int32_t accumulate);
/* target[i] += scale * x[i]; target and x may differ in dtype. */
REMOE_API int32_t remoe_accumulate(uint64_t context, int32_t dtype, uint64_t target,
                                   int32_t dtype_x, uint64_t x, float scale, uint64_t count);

/* Reductions. */
enum remoe_reduction_code { REMOE_SUM = 0, REMOE_MEAN = 1, REMOE_MAXIMUM = 2 };
/* Reduces the flagged axes of x. `layout` is host int32: rank (0..8), shape[rank], flags[rank] (1:
 * reduce this axis). The target is dense over the kept axes. Sums accumulate in fp32 in a fixed
 * pairwise or blocked order. */
REMOE_API int32_t remoe_reduce(uint64_t context, int32_t operation, int32_t dtype, uint64_t target,
                               uint64_t x, const int32_t* layout, int32_t accumulate);
/* Softmax over the last axis of [rows, columns]. */
REMOE_API int32_t remoe_softmax(uint64_t context, int32_t dtype, uint64_t target, uint64_t x,
                                int32_t rows, int32_t columns);
/* Gradient of softmax: dx (+)= y * (dy - <dy, y>), row by row. */
REMOE_API int32_t remoe_softmax_gradient(uint64_t context, int32_t dtype, uint64_t dx, uint64_t dy,
                                         uint64_t y, int32_t rows, int32_t columns,
                                         int32_t accumulate);
/* Converts between dtypes. Rounds to nearest even; fp to i32 truncates. */
REMOE_API int32_t remoe_cast(uint64_t context, int32_t target_dtype, uint64_t target,
                             int32_t source_dtype, uint64_t source, uint64_t count);
/* Gathers a strided source: transposes, slices, broadcasts. target[dense over shape] =
 * source[strides]; `layout`: rank (0..8), shape[rank], strides of the source [rank], in
 * elements. */
REMOE_API int32_t remoe_copy_strided(uint64_t context, int32_t dtype, uint64_t target,
                                     uint64_t source, const int32_t* layout);

/* ---- Dense products ----------------------------------------------------- */

/* C[m,n] = alpha * op(A) * op(B) + beta * C, where op transposes if the flag is 1. lda, ldb, ldc:
 * elements between stored rows. With beta == 0, C is not read. If only one of A and B is bf16, it
 * is widened to fp32. */
REMOE_API int32_t remoe_gemm(uint64_t context, int32_t dtype_a, int32_t dtype_b, int32_t dtype_c,
                             int32_t transpose_a, int32_t transpose_b, int32_t m, int32_t n,
                             int32_t k, float alpha, uint64_t a, int32_t lda, uint64_t b,
                             int32_t ldb, float beta, uint64_t c, int32_t ldc);

/* ---- Routers ------------------------------------------------------------ */
/*
 * Every router gives gates [T,E], zero where a token is not routed; the mask, one bit per pair of
 * token and expert, i32[T, ceil(E/32)] with expert e in bit e%32 of word e/32; and counts i32[E]
 * (tokens per expert). It takes back the gradient of the gates. The mask alone says which pairs are
 * routed: the gate of a routed pair may be 0 or negative. Routers write 0 to the bits from E on,
 * and nothing reads them. `dtype` is that of x; weights and all outputs are fp32, so that a small
 * gate is not rounded to a closed one.
 */

/* Regularisations of the router. */
enum remoe_balance_code {
  REMOE_BALANCE_NONE = 0,
  REMOE_BALANCE_PLAIN = 1,        /* equation 9: f = 1 */
  REMOE_BALANCE_LOAD = 2,         /* equation 10: f_e = E * n_e / (k * T) */
  REMOE_BALANCE_SWITCH = 3,       /* E/(k*T^2) * sum_e n_e P_e on TopK's softmax */
  REMOE_BALANCE_LOAD_SQUARED = 4, /* equation 10 with f_e^2 in place of f_e */
  REMOE_BALANCE_TRANSPORT = 5     /* equation 10 with f_e from remoe_transport_weights */
};

/* What the ReLU router makes of a positive logit z; every other logit gives the gate 0. */
enum remoe_gate_code {
  REMOE_GATE_RELU = 0,         /* z, equation 5 */
  REMOE_GATE_RELU_SQUARED = 1, /* z^2 */
  REMOE_GATE_TANH = 2          /* tanh(z) */
};

/* The ReLU router, equation 5: gates = activation(ReLU(x W)), x [T,D], w [D,E], `activation` one of
 * remoe_gate_code; in the same pass mask, counts and gate_sums fp32[E] = sum_t gates. A logit at
 * most 0 (-0, -Inf) gives the gate +0; NaN stays, as does +Inf where the activation is unbounded,
 * so that a diverged run shows. Every gate other than 0 is routed, NaN included; a square too small
 * for fp32 is not. */
REMOE_API int32_t remoe_relu_router_forward(uint64_t context, int32_t dtype, uint64_t gates,
                                            uint64_t mask, uint64_t counts, uint64_t gate_sums,
                                            uint64_t x, uint64_t w, int32_t tokens, int32_t hidden,
                                            int32_t experts, int32_t activation);
/*
 * Gradient of the ReLU router's logits. The regularisation enters here rather than through
 * a graph of its own:
 *   dlogits[t,e] = gates[t,e] > 0 ? (dgates[t,e] + lambda * f_e * scale) * slope
 *                : counts[e] == 0 ? -revive * scale : 0
 * slope is the derivative of `activation` at the gate: 1, 2*sqrt(gate) or 1 - gate^2. f_e = 0, 1,
 * E*counts[e]/(active*T), its square or weights[e] by `balance` (NONE, PLAIN, LOAD, LOAD_SQUARED,
 * TRANSPORT); lambda is a device double[1]; scale = 1/(L*T_step), with T_step the tokens of the
 * optimizer step (equations 9 to 11). `revive`, at least 0, pulls at the logits of experts without
 * tokens, which nothing else reaches. `lambda` may be 0 with NONE, `weights` without TRANSPORT, and
 * `counts` where neither LOAD, LOAD_SQUARED nor a positive `revive` reads it. dlogits may alias
 * dgates.
 */
REMOE_API int32_t remoe_relu_router_gradient(uint64_t context, uint64_t dlogits, uint64_t dgates,
                                             uint64_t gates, uint64_t counts, uint64_t weights,
                                             uint64_t lambda, int32_t balance, int32_t activation,
                                             double active, double scale, double revive,
                                             int32_t tokens, int32_t experts);
/*
 * Prices of the experts in a balanced transport of the tokens to them. With m the mean of the gates
 * other than 0, K[t,e] = exp(max(sharpness * (gates[t,e] - max_e gates[t,e]) / m, -60)) over the
 * tokens with an expert, and v = 1, each of `iterations` rounds of Sinkhorn's scaling sets
 *   u_t = 1 / sum_e K[t,e] v_e, then v_e = (T'/E) / sum_t u_t K[t,e], T' = tokens with an expert;
 * weights fp32[E] = (1/v_e) / mean_e(1/v_e), 1 where all experts are equally wanted and more for
 * those that more tokens want; 1 for all if no gate is open. weighted_sums fp32[E] =
 * weights * gate_sums. Not finite gates make all of them NaN.
 */
REMOE_API int32_t remoe_transport_weights(uint64_t context, uint64_t weights,
                                          uint64_t weighted_sums, uint64_t gates,
                                          uint64_t gate_sums, double sharpness, int32_t iterations,
                                          int32_t tokens, int32_t experts);

/* The TopK router: p = softmax(x W) over all experts, gates = p for the k largest logits (ties: the
 * lower expert), else 0; no renormalisation unless renormalize != 0 (gates over their sum). Exactly
 * k experts per token are in the mask, also where p is too small for fp32 and the gate is 0.
 * probabilities [T,E] is kept for the gradient; probability_sums fp32[E] = sum_t p; normalizer
 * fp32[T] = log-sum-exp of a token's logits (0: not kept); z_sum fp32[1] = sum_t normalizer^2, the
 * z-loss without its coefficient (0: not wanted). */
REMOE_API int32_t remoe_topk_router_forward(uint64_t context, int32_t dtype, uint64_t gates,
                                            uint64_t probabilities, uint64_t mask, uint64_t counts,
                                            uint64_t probability_sums, uint64_t normalizer,
                                            uint64_t z_sum, uint64_t x, uint64_t w, int32_t tokens,
                                            int32_t hidden, int32_t experts, int32_t active,
                                            int32_t renormalize);
/* Gradient of the TopK router's logits: dp = routed ? dgates : 0 (through the renormalisation
 * where it is on), plus scale * E * counts[e] / (active * T) on every expert (scale: the Switch
 * coefficient over the step's micro-batches' share, i.e. coefficient / T_step), then softmax's
 * gradient, plus that of the z-loss z_scale * sum_t normalizer_t^2, which is
 * 2 * z_scale * normalizer_t * p_te. `normalizer` may be 0 where z_scale is 0. */
REMOE_API int32_t remoe_topk_router_gradient(uint64_t context, uint64_t dlogits, uint64_t dgates,
                                             uint64_t gates, uint64_t mask, uint64_t probabilities,
                                             uint64_t normalizer, uint64_t counts, double scale,
                                             double z_scale, int32_t tokens, int32_t experts,
                                             int32_t active, int32_t renormalize);

/* The hash router: gate 1 for expert token_ids[t] mod E, token_ids i32[T]; negative ids count from
 * the end (floor modulo). No weights. */
REMOE_API int32_t remoe_hash_router_forward(uint64_t context, uint64_t gates, uint64_t mask,
                                            uint64_t counts, uint64_t token_ids, int32_t tokens,
                                            int32_t experts);

/* The expert-choice router: p = softmax(x W) over all experts; in each group of `group` tokens, one
 * after the other, every expert takes the `capacity` tokens of largest p (ties: the earlier token)
 * with gates = p, so that a token has 0 to E experts. The last group may be shorter: its capacity
 * is the same share of it, rounded up. probabilities [T,E] is kept for the gradient, which is
 * remoe_topk_router_gradient with scale 0. */
REMOE_API int32_t remoe_expert_choice_router_forward(uint64_t context, int32_t dtype,
                                                     uint64_t gates, uint64_t probabilities,
                                                     uint64_t mask, uint64_t counts, uint64_t x,
                                                     uint64_t w, int32_t tokens, int32_t hidden,
                                                     int32_t experts, int32_t group,
                                                     int32_t capacity);

/*
 * The SparseMixer-v2 router (GRIN), k = active choices per token. For each choice, over the experts
 * not chosen yet with logits s and their maximum m: experts with (m - s_j) / max(|s_j|, m) > 2 *
 * jitter are left out; p is the softmax over the others; in training expert i is drawn by Gumbel
 * noise, argmax of s_j - log(-log(u_j)), in evaluation it is the argmax; the gate is p_i * h with
 * h = 1 where i is the argmax or u_E > 3/4, else 1/3 (Heun's third-order rule).
 * noise fp32[T, active, E+1] holds the u, uniform in [0, 1); 0: evaluation. logits [T,E] and order
 * i32[T, active], the choices, are kept for the gradient; probability_sums fp32[E] = sum_t of the
 * softmax over all logits.
 */
REMOE_API int32_t remoe_sparsemixer_router_forward(uint64_t context, int32_t dtype, uint64_t gates,
                                                   uint64_t logits, uint64_t order, uint64_t mask,
                                                   uint64_t counts, uint64_t probability_sums,
                                                   uint64_t noise, uint64_t x, uint64_t w,
                                                   int32_t tokens, int32_t hidden, int32_t experts,
                                                   int32_t active, double jitter);
/* Gradient of the SparseMixer router's logits, by its own estimator: for the choice i with the
 * gate's gradient g, ds_j = g * p_i * (delta_ij - p_j) over the experts that were kept; h is not in
 * it. Plus scale * E * counts[e] / (active * T) through the softmax over all logits, as in
 * remoe_topk_router_gradient. */
REMOE_API int32_t remoe_sparsemixer_router_gradient(uint64_t context, uint64_t dlogits,
                                                    uint64_t dgates, uint64_t logits,
                                                    uint64_t order, uint64_t counts, double scale,
                                                    double jitter, int32_t tokens, int32_t experts,
                                                    int32_t active);

/* The sigmoid router: scores = sigmoid(x W) [T,E]; the k = active experts with the largest
 * score + bias are chosen (ties: the lower expert), bias fp32[E] (0: none); gates = their scores,
 * divided by the scores' sum + 1e-20 where normalize != 0. scores are kept for the gradient;
 * score_sums fp32[E] = sum_t scores. */
REMOE_API int32_t remoe_sigmoid_router_forward(uint64_t context, int32_t dtype, uint64_t gates,
                                               uint64_t scores, uint64_t mask, uint64_t counts,
                                               uint64_t score_sums, uint64_t bias, uint64_t x,
                                               uint64_t w, int32_t tokens, int32_t hidden,
                                               int32_t experts, int32_t active, int32_t normalize);
/* Gradient of the sigmoid router's logits, through the chosen scores and their normalisation. The
 * bias has none. */
REMOE_API int32_t remoe_sigmoid_router_gradient(uint64_t context, uint64_t dlogits, uint64_t dgates,
                                                uint64_t gates, uint64_t mask, uint64_t scores,
                                                int32_t tokens, int32_t experts, int32_t normalize);

/* The mask and counts of a routing given by values [T,E]: a pair is routed where its value is not 0
 * (-0 is 0, NaN is not). */
REMOE_API int32_t remoe_routing_mask(uint64_t context, uint64_t mask, uint64_t counts,
                                     uint64_t values, int32_t tokens, int32_t experts);

/* ---- Dispatch ----------------------------------------------------------- */
/*
 * Words of a plan's header. A plan is one i32 buffer: the header, then four arrays at the
 * offsets the layout functions give; C is its capacity in rows. Rows are expert-major, with
 * tokens ascending within an expert: no sort is needed and the order does not depend on the
 * thread count. On overflow only the header is valid.
 *
 * A device whose host does not know N before the step chooses C from the counts of the last step
 * and a margin. remoe_state_record_routing notes an overflow in the state; the optimizer and lambda
 * then skip the step, and the host takes it again with more room.
 */
enum remoe_plan_word {
  REMOE_PLAN_ROWS = 0,           /* N */
  REMOE_PLAN_OVERFLOW = 1,       /* 1 if N > C, else 0 */
  REMOE_PLAN_WITHOUT_EXPERT = 2, /* tokens without an expert */
  REMOE_PLAN_CAPACITY = 3,       /* C */
  REMOE_PLAN_HEADER = 4
};
/* First word of a plan's expert_offset [E+1]: the first row of each expert. */
REMOE_LAYOUT int64_t remoe_plan_expert_offset(void) { return REMOE_PLAN_HEADER; }
/* First word of a plan's token_offset [T+1]: the first slot of each token. */
REMOE_LAYOUT int64_t remoe_plan_token_offset(int64_t experts) {
  return remoe_plan_expert_offset() + experts + 1;
}
/* First word of a plan's row_token [C]: the token of each row. */
REMOE_LAYOUT int64_t remoe_plan_row_token(int64_t tokens, int64_t experts) {
  return remoe_plan_token_offset(experts) + tokens + 1;
}
/* First word of a plan's token_row [C]: the rows of each token, experts ascending. */
REMOE_LAYOUT int64_t remoe_plan_token_row(int64_t tokens, int64_t experts, int64_t capacity) {
  return remoe_plan_row_token(tokens, experts) + capacity;
}
/* Total words of a plan. */
REMOE_LAYOUT int64_t remoe_plan_words(int64_t tokens, int64_t experts, int64_t capacity) {
  return remoe_plan_token_row(tokens, experts, capacity) + capacity;
}
/* Lists the rows of each expert and of each token: one row per pair in the routers' mask. */
REMOE_API int32_t remoe_dispatch_plan(uint64_t context, uint64_t plan, uint64_t mask,
                                      int32_t tokens, int32_t experts, int32_t capacity);

/* ---- Experts: the fused MoE operation ----------------------------------- */
/*
 * The experts: y_t = sum_e gates[t,e] * FFN_e(x_t), FFN(x) = (silu(x W_gate) * (x W_up)) W_down.
 * x, y [T,D]; w1 [E, D, 2W] holds gate | up; w2 [E, W, D]; all of `dtype`. h [kept_rows, 2W]
 * receives the pre-activations of the first kept_rows rows of the plan, the only tensor kept for
 * the gradient (kept_rows 0: none, and h may be 0). Tokens without an expert get exactly 0.
 * If the plan overflowed, y is set to 0 and nothing else is touched.
 */
REMOE_API int32_t remoe_experts_forward(uint64_t context, int32_t dtype, uint64_t y, uint64_t h,
                                        uint64_t x, uint64_t w1, uint64_t w2, uint64_t gates,
                                        uint64_t plan, int32_t kept_rows, int32_t tokens,
                                        int32_t hidden, int32_t width, int32_t experts);
/* Gradients of the experts from dy [T,D]: dx (bit 0 of accumulate), fp32 dw1 (bit 1), dw2 (bit 2)
 * and dgates [T,E] (bit 3; 0 where not routed). dgates is computed as <dA', A> with dA' = dy
 * W_down^T, so expert outputs are neither kept nor recomputed. The pre-activations of rows from
 * kept_rows on are recomputed, one tile at a time, to the same bits: kept_rows trades memory for
 * time row by row without changing the result. Experts without rows get zero weight gradients. Any
 * of the four may be 0. */
REMOE_API int32_t remoe_experts_gradient(uint64_t context, int32_t dtype, uint64_t dx, uint64_t dw1,
                                         uint64_t dw2, uint64_t dgates, uint64_t dy, uint64_t h,
                                         uint64_t x, uint64_t w1, uint64_t w2, uint64_t gates,
                                         uint64_t plan, int32_t kept_rows, int32_t tokens,
                                         int32_t hidden, int32_t width, int32_t experts,
                                         int32_t accumulate);

/* SwiGLU alone: a [rows, W] = silu(h[:, :W]) * h[:, W:], h [rows, 2W]. */
REMOE_API int32_t remoe_swiglu_forward(uint64_t context, int32_t dtype, uint64_t a, uint64_t h,
                                       int32_t rows, int32_t width);
/* Gradient of SwiGLU: dh [rows, 2W] from da [rows, W]. */
REMOE_API int32_t remoe_swiglu_gradient(uint64_t context, int32_t dtype, uint64_t dh, uint64_t da,
                                        uint64_t h, int32_t rows, int32_t width,
                                        int32_t accumulate);

/* ---- Transformer block -------------------------------------------------- */

/* RMSNorm: y = x * weight / sqrt(mean(x^2) + epsilon) per row, weight fp32. inverse fp32[rows]
 * receives 1/sqrt(...) for the gradient (0: not kept). */
REMOE_API int32_t remoe_rms_norm_forward(uint64_t context, int32_t dtype, uint64_t y,
                                         uint64_t inverse, uint64_t x, uint64_t weight,
                                         int32_t rows, int32_t columns, float epsilon);
/* Gradients of RMSNorm: dx (bit 0 of accumulate), fp32 dweight (bit 1). */
REMOE_API int32_t remoe_rms_norm_gradient(uint64_t context, int32_t dtype, uint64_t dx,
                                          uint64_t dweight, uint64_t dy, uint64_t inverse,
                                          uint64_t x, uint64_t weight, int32_t rows,
                                          int32_t columns, int32_t accumulate);

/* Rotary embedding, in place, on the first `heads` heads of each row. Row r has position offset + r
 * % sequence. With half = head_dim/2 and angle = position * base^(-i/half), the pair (x_i,
 * x_{i+half}) is rotated by angle, or by -angle, the gradient, if inverse != 0. `stride`: elements
 * between rows of x. head_dim is even. */
REMOE_API int32_t remoe_rope(uint64_t context, int32_t dtype, uint64_t x, int32_t rows,
                             int32_t stride, int32_t sequence, int32_t heads, int32_t head_dim,
                             double base, int32_t offset, int32_t inverse);

/*
 * Causal grouped-query attention; the full score matrix is never stored. q, k, v are column
 * ranges of rows [B*S, stride]: q has `heads` heads, k and v have `groups` heads, of head_dim
 * each; heads is a multiple of groups, and query head i reads group i / (heads/groups). Scores
 * are scaled by 1/sqrt(head_dim). out [B*S, heads*head_dim] is dense. normalizer
 * fp32[B*S, heads, 2] receives {m, sum_j exp(s_j - m)} for the gradient (0: not kept), with m
 * the largest scaled score s_j.
 */
REMOE_API int32_t remoe_attention_forward(uint64_t context, int32_t dtype, uint64_t out,
                                          uint64_t normalizer, uint64_t q, uint64_t k, uint64_t v,
                                          int32_t batch, int32_t sequence, int32_t heads,
                                          int32_t groups, int32_t head_dim, int32_t stride);
/* Gradients of attention: dq, dk, dv have the stride of q, k, v and are overwritten. */
REMOE_API int32_t remoe_attention_gradient(uint64_t context, int32_t dtype, uint64_t dq,
                                           uint64_t dk, uint64_t dv, uint64_t dout, uint64_t out,
                                           uint64_t normalizer, uint64_t q, uint64_t k, uint64_t v,
                                           int32_t batch, int32_t sequence, int32_t heads,
                                           int32_t groups, int32_t head_dim, int32_t stride);
/*
 * Attention of new tokens against a cache, for generation. Each of N sequences adds one or more
 * tokens to a row of cache [B, capacity, 2*groups*head_dim], which holds the rotated keys and the
 * values of the lengths[row] tokens before them; lengths i32[B]. The new tokens are packed one
 * sequence after the other: qkv [T, stride] holds [heads q | groups k | groups v] of each. Sequence
 * i adds tokens starts[i] to starts[i + 1] - 1 to row rows[i]; starts i32[N + 1], 0: one token
 * each; rows i32[N], all different, 0: sequence i has row i. Rotates q and k in place as remoe_rope
 * does, by each token's position, appends k and v to the cache, and writes out [T, heads*head_dim]:
 * a token attends to its row up to itself. Other rows are not touched. REMOE_OUT_OF_RANGE where a
 * row is outside 0..B-1 or given twice, where its tokens would be more than the capacity, or where
 * starts do not divide the T tokens.
 */
REMOE_API int32_t remoe_attention_extend(uint64_t context, int32_t dtype, uint64_t out,
                                         uint64_t qkv, uint64_t cache, uint64_t lengths,
                                         uint64_t rows, uint64_t starts, int32_t tokens,
                                         int32_t sequences, int32_t batch, int32_t capacity,
                                         int32_t heads, int32_t groups, int32_t head_dim,
                                         int32_t stride, double base);

/* Looks up a row for each token: y[i] = table[tokens[i]], table [V,D], tokens i32[count]. A token
 * outside 0..V-1 fails with REMOE_OUT_OF_RANGE and a message that names its position. */
REMOE_API int32_t remoe_embedding_forward(uint64_t context, int32_t dtype, uint64_t y,
                                          uint64_t table, uint64_t tokens, int32_t count,
                                          int32_t hidden, int32_t vocabulary);
/* Gradient of the embedding table, fp32: dtable[tokens[i]] += dy[i] in the order of i; rows of
 * tokens that do not occur are zeroed (overwriting) or kept (accumulating). */
REMOE_API int32_t remoe_embedding_gradient(uint64_t context, int32_t dtype, uint64_t dtable,
                                           uint64_t dy, uint64_t tokens, int32_t count,
                                           int32_t hidden, int32_t vocabulary, int32_t accumulate);

/*
 * Cross entropy fused with the output head: logits = x W, x [T,D], w [D,V], computed in
 * vocabulary chunks. targets i32[T], negative: ignored. loss fp32[2] = {mean over the targets
 * not ignored, their number}. token_loss fp32[T] is 0 where ignored; its address may be 0 if it
 * is not wanted. normalizer fp32[T,2] = {m, sum_v exp(z_v - m)}, m the largest logit, is kept
 * for the gradient: a single fp32 log-sum-exp would lose digits when m is large. The loss is that
 * of the unrounded logits. logits [T,logit_stride] of `dtype`, logit_stride >= V, keeps them for
 * the gradient; its address may be 0, and [T,V] is then never materialised.
 */
REMOE_API int32_t remoe_cross_entropy_forward(uint64_t context, int32_t dtype, uint64_t loss,
                                              uint64_t token_loss, uint64_t normalizer,
                                              uint64_t logits, uint64_t x, uint64_t w,
                                              uint64_t targets, int32_t tokens, int32_t hidden,
                                              int32_t vocabulary, int32_t logit_stride);
/*
 * Gradients of the fused cross entropy: dx (bit 0 of accumulate), fp32 dw (bit 1), times dloss
 * fp32[1]. `logits` as kept by the forward pass, overwritten with their gradient; 0: they are
 * recomputed, which is a quarter of the work of both passes.
 */
REMOE_API int32_t remoe_cross_entropy_gradient(uint64_t context, int32_t dtype, uint64_t dx,
                                               uint64_t dw, uint64_t dloss, uint64_t loss,
                                               uint64_t normalizer, uint64_t logits, uint64_t x,
                                               uint64_t w, uint64_t targets, int32_t tokens,
                                               int32_t hidden, int32_t vocabulary,
                                               int32_t logit_stride, int32_t accumulate);

/*
 * Scores of tokens by the output head, from logits = x W, x [T,D], w [D,V], computed in chunks, so
 * that [T,V] is never materialised. For each of the `count` tokens that rows i32[count] lists (0:
 * all, count == T): log_probability fp32[T] receives the log-softmax of its target, greedy i32[T]
 * the place of its largest logit, the first of equal ones, and greedy_log_probability fp32[T] that
 * one's log-softmax, the identical number where it is the target. They are those of the unrounded
 * logits. Tokens that are not listed or have a negative target get NaN, -1 and NaN, and so does a
 * token whose logits are no distribution: one of them is NaN or infinity, or all are -infinity.
 */
REMOE_API int32_t remoe_token_scores(uint64_t context, int32_t dtype, uint64_t log_probability,
                                     uint64_t greedy, uint64_t greedy_log_probability, uint64_t x,
                                     uint64_t w, uint64_t targets, uint64_t rows, int32_t count,
                                     int32_t tokens, int32_t hidden, int32_t vocabulary);

/* ---- Optimizer ---------------------------------------------------------- */
/*
 * Words of a parameter's row in the optimizer's table. `table` is a device
 * uint64_t[count][REMOE_TENSOR_WORDS]: addresses and properties of every parameter, written
 * once by the host.
 */
enum remoe_tensor_word {
  REMOE_TENSOR_MASTER = 0,   /* fp32 weights */
  REMOE_TENSOR_GRADIENT = 1, /* dtype in FLAGS bits 8..15 */
  REMOE_TENSOR_MOMENT_1 = 2,
  REMOE_TENSOR_MOMENT_2 = 3,
  REMOE_TENSOR_COPY = 4, /* bf16 copy of the weights, 0: none */
  REMOE_TENSOR_ELEMENTS = 5,
  REMOE_TENSOR_FLAGS = 6, /* bit 0: weight decay applies */
  REMOE_TENSOR_WORDS = 8
};
/* Norm of all gradients and the scale that clips it: GRADIENT_NORM = sqrt(sum g^2) over all
 * tensors, in fp64; CLIP_SCALE = min(1, clip/(norm + 1e-6)), or 1 if clip <= 0; NOT_FINITE = 1 if
 * the norm is not finite. */
REMOE_API int32_t remoe_gradient_norm(uint64_t context, uint64_t state, uint64_t table,
                                      int32_t count, double clip);
/* One step of AdamW (decoupled weight decay) over all parameters, with the state's LEARNING_RATE,
 * BIAS_CORRECTION_1 and _2, and CLIP_SCALE. Does nothing while NOT_FINITE or OVERFLOW is set. */
REMOE_API int32_t remoe_adamw(uint64_t context, uint64_t state, uint64_t table, int32_t count,
                              double beta1, double beta2, double epsilon, double weight_decay);

/* ---- Scratch memory ----------------------------------------------------- */

/* Operations whose scratch memory can be asked for, and the sizes that it follows from. */
enum remoe_scratch_code {
  REMOE_SCRATCH_EXPERTS_GRADIENT = 0,      /* N, kept_rows, T, D, W, E; kept_rows may be 0 */
  REMOE_SCRATCH_CROSS_ENTROPY_GRADIENT = 1 /* T, D, V, and 1 where logits are kept, else 0 */
};
/* Writes the bytes that an operation takes from the pool while it runs to bytes[0], for a call that
 * wants all outputs. `sizes` is host int32, as remoe_scratch_code lists them. Rows count as spread
 * evenly over the experts. */
REMOE_API int32_t remoe_scratch_bytes(uint64_t context, int32_t operation, int32_t dtype,
                                      const int32_t* sizes, uint64_t* bytes);

/* ---- Probes ------------------------------------------------------------- */

/* Measures a register-only loop of multiply-adds on `threads` threads for about `seconds` and
 * writes its GFLOPS to gflops[0]: fp32 FMA, or for bf16 the unit's dot products (REMOE_UNSUPPORTED
 * without one). [waits] */
REMOE_API int32_t remoe_probe_fma(uint64_t context, int32_t dtype, int32_t threads, double seconds,
                                  double* gflops);
/* Measures a copy of `bytes` for about `seconds` and writes its GB/s (read + write) to
 * gigabytes_per_second[0]. [waits] */
REMOE_API int32_t remoe_probe_copy(uint64_t context, uint64_t bytes, double seconds,
                                   double* gigabytes_per_second);

#ifdef __cplusplus
}
#endif

#endif /* REMOE_H */
