/** The comparisons behind docs/reproduction.md: each a command line of `cli/compare.ts`. @module */

/** A comparison and the claim that it tests. */
export interface Experiment {
  /** Name for `--only`, and of the folder of its runs. */
  readonly name: string;
  /** The claim. */
  readonly claim: string;
  /** Arguments of `cli/compare.ts`, without `--out`. */
  readonly flags: readonly string[];
  /** Takes a day rather than minutes, so it runs only with `--only`. */
  readonly isLong?: true;
  /** Needs text of several domains, keeps the weights, and looks into each trained model. */
  readonly byDomain?: true;
}

/** Five seeds, so that an interval is 2.78 standard errors on either side. */
const PICO = ["--preset", "pico", "--seeds", "5"];

/** All comparisons, in the order of docs/reproduction.md. */
export const EXPERIMENTS: readonly Experiment[] = [
  {
    name: "routers",
    claim: "Every router at equal steps, with TopK's noise floor",
    flags: [...PICO],
  },
  {
    name: "compute",
    claim: "ReMoE below TopK in validation loss at equal compute",
    flags: [...PICO, "--routers", "dense,topk,relu", "--match", "compute", "--noise", "none"],
  },
  {
    name: "lambda0",
    claim: "The initial λ changes when sparsity settles, not where",
    flags: [
      ...[...PICO, "--routers", "relu", "--noise", "none", "--steps", "450"],
      // The paper has no floor; the default one is a hundredth of λ0, and would hold up λ0 = 1.
      ...["--set", "moe.lambda_floor=0", "--sweep", "moe.lambda0=1e-16,1e-12,1e-8,1e-4,1"],
    ],
  },
  {
    name: "alpha",
    claim: "A larger α settles sooner",
    flags: [
      ...[...PICO, "--routers", "relu", "--noise", "none", "--steps", "600"],
      ...["--sweep", "moe.alpha=1.05,1.1,1.2,1.3,1.5"],
    ],
  },
  {
    name: "experts",
    claim: "ReMoE's lead over TopK grows with the number of experts",
    flags: [
      ...[...PICO, "--routers", "topk,relu", "--noise", "none"],
      ...["--sweep", "moe.experts=4,8,16,32"],
    ],
  },
  {
    name: "granularity",
    claim: "Finer experts lower the loss of both",
    flags: [
      ...[...PICO, "--routers", "topk,relu", "--noise", "none"],
      ...["--sweep", "moe.granularity=1,2,4,8"],
    ],
  },
  {
    name: "balance",
    claim: "Load balancing spreads the load without a loss in quality",
    flags: [
      ...[...PICO, "--routers", "topk,relu", "--noise", "none"],
      ...["--variant", "plain=relu:balance=plain"],
      ...["--variant", "free=topk:balance_coefficient=0"],
    ],
  },
  {
    name: "warmup",
    claim: "Near-dense warmup helps TopK, and less than ReLU routing",
    flags: [
      ...[...PICO, "--routers", "topk,relu", "--noise", "none"],
      ...["--variant", "warm=topk:warmup_active=6,warmup_steps=100"],
    ],
  },
  {
    name: "settings",
    claim: "Other settings for each: initialisation, learning rate, balance, gate scale, warmup",
    flags: [
      // Seeds that no other table uses: settings chosen here are judged there.
      ...["--preset", "pico", "--seeds", "10-12", "--routers", "dense,topk,relu,hash"],
      ...["--variant", "scaled=topk:gate_scale=8"],
      ...["--variant", "free=topk:balance_coefficient=0"],
      ...["--variant", "soft=topk:balance_coefficient=0.001"],
      ...["--variant", "two=topk:active=2,renormalize=true"],
      ...["--variant", "warm=topk:warmup_active=8,warmup_steps=100"],
      ...["--variant", "small=topk:router_std=0.006"],
      ...["--variant", "revived=relu:revive=0.001"],
      ...["--sweep", "model.init_std=0.0346,0.06,0.12", "--sweep", "optimizer.lr=0.001,0.003"],
      ...["--noise", "none"],
    ],
  },
  {
    name: "domains",
    claim: "Routing flips less, and experts specialise more in rare tokens and in domains",
    flags: [
      ...["--preset", "nano", "--steps", "500", "--seeds", "5"],
      ...["--routers", "topk,relu", "--noise", "none", "--set", "flips.every=10"],
    ],
    byDomain: true,
  },
  {
    name: "headline",
    claim: "Every router, long enough that the dense stages are under 5 % of the run",
    flags: ["--preset", "nano", "--steps", "2000", "--seeds", "3"],
    isLong: true,
  },
];
