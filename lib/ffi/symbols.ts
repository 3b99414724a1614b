// Generated from kernels/include/remoe.h by `deno task build:symbols`: do not edit.

/** Host memory that a call reads or writes before it returns; `null` is a null pointer. */
export type HostBuffer = ArrayBufferView<ArrayBuffer> | ArrayBuffer | null;

/**
 * The functions of an open library. Calling them through this object keeps them on Deno's fast
 * path. All are callable; one that a build lacks returns `Status.unsupported`.
 */
export interface KernelSymbols {
  /** REMOE_ABI_VERSION of the build; check it before any other call. [required] */
  remoe_abi_version(): number;
  /**
   * Writes JSON, at most `length` bytes without a terminating zero, and returns the number of
   * bytes needed: {"backend","version","compiler","gemm","isa":[...]}. [required]
   */
  remoe_build_info(buffer: HostBuffer, length: bigint): number;
  /**
   * Opens a context on device `ordinal` (0 on the CPU) with `threads` CPU threads (0: one per
   * available core). Writes the context to `context[0]`. On failure, writes the reason to
   * `message` (at most `length` bytes, zero-terminated).
   */
  remoe_context_create(
    ordinal: number,
    threads: number,
    context: HostBuffer,
    message: HostBuffer,
    length: bigint,
  ): number;
  /** Waits for pending work, frees all memory of the context and closes it. [waits] */
  remoe_context_destroy(context: bigint): number;
  /**
   * Writes the message of the last failed call, "<operation>: <what and why>", and returns the
   * number of bytes needed (0: no failure since the last read).
   */
  remoe_context_message(context: bigint, buffer: HostBuffer, length: bigint): number;
  /**
   * Writes JSON describing the open device,
   * {"backend","name","isa","threads","gemm","memory_bytes"}, and returns the number of bytes
   * needed. If OpenMP grants fewer threads than requested, also "threads_wanted" and, in words,
   * "threads_limit". "bf16": the unit that computes bf16 products, or "fp32" if they are
   * computed from widened operands.
   */
  remoe_context_info(context: bigint, buffer: HostBuffer, length: bigint): number;
  /**
   * Writes the address of `bytes` uninitialised bytes, 64-byte aligned (blocks of 2 MiB or more:
   * 2 MiB-aligned), to `address[0]`. Freed blocks are kept for reuse and not returned to the
   * system while the context is open.
   */
  remoe_memory_allocate(context: bigint, bytes: bigint, address: HostBuffer): number;
  /**
   * Frees `count` blocks. An address that is not a live block fails the call
   * (REMOE_INVALID_ARGUMENT) and frees nothing.
   */
  remoe_memory_free(context: bigint, addresses: HostBuffer, count: number): number;
  /**
   * Writes {bytes in use, peak bytes in use, bytes held from the system, live blocks} to
   * statistics[0..3]. Bytes in use are counted as requested, before rounding.
   */
  remoe_memory_statistics(context: bigint, statistics: HostBuffer): number;
  /** Resets the peak to the bytes in use now. */
  remoe_memory_reset_peak(context: bigint): number;
  /** Returns all cached, unused blocks to the system. [waits] */
  remoe_memory_trim(context: bigint): number;
  /** Copies from host to device; the host buffer may be reused on return. */
  remoe_copy_from_host(context: bigint, target: bigint, source: HostBuffer, bytes: bigint): number;
  /** Copies from device to host. [waits] */
  remoe_copy_to_host(context: bigint, target: HostBuffer, source: bigint, bytes: bigint): number;
  /** Copies from device to device; the ranges must not overlap. */
  remoe_copy(context: bigint, target: bigint, source: bigint, bytes: bigint): number;
  /** Sets `count` elements to `value`, rounded to `dtype`. */
  remoe_fill(context: bigint, dtype: number, target: bigint, value: number, count: bigint): number;
  /**
   * Writes the address of page-locked host memory, for asynchronous copies, to `address[0]`
   * (plain memory on the CPU).
   */
  remoe_pinned_allocate(context: bigint, bytes: bigint, address: HostBuffer): number;
  /** Frees page-locked memory. */
  remoe_pinned_free(context: bigint, address: bigint): number;
  /** Copies host memory to page-locked memory. */
  remoe_pinned_write(context: bigint, pinned: bigint, source: HostBuffer, bytes: bigint): number;
  /** Copies page-locked memory to host memory. */
  remoe_pinned_read(context: bigint, target: HostBuffer, pinned: bigint, bytes: bigint): number;
  /** Enqueues a copy from page-locked memory to the device. */
  remoe_copy_from_pinned(context: bigint, target: bigint, pinned: bigint, bytes: bigint): number;
  /** Enqueues a copy from the device to page-locked memory. */
  remoe_copy_to_pinned(context: bigint, pinned: bigint, source: bigint, bytes: bigint): number;
  /** Creates a stream and writes it to stream[0]. */
  remoe_stream_create(context: bigint, stream: HostBuffer): number;
  /** Destroys a stream. */
  remoe_stream_destroy(context: bigint, stream: bigint): number;
  /** Enqueues subsequent calls on `stream`; 0 is the context's default stream. */
  remoe_stream_use(context: bigint, stream: bigint): number;
  /** Waits for the work of a stream. [waits] */
  remoe_stream_synchronize(context: bigint, stream: bigint): number;
  /** Waits for the device. [waits] */
  remoe_synchronize(context: bigint): number;
  /** Creates an event and writes it to event[0]. */
  remoe_event_create(context: bigint, event: HostBuffer): number;
  /** Destroys an event. */
  remoe_event_destroy(context: bigint, event: bigint): number;
  /** Records an event on the current stream. */
  remoe_event_record(context: bigint, event: bigint): number;
  /** Makes the current stream wait for an event. */
  remoe_event_wait(context: bigint, event: bigint): number;
  /** Waits for an event. [waits] */
  remoe_event_synchronize(context: bigint, event: bigint): number;
  /** Writes the seconds between two recorded events to seconds[0]. [waits] */
  remoe_event_elapsed(context: bigint, start: bigint, end: bigint, seconds: HostBuffer): number;
  /** Captures the calls from here to remoe_capture_end as a graph. */
  remoe_capture_begin(context: bigint): number;
  /**
   * Ends the capture and writes the graph to graph[0]. A build that runs work immediately
   * returns graph 0: nothing was captured, so make the calls again.
   */
  remoe_capture_end(context: bigint, graph: HostBuffer): number;
  /** Enqueues a captured graph; REMOE_INVALID_ARGUMENT for graph 0. */
  remoe_graph_launch(context: bigint, graph: bigint): number;
  /** Destroys a captured graph. */
  remoe_graph_destroy(context: bigint, graph: bigint): number;
  /**
   * Begins a step: zeroes the records and the slots ACTIVE_PAIRS, SPARSITY, LOSS, L1, BALANCE,
   * NOT_FINITE, OVERFLOW and GRADIENT_NORM, and sets CLIP_SCALE to 1. LAMBDA and EXCESS are
   * kept.
   */
  remoe_state_begin(context: bigint, state: bigint, layers: number, experts: number): number;
  /** Adds a device value to a slot: state[slot] += scale * value[0]; value is fp32[1]. */
  remoe_state_add(
    context: bigint,
    state: bigint,
    slot: number,
    value: bigint,
    scale: number,
  ): number;
  /**
   * Adds one micro-batch's routing to the record of a layer: tokens, tokens without an expert
   * and overflow from the plan, counts i32[E], and depending on `balance`:
   *   REMOE_BALANCE_SWITCH: record[BALANCE] += T * balance_loss(counts, sums) with
   *     balance_loss = E/(k*T^2) * sum_e n_e * P_e, P_e the softmax sums (no coefficient);
   *   else record[REGULARIZATION] += sum_e f_e * P_e with P_e the gate sums and f_e as
   *     in remoe_relu_router_gradient.
   * `sums` is fp32[E] (0: add to neither). `layer` selects the record.
   */
  remoe_state_record_routing(
    context: bigint,
    state: bigint,
    layer: number,
    plan: bigint,
    counts: bigint,
    sums: bigint,
    balance: number,
    active: number,
    tokens: number,
    experts: number,
  ): number;
  /**
   * Adapts lambda to the sparsity, once per step. With A = sum of all counts, `tokens` the
   * tokens of the step and target = active * layers * tokens:
   *   SPARSITY = 1 - A/(E*layers*tokens);
   *   L1 = sum of REGULARIZATION records / (layers*tokens);
   *   BALANCE = sum over layers of record[BALANCE]/tokens;
   * and by `rule`
   *   SIGN: lambda <- clamp(lambda * alpha^sign(A - target), floor, ceiling), with sign(0) = 0;
   *   PROPORTIONAL: with e = A/target - 1,
   *     lambda <- clamp(lambda * clamp(exp(gain*e + damping*(e - EXCESS)), 1/alpha, alpha),
   * floor,
   *     ceiling), EXCESS <- e.
   * gain and damping are read by PROPORTIONAL alone. While OVERFLOW is set, lambda and EXCESS
   * keep their values: the counts of a step that did not run in full say nothing about its
   * sparsity.
   */
  remoe_state_update_lambda(
    context: bigint,
    state: bigint,
    layers: number,
    experts: number,
    active: number,
    tokens: number,
    alpha: number,
    floor: number,
    ceiling: number,
    rule: number,
    gain: number,
    damping: number,
  ): number;
  /**
   * Fills `target` with draws that depend only on the seed, operation, step and index: the same
   * numbers come out for any thread count, device or tiling. key = seed (low word, high word),
   * counter = (index/4 low, index/4 high, operation, step): element i takes word i%4 of the
   * block of counter i/4. REMOE_UNIFORM: a + (b-a) * u, u = (word >> 8) * 2^-24 in [0, 1).
   * REMOE_NORMAL: a + b * z; words (0,1) and (2,3) of a block give two pairs by Box-Muller, z0 =
   * sqrt(-2 ln u1) cos(2 pi u2), z1 = ... sin(...), with u1 = (word_even + 1) * 2^-32 in (0, 1]
   * and u2 = word_odd * 2^-32.
   */
  remoe_random(
    context: bigint,
    distribution: number,
    target: bigint,
    count: bigint,
    a: number,
    b: number,
    seed: bigint,
    operation: number,
    step: number,
  ): number;
  /**
   * target = a (op) b with broadcasting. `layout` is host int32: rank (0..8), then shape[rank],
   * strides of a [rank], strides of b [rank], in elements; a stride of 0 broadcasts. The target
   * is dense.
   */
  remoe_binary(
    context: bigint,
    operation: number,
    dtype: number,
    target: bigint,
    a: bigint,
    b: bigint,
    layout: HostBuffer,
  ): number;
  /** target[i] = op(x[i]), element by element. */
  remoe_unary(
    context: bigint,
    operation: number,
    dtype: number,
    target: bigint,
    x: bigint,
    parameter: number,
    count: bigint,
  ): number;
  /** Gradient of remoe_unary: dx[i] (+)= op'(x[i]) * dy[i]. */
  remoe_unary_gradient(
    context: bigint,
    operation: number,
    dtype: number,
    dx: bigint,
    dy: bigint,
    x: bigint,
    parameter: number,
    count: bigint,
    accumulate: number,
  ): number;
  /** target[i] += scale * x[i]; target and x may differ in dtype. */
  remoe_accumulate(
    context: bigint,
    dtype: number,
    target: bigint,
    dtypeX: number,
    x: bigint,
    scale: number,
    count: bigint,
  ): number;
  /**
   * Reduces the flagged axes of x. `layout` is host int32: rank (0..8), shape[rank], flags[rank]
   * (1: reduce this axis). The target is dense over the kept axes. Sums accumulate in fp32 in a
   * fixed pairwise or blocked order.
   */
  remoe_reduce(
    context: bigint,
    operation: number,
    dtype: number,
    target: bigint,
    x: bigint,
    layout: HostBuffer,
    accumulate: number,
  ): number;
  /** Softmax over the last axis of [rows, columns]. */
  remoe_softmax(
    context: bigint,
    dtype: number,
    target: bigint,
    x: bigint,
    rows: number,
    columns: number,
  ): number;
  /** Gradient of softmax: dx (+)= y * (dy - <dy, y>), row by row. */
  remoe_softmax_gradient(
    context: bigint,
    dtype: number,
    dx: bigint,
    dy: bigint,
    y: bigint,
    rows: number,
    columns: number,
    accumulate: number,
  ): number;
  /** Converts between dtypes. Rounds to nearest even; fp to i32 truncates. */
  remoe_cast(
    context: bigint,
    targetDtype: number,
    target: bigint,
    sourceDtype: number,
    source: bigint,
    count: bigint,
  ): number;
  /**
   * Gathers a strided source: transposes, slices, broadcasts. target[dense over shape] =
   * source[strides]; `layout`: rank (0..8), shape[rank], strides of the source [rank], in
   * elements.
   */
  remoe_copy_strided(
    context: bigint,
    dtype: number,
    target: bigint,
    source: bigint,
    layout: HostBuffer,
  ): number;
  /**
   * C[m,n] = alpha * op(A) * op(B) + beta * C, where op transposes if the flag is 1. lda, ldb,
   * ldc: elements between stored rows. With beta == 0, C is not read. If only one of A and B is
   * bf16, it is widened to fp32.
   */
  remoe_gemm(
    context: bigint,
    dtypeA: number,
    dtypeB: number,
    dtypeC: number,
    transposeA: number,
    transposeB: number,
    m: number,
    n: number,
    k: number,
    alpha: number,
    a: bigint,
    lda: number,
    b: bigint,
    ldb: number,
    beta: number,
    c: bigint,
    ldc: number,
  ): number;
  /**
   * The ReLU router, equation 5: gates = activation(ReLU(x W)), x [T,D], w [D,E], `activation`
   * one of remoe_gate_code; in the same pass mask, counts and gate_sums fp32[E] = sum_t gates. A
   * logit at most 0 (-0, -Inf) gives the gate +0; NaN stays, as does +Inf where the activation
   * is unbounded, so that a diverged run shows. Every gate other than 0 is routed, NaN included;
   * a square too small for fp32 is not.
   */
  remoe_relu_router_forward(
    context: bigint,
    dtype: number,
    gates: bigint,
    mask: bigint,
    counts: bigint,
    gateSums: bigint,
    x: bigint,
    w: bigint,
    tokens: number,
    hidden: number,
    experts: number,
    activation: number,
  ): number;
  /**
   * Gradient of the ReLU router's logits. The regularisation enters here rather than through a
   * graph of its own:
   *   dlogits[t,e] = gates[t,e] > 0 ? (dgates[t,e] + lambda * f_e * scale) * slope
   *                : counts[e] == 0 ? -revive * scale : 0
   * slope is the derivative of `activation` at the gate: 1, 2*sqrt(gate) or 1 - gate^2. f_e = 0,
   * 1, E*counts[e]/(active*T), its square or weights[e] by `balance` (NONE, PLAIN, LOAD,
   * LOAD_SQUARED, TRANSPORT); lambda is a device double[1]; scale = 1/(L*T_step), with T_step
   * the tokens of the optimizer step (equations 9 to 11). `revive`, at least 0, pulls at the
   * logits of experts without tokens, which nothing else reaches. `lambda` may be 0 with NONE,
   * `weights` without TRANSPORT, and `counts` where neither LOAD, LOAD_SQUARED nor a positive
   * `revive` reads it. dlogits may alias dgates.
   */
  remoe_relu_router_gradient(
    context: bigint,
    dlogits: bigint,
    dgates: bigint,
    gates: bigint,
    counts: bigint,
    weights: bigint,
    lambda: bigint,
    balance: number,
    activation: number,
    active: number,
    scale: number,
    revive: number,
    tokens: number,
    experts: number,
  ): number;
  /**
   * Prices of the experts in a balanced transport of the tokens to them. With m the mean of the
   * gates other than 0, K[t,e] = exp(max(sharpness * (gates[t,e] - max_e gates[t,e]) / m, -60))
   * over the tokens with an expert, and v = 1, each of `iterations` rounds of Sinkhorn's scaling
   * sets
   *   u_t = 1 / sum_e K[t,e] v_e, then v_e = (T'/E) / sum_t u_t K[t,e], T' = tokens with an
   * expert;
   * weights fp32[E] = (1/v_e) / mean_e(1/v_e), 1 where all experts are equally wanted and more
   * for those that more tokens want; 1 for all if no gate is open. weighted_sums fp32[E] =
   * weights * gate_sums. Not finite gates make all of them NaN.
   */
  remoe_transport_weights(
    context: bigint,
    weights: bigint,
    weightedSums: bigint,
    gates: bigint,
    gateSums: bigint,
    sharpness: number,
    iterations: number,
    tokens: number,
    experts: number,
  ): number;
  /**
   * The TopK router: p = softmax(x W) over all experts, gates = p for the k largest logits
   * (ties: the lower expert), else 0; no renormalisation unless renormalize != 0 (gates over
   * their sum). Exactly k experts per token are in the mask, also where p is too small for fp32
   * and the gate is 0. probabilities [T,E] is kept for the gradient; probability_sums fp32[E] =
   * sum_t p; normalizer fp32[T] = log-sum-exp of a token's logits (0: not kept); z_sum fp32[1] =
   * sum_t normalizer^2, the z-loss without its coefficient (0: not wanted).
   */
  remoe_topk_router_forward(
    context: bigint,
    dtype: number,
    gates: bigint,
    probabilities: bigint,
    mask: bigint,
    counts: bigint,
    probabilitySums: bigint,
    normalizer: bigint,
    zSum: bigint,
    x: bigint,
    w: bigint,
    tokens: number,
    hidden: number,
    experts: number,
    active: number,
    renormalize: number,
  ): number;
  /**
   * Gradient of the TopK router's logits: dp = routed ? dgates : 0 (through the renormalisation
   * where it is on), plus scale * E * counts[e] / (active * T) on every expert (scale: the
   * Switch coefficient over the step's micro-batches' share, i.e. coefficient / T_step), then
   * softmax's gradient, plus that of the z-loss z_scale * sum_t normalizer_t^2, which is 2 *
   * z_scale * normalizer_t * p_te. `normalizer` may be 0 where z_scale is 0.
   */
  remoe_topk_router_gradient(
    context: bigint,
    dlogits: bigint,
    dgates: bigint,
    gates: bigint,
    mask: bigint,
    probabilities: bigint,
    normalizer: bigint,
    counts: bigint,
    scale: number,
    zScale: number,
    tokens: number,
    experts: number,
    active: number,
    renormalize: number,
  ): number;
  /**
   * The hash router: gate 1 for expert token_ids[t] mod E, token_ids i32[T]; negative ids count
   * from the end (floor modulo). No weights.
   */
  remoe_hash_router_forward(
    context: bigint,
    gates: bigint,
    mask: bigint,
    counts: bigint,
    tokenIds: bigint,
    tokens: number,
    experts: number,
  ): number;
  /**
   * The expert-choice router: p = softmax(x W) over all experts; in each group of `group`
   * tokens, one after the other, every expert takes the `capacity` tokens of largest p (ties:
   * the earlier token) with gates = p, so that a token has 0 to E experts. The last group may be
   * shorter: its capacity is the same share of it, rounded up. probabilities [T,E] is kept for
   * the gradient, which is remoe_topk_router_gradient with scale 0.
   */
  remoe_expert_choice_router_forward(
    context: bigint,
    dtype: number,
    gates: bigint,
    probabilities: bigint,
    mask: bigint,
    counts: bigint,
    x: bigint,
    w: bigint,
    tokens: number,
    hidden: number,
    experts: number,
    group: number,
    capacity: number,
  ): number;
  /**
   * The SparseMixer-v2 router (GRIN), k = active choices per token. For each choice, over the
   * experts not chosen yet with logits s and their maximum m: experts with (m - s_j) /
   * max(|s_j|, m) > 2 * jitter are left out; p is the softmax over the others; in training
   * expert i is drawn by Gumbel noise, argmax of s_j - log(-log(u_j)), in evaluation it is the
   * argmax; the gate is p_i * h with h = 1 where i is the argmax or u_E > 3/4, else 1/3 (Heun's
   * third-order rule). noise fp32[T, active, E+1] holds the u, uniform in [0, 1); 0: evaluation.
   * logits [T,E] and order i32[T, active], the choices, are kept for the gradient;
   * probability_sums fp32[E] = sum_t of the softmax over all logits.
   */
  remoe_sparsemixer_router_forward(
    context: bigint,
    dtype: number,
    gates: bigint,
    logits: bigint,
    order: bigint,
    mask: bigint,
    counts: bigint,
    probabilitySums: bigint,
    noise: bigint,
    x: bigint,
    w: bigint,
    tokens: number,
    hidden: number,
    experts: number,
    active: number,
    jitter: number,
  ): number;
  /**
   * Gradient of the SparseMixer router's logits, by its own estimator: for the choice i with the
   * gate's gradient g, ds_j = g * p_i * (delta_ij - p_j) over the experts that were kept; h is
   * not in it. Plus scale * E * counts[e] / (active * T) through the softmax over all logits, as
   * in remoe_topk_router_gradient.
   */
  remoe_sparsemixer_router_gradient(
    context: bigint,
    dlogits: bigint,
    dgates: bigint,
    logits: bigint,
    order: bigint,
    counts: bigint,
    scale: number,
    jitter: number,
    tokens: number,
    experts: number,
    active: number,
  ): number;
  /**
   * The sigmoid router: scores = sigmoid(x W) [T,E]; the k = active experts with the largest
   * score + bias are chosen (ties: the lower expert), bias fp32[E] (0: none); gates = their
   * scores, divided by the scores' sum + 1e-20 where normalize != 0. scores are kept for the
   * gradient; score_sums fp32[E] = sum_t scores.
   */
  remoe_sigmoid_router_forward(
    context: bigint,
    dtype: number,
    gates: bigint,
    scores: bigint,
    mask: bigint,
    counts: bigint,
    scoreSums: bigint,
    bias: bigint,
    x: bigint,
    w: bigint,
    tokens: number,
    hidden: number,
    experts: number,
    active: number,
    normalize: number,
  ): number;
  /**
   * Gradient of the sigmoid router's logits, through the chosen scores and their normalisation.
   * The bias has none.
   */
  remoe_sigmoid_router_gradient(
    context: bigint,
    dlogits: bigint,
    dgates: bigint,
    gates: bigint,
    mask: bigint,
    scores: bigint,
    tokens: number,
    experts: number,
    normalize: number,
  ): number;
  /**
   * The mask and counts of a routing given by values [T,E]: a pair is routed where its value is
   * not 0 (-0 is 0, NaN is not).
   */
  remoe_routing_mask(
    context: bigint,
    mask: bigint,
    counts: bigint,
    values: bigint,
    tokens: number,
    experts: number,
  ): number;
  /** Lists the rows of each expert and of each token: one row per pair in the routers' mask. */
  remoe_dispatch_plan(
    context: bigint,
    plan: bigint,
    mask: bigint,
    tokens: number,
    experts: number,
    capacity: number,
  ): number;
  /**
   * The experts: y_t = sum_e gates[t,e] * FFN_e(x_t), FFN(x) = (silu(x W_gate) * (x W_up))
   * W_down. x, y [T,D]; w1 [E, D, 2W] holds gate | up; w2 [E, W, D]; all of `dtype`. h
   * [kept_rows, 2W] receives the pre-activations of the first kept_rows rows of the plan, the
   * only tensor kept for the gradient (kept_rows 0: none, and h may be 0). Tokens without an
   * expert get exactly 0. If the plan overflowed, y is set to 0 and nothing else is touched.
   */
  remoe_experts_forward(
    context: bigint,
    dtype: number,
    y: bigint,
    h: bigint,
    x: bigint,
    w1: bigint,
    w2: bigint,
    gates: bigint,
    plan: bigint,
    keptRows: number,
    tokens: number,
    hidden: number,
    width: number,
    experts: number,
  ): number;
  /**
   * Gradients of the experts from dy [T,D]: dx (bit 0 of accumulate), fp32 dw1 (bit 1), dw2 (bit
   * 2) and dgates [T,E] (bit 3; 0 where not routed). dgates is computed as <dA', A> with dA' =
   * dy W_down^T, so expert outputs are neither kept nor recomputed. The pre-activations of rows
   * from kept_rows on are recomputed, one tile at a time, to the same bits: kept_rows trades
   * memory for time row by row without changing the result. Experts without rows get zero weight
   * gradients. Any of the four may be 0.
   */
  remoe_experts_gradient(
    context: bigint,
    dtype: number,
    dx: bigint,
    dw1: bigint,
    dw2: bigint,
    dgates: bigint,
    dy: bigint,
    h: bigint,
    x: bigint,
    w1: bigint,
    w2: bigint,
    gates: bigint,
    plan: bigint,
    keptRows: number,
    tokens: number,
    hidden: number,
    width: number,
    experts: number,
    accumulate: number,
  ): number;
  /** SwiGLU alone: a [rows, W] = silu(h[:, :W]) * h[:, W:], h [rows, 2W]. */
  remoe_swiglu_forward(
    context: bigint,
    dtype: number,
    a: bigint,
    h: bigint,
    rows: number,
    width: number,
  ): number;
  /** Gradient of SwiGLU: dh [rows, 2W] from da [rows, W]. */
  remoe_swiglu_gradient(
    context: bigint,
    dtype: number,
    dh: bigint,
    da: bigint,
    h: bigint,
    rows: number,
    width: number,
    accumulate: number,
  ): number;
  /**
   * RMSNorm: y = x * weight / sqrt(mean(x^2) + epsilon) per row, weight fp32. inverse fp32[rows]
   * receives 1/sqrt(...) for the gradient (0: not kept).
   */
  remoe_rms_norm_forward(
    context: bigint,
    dtype: number,
    y: bigint,
    inverse: bigint,
    x: bigint,
    weight: bigint,
    rows: number,
    columns: number,
    epsilon: number,
  ): number;
  /** Gradients of RMSNorm: dx (bit 0 of accumulate), fp32 dweight (bit 1). */
  remoe_rms_norm_gradient(
    context: bigint,
    dtype: number,
    dx: bigint,
    dweight: bigint,
    dy: bigint,
    inverse: bigint,
    x: bigint,
    weight: bigint,
    rows: number,
    columns: number,
    accumulate: number,
  ): number;
  /**
   * Rotary embedding, in place, on the first `heads` heads of each row. Row r has position
   * offset + r % sequence. With half = head_dim/2 and angle = position * base^(-i/half), the
   * pair (x_i, x_{i+half}) is rotated by angle, or by -angle, the gradient, if inverse != 0.
   * `stride`: elements between rows of x. head_dim is even.
   */
  remoe_rope(
    context: bigint,
    dtype: number,
    x: bigint,
    rows: number,
    stride: number,
    sequence: number,
    heads: number,
    headDim: number,
    base: number,
    offset: number,
    inverse: number,
  ): number;
  /**
   * Causal grouped-query attention; the full score matrix is never stored. q, k, v are column
   * ranges of rows [B*S, stride]: q has `heads` heads, k and v have `groups` heads, of head_dim
   * each; heads is a multiple of groups, and query head i reads group i / (heads/groups). Scores
   * are scaled by 1/sqrt(head_dim). out [B*S, heads*head_dim] is dense. normalizer fp32[B*S,
   * heads, 2] receives {m, sum_j exp(s_j - m)} for the gradient (0: not kept), with m the
   * largest scaled score s_j.
   */
  remoe_attention_forward(
    context: bigint,
    dtype: number,
    out: bigint,
    normalizer: bigint,
    q: bigint,
    k: bigint,
    v: bigint,
    batch: number,
    sequence: number,
    heads: number,
    groups: number,
    headDim: number,
    stride: number,
  ): number;
  /** Gradients of attention: dq, dk, dv have the stride of q, k, v and are overwritten. */
  remoe_attention_gradient(
    context: bigint,
    dtype: number,
    dq: bigint,
    dk: bigint,
    dv: bigint,
    dout: bigint,
    out: bigint,
    normalizer: bigint,
    q: bigint,
    k: bigint,
    v: bigint,
    batch: number,
    sequence: number,
    heads: number,
    groups: number,
    headDim: number,
    stride: number,
  ): number;
  /**
   * Attention of new tokens against a cache, for generation. Each of N sequences adds one or
   * more tokens to a row of cache [B, capacity, 2*groups*head_dim], which holds the rotated keys
   * and the values of the lengths[row] tokens before them; lengths i32[B]. The new tokens are
   * packed one sequence after the other: qkv [T, stride] holds [heads q | groups k | groups v]
   * of each. Sequence i adds tokens starts[i] to starts[i + 1] - 1 to row rows[i]; starts i32[N
   * + 1], 0: one token each; rows i32[N], all different, 0: sequence i has row i. Rotates q and
   * k in place as remoe_rope does, by each token's position, appends k and v to the cache, and
   * writes out [T, heads*head_dim]: a token attends to its row up to itself. Other rows are not
   * touched. REMOE_OUT_OF_RANGE where a row is outside 0..B-1 or given twice, where its tokens
   * would be more than the capacity, or where starts do not divide the T tokens.
   */
  remoe_attention_extend(
    context: bigint,
    dtype: number,
    out: bigint,
    qkv: bigint,
    cache: bigint,
    lengths: bigint,
    rows: bigint,
    starts: bigint,
    tokens: number,
    sequences: number,
    batch: number,
    capacity: number,
    heads: number,
    groups: number,
    headDim: number,
    stride: number,
    base: number,
  ): number;
  /**
   * Looks up a row for each token: y[i] = table[tokens[i]], table [V,D], tokens i32[count]. A
   * token outside 0..V-1 fails with REMOE_OUT_OF_RANGE and a message that names its position.
   */
  remoe_embedding_forward(
    context: bigint,
    dtype: number,
    y: bigint,
    table: bigint,
    tokens: bigint,
    count: number,
    hidden: number,
    vocabulary: number,
  ): number;
  /**
   * Gradient of the embedding table, fp32: dtable[tokens[i]] += dy[i] in the order of i; rows of
   * tokens that do not occur are zeroed (overwriting) or kept (accumulating).
   */
  remoe_embedding_gradient(
    context: bigint,
    dtype: number,
    dtable: bigint,
    dy: bigint,
    tokens: bigint,
    count: number,
    hidden: number,
    vocabulary: number,
    accumulate: number,
  ): number;
  /**
   * Cross entropy fused with the output head: logits = x W, x [T,D], w [D,V], computed in
   * vocabulary chunks. targets i32[T], negative: ignored. loss fp32[2] = {mean over the targets
   * not ignored, their number}. token_loss fp32[T] is 0 where ignored; its address may be 0 if
   * it is not wanted. normalizer fp32[T,2] = {m, sum_v exp(z_v - m)}, m the largest logit, is
   * kept for the gradient: a single fp32 log-sum-exp would lose digits when m is large. The loss
   * is that of the unrounded logits. logits [T,logit_stride] of `dtype`, logit_stride >= V,
   * keeps them for the gradient; its address may be 0, and [T,V] is then never materialised.
   */
  remoe_cross_entropy_forward(
    context: bigint,
    dtype: number,
    loss: bigint,
    tokenLoss: bigint,
    normalizer: bigint,
    logits: bigint,
    x: bigint,
    w: bigint,
    targets: bigint,
    tokens: number,
    hidden: number,
    vocabulary: number,
    logitStride: number,
  ): number;
  /**
   * Gradients of the fused cross entropy: dx (bit 0 of accumulate), fp32 dw (bit 1), times dloss
   * fp32[1]. `logits` as kept by the forward pass, overwritten with their gradient; 0: they are
   * recomputed, which is a quarter of the work of both passes.
   */
  remoe_cross_entropy_gradient(
    context: bigint,
    dtype: number,
    dx: bigint,
    dw: bigint,
    dloss: bigint,
    loss: bigint,
    normalizer: bigint,
    logits: bigint,
    x: bigint,
    w: bigint,
    targets: bigint,
    tokens: number,
    hidden: number,
    vocabulary: number,
    logitStride: number,
    accumulate: number,
  ): number;
  /**
   * Scores of tokens by the output head, from logits = x W, x [T,D], w [D,V], computed in
   * chunks, so that [T,V] is never materialised. For each of the `count` tokens that rows
   * i32[count] lists (0: all, count == T): log_probability fp32[T] receives the log-softmax of
   * its target, greedy i32[T] the place of its largest logit, the first of equal ones, and
   * greedy_log_probability fp32[T] that one's log-softmax, the identical number where it is the
   * target. They are those of the unrounded logits. Tokens that are not listed or have a
   * negative target get NaN, -1 and NaN, and so does a token whose logits are no distribution:
   * one of them is NaN or infinity, or all are -infinity.
   */
  remoe_token_scores(
    context: bigint,
    dtype: number,
    logProbability: bigint,
    greedy: bigint,
    greedyLogProbability: bigint,
    x: bigint,
    w: bigint,
    targets: bigint,
    rows: bigint,
    count: number,
    tokens: number,
    hidden: number,
    vocabulary: number,
  ): number;
  /**
   * Norm of all gradients and the scale that clips it: GRADIENT_NORM = sqrt(sum g^2) over all
   * tensors, in fp64; CLIP_SCALE = min(1, clip/(norm + 1e-6)), or 1 if clip <= 0; NOT_FINITE = 1
   * if the norm is not finite.
   */
  remoe_gradient_norm(
    context: bigint,
    state: bigint,
    table: bigint,
    count: number,
    clip: number,
  ): number;
  /**
   * One step of AdamW (decoupled weight decay) over all parameters, with the state's
   * LEARNING_RATE, BIAS_CORRECTION_1 and _2, and CLIP_SCALE. Does nothing while NOT_FINITE or
   * OVERFLOW is set.
   */
  remoe_adamw(
    context: bigint,
    state: bigint,
    table: bigint,
    count: number,
    beta1: number,
    beta2: number,
    epsilon: number,
    weightDecay: number,
  ): number;
  /**
   * Writes the bytes that an operation takes from the pool while it runs to bytes[0], for a call
   * that wants all outputs. `sizes` is host int32, as remoe_scratch_code lists them. Rows count
   * as spread evenly over the experts.
   */
  remoe_scratch_bytes(
    context: bigint,
    operation: number,
    dtype: number,
    sizes: HostBuffer,
    bytes: HostBuffer,
  ): number;
  /**
   * Measures a register-only loop of multiply-adds on `threads` threads for about `seconds` and
   * writes its GFLOPS to gflops[0]: fp32 FMA, or for bf16 the unit's dot products
   * (REMOE_UNSUPPORTED without one). [waits]
   */
  remoe_probe_fma(
    context: bigint,
    dtype: number,
    threads: number,
    seconds: number,
    gflops: HostBuffer,
  ): number;
  /**
   * Measures a copy of `bytes` for about `seconds` and writes its GB/s (read + write) to
   * gigabytes_per_second[0]. [waits]
   */
  remoe_probe_copy(
    context: bigint,
    bytes: bigint,
    seconds: number,
    gigabytesPerSecond: HostBuffer,
  ): number;
}

/** The name of a function of the contract. */
export type SymbolName = keyof KernelSymbols;

/**
 * The C types of every function. A wrong type corrupts memory rather than failing, so none is
 * written by hand.
 *
 * Addresses are `u64`: as fast as a pointer, packable into a `BigUint64Array`, and usable with
 * `--allow-ffi=<library>` alone, while `Deno.UnsafePointer` asks for unscoped `--allow-ffi`.
 */
export const SYMBOLS = {
  remoe_abi_version: { parameters: [], result: "i32" },
  remoe_build_info: { parameters: ["buffer", "u64"], result: "i32" },
  remoe_context_create: {
    parameters: ["i32", "i32", "buffer", "buffer", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_context_destroy: { parameters: ["u64"], result: "i32", optional: true },
  remoe_context_message: { parameters: ["u64", "buffer", "u64"], result: "i32", optional: true },
  remoe_context_info: { parameters: ["u64", "buffer", "u64"], result: "i32", optional: true },
  remoe_memory_allocate: { parameters: ["u64", "u64", "buffer"], result: "i32", optional: true },
  remoe_memory_free: { parameters: ["u64", "buffer", "i32"], result: "i32", optional: true },
  remoe_memory_statistics: { parameters: ["u64", "buffer"], result: "i32", optional: true },
  remoe_memory_reset_peak: { parameters: ["u64"], result: "i32", optional: true },
  remoe_memory_trim: { parameters: ["u64"], result: "i32", optional: true },
  remoe_copy_from_host: {
    parameters: ["u64", "u64", "buffer", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_copy_to_host: {
    parameters: ["u64", "buffer", "u64", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_copy: { parameters: ["u64", "u64", "u64", "u64"], result: "i32", optional: true },
  remoe_fill: { parameters: ["u64", "i32", "u64", "f64", "u64"], result: "i32", optional: true },
  remoe_pinned_allocate: { parameters: ["u64", "u64", "buffer"], result: "i32", optional: true },
  remoe_pinned_free: { parameters: ["u64", "u64"], result: "i32", optional: true },
  remoe_pinned_write: {
    parameters: ["u64", "u64", "buffer", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_pinned_read: { parameters: ["u64", "buffer", "u64", "u64"], result: "i32", optional: true },
  remoe_copy_from_pinned: {
    parameters: ["u64", "u64", "u64", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_copy_to_pinned: { parameters: ["u64", "u64", "u64", "u64"], result: "i32", optional: true },
  remoe_stream_create: { parameters: ["u64", "buffer"], result: "i32", optional: true },
  remoe_stream_destroy: { parameters: ["u64", "u64"], result: "i32", optional: true },
  remoe_stream_use: { parameters: ["u64", "u64"], result: "i32", optional: true },
  remoe_stream_synchronize: { parameters: ["u64", "u64"], result: "i32", optional: true },
  remoe_synchronize: { parameters: ["u64"], result: "i32", optional: true },
  remoe_event_create: { parameters: ["u64", "buffer"], result: "i32", optional: true },
  remoe_event_destroy: { parameters: ["u64", "u64"], result: "i32", optional: true },
  remoe_event_record: { parameters: ["u64", "u64"], result: "i32", optional: true },
  remoe_event_wait: { parameters: ["u64", "u64"], result: "i32", optional: true },
  remoe_event_synchronize: { parameters: ["u64", "u64"], result: "i32", optional: true },
  remoe_event_elapsed: {
    parameters: ["u64", "u64", "u64", "buffer"],
    result: "i32",
    optional: true,
  },
  remoe_capture_begin: { parameters: ["u64"], result: "i32", optional: true },
  remoe_capture_end: { parameters: ["u64", "buffer"], result: "i32", optional: true },
  remoe_graph_launch: { parameters: ["u64", "u64"], result: "i32", optional: true },
  remoe_graph_destroy: { parameters: ["u64", "u64"], result: "i32", optional: true },
  remoe_state_begin: { parameters: ["u64", "u64", "i32", "i32"], result: "i32", optional: true },
  remoe_state_add: {
    parameters: ["u64", "u64", "i32", "u64", "f64"],
    result: "i32",
    optional: true,
  },
  remoe_state_record_routing: {
    parameters: ["u64", "u64", "i32", "u64", "u64", "u64", "i32", "f64", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_state_update_lambda: {
    parameters: [
      "u64",
      "u64",
      "i32",
      "i32",
      "f64",
      "f64",
      "f64",
      "f64",
      "f64",
      "i32",
      "f64",
      "f64",
    ],
    result: "i32",
    optional: true,
  },
  remoe_random: {
    parameters: ["u64", "i32", "u64", "u64", "f64", "f64", "u64", "u32", "u32"],
    result: "i32",
    optional: true,
  },
  remoe_binary: {
    parameters: ["u64", "i32", "i32", "u64", "u64", "u64", "buffer"],
    result: "i32",
    optional: true,
  },
  remoe_unary: {
    parameters: ["u64", "i32", "i32", "u64", "u64", "f32", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_unary_gradient: {
    parameters: ["u64", "i32", "i32", "u64", "u64", "u64", "f32", "u64", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_accumulate: {
    parameters: ["u64", "i32", "u64", "i32", "u64", "f32", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_reduce: {
    parameters: ["u64", "i32", "i32", "u64", "u64", "buffer", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_softmax: {
    parameters: ["u64", "i32", "u64", "u64", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_softmax_gradient: {
    parameters: ["u64", "i32", "u64", "u64", "u64", "i32", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_cast: {
    parameters: ["u64", "i32", "u64", "i32", "u64", "u64"],
    result: "i32",
    optional: true,
  },
  remoe_copy_strided: {
    parameters: ["u64", "i32", "u64", "u64", "buffer"],
    result: "i32",
    optional: true,
  },
  remoe_gemm: {
    parameters: [
      "u64",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
      "f32",
      "u64",
      "i32",
      "u64",
      "i32",
      "f32",
      "u64",
      "i32",
    ],
    result: "i32",
    optional: true,
  },
  remoe_relu_router_forward: {
    parameters: [
      "u64",
      "i32",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "i32",
      "i32",
      "i32",
      "i32",
    ],
    result: "i32",
    optional: true,
  },
  remoe_relu_router_gradient: {
    parameters: [
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "i32",
      "i32",
      "f64",
      "f64",
      "f64",
      "i32",
      "i32",
    ],
    result: "i32",
    optional: true,
  },
  remoe_transport_weights: {
    parameters: ["u64", "u64", "u64", "u64", "u64", "f64", "i32", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_topk_router_forward: {
    parameters: [
      "u64",
      "i32",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
    ],
    result: "i32",
    optional: true,
  },
  remoe_topk_router_gradient: {
    parameters: [
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "f64",
      "f64",
      "i32",
      "i32",
      "i32",
      "i32",
    ],
    result: "i32",
    optional: true,
  },
  remoe_hash_router_forward: {
    parameters: ["u64", "u64", "u64", "u64", "u64", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_expert_choice_router_forward: {
    parameters: [
      "u64",
      "i32",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
    ],
    result: "i32",
    optional: true,
  },
  remoe_sparsemixer_router_forward: {
    parameters: [
      "u64",
      "i32",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "i32",
      "i32",
      "i32",
      "i32",
      "f64",
    ],
    result: "i32",
    optional: true,
  },
  remoe_sparsemixer_router_gradient: {
    parameters: ["u64", "u64", "u64", "u64", "u64", "u64", "f64", "f64", "i32", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_sigmoid_router_forward: {
    parameters: [
      "u64",
      "i32",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
    ],
    result: "i32",
    optional: true,
  },
  remoe_sigmoid_router_gradient: {
    parameters: ["u64", "u64", "u64", "u64", "u64", "u64", "i32", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_routing_mask: {
    parameters: ["u64", "u64", "u64", "u64", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_dispatch_plan: {
    parameters: ["u64", "u64", "u64", "i32", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_experts_forward: {
    parameters: [
      "u64",
      "i32",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
    ],
    result: "i32",
    optional: true,
  },
  remoe_experts_gradient: {
    parameters: [
      "u64",
      "i32",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
    ],
    result: "i32",
    optional: true,
  },
  remoe_swiglu_forward: {
    parameters: ["u64", "i32", "u64", "u64", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_swiglu_gradient: {
    parameters: ["u64", "i32", "u64", "u64", "u64", "i32", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_rms_norm_forward: {
    parameters: ["u64", "i32", "u64", "u64", "u64", "u64", "i32", "i32", "f32"],
    result: "i32",
    optional: true,
  },
  remoe_rms_norm_gradient: {
    parameters: ["u64", "i32", "u64", "u64", "u64", "u64", "u64", "u64", "i32", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_rope: {
    parameters: ["u64", "i32", "u64", "i32", "i32", "i32", "i32", "i32", "f64", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_attention_forward: {
    parameters: [
      "u64",
      "i32",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
    ],
    result: "i32",
    optional: true,
  },
  remoe_attention_gradient: {
    parameters: [
      "u64",
      "i32",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
    ],
    result: "i32",
    optional: true,
  },
  remoe_attention_extend: {
    parameters: [
      "u64",
      "i32",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
      "f64",
    ],
    result: "i32",
    optional: true,
  },
  remoe_embedding_forward: {
    parameters: ["u64", "i32", "u64", "u64", "u64", "i32", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_embedding_gradient: {
    parameters: ["u64", "i32", "u64", "u64", "u64", "i32", "i32", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  remoe_cross_entropy_forward: {
    parameters: [
      "u64",
      "i32",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "i32",
      "i32",
      "i32",
      "i32",
    ],
    result: "i32",
    optional: true,
  },
  remoe_cross_entropy_gradient: {
    parameters: [
      "u64",
      "i32",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "i32",
      "i32",
      "i32",
      "i32",
      "i32",
    ],
    result: "i32",
    optional: true,
  },
  remoe_token_scores: {
    parameters: [
      "u64",
      "i32",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "i32",
      "i32",
      "i32",
      "i32",
    ],
    result: "i32",
    optional: true,
  },
  remoe_gradient_norm: {
    parameters: ["u64", "u64", "u64", "i32", "f64"],
    result: "i32",
    optional: true,
  },
  remoe_adamw: {
    parameters: ["u64", "u64", "u64", "i32", "f64", "f64", "f64", "f64"],
    result: "i32",
    optional: true,
  },
  remoe_scratch_bytes: {
    parameters: ["u64", "i32", "i32", "buffer", "buffer"],
    result: "i32",
    optional: true,
  },
  remoe_probe_fma: {
    parameters: ["u64", "i32", "i32", "f64", "buffer"],
    result: "i32",
    optional: true,
  },
  remoe_probe_copy: { parameters: ["u64", "u64", "f64", "buffer"], result: "i32", optional: true },
} as const satisfies Record<SymbolName, Deno.ForeignFunction>;
