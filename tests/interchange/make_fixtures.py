"""Writes the fixtures of these tests: tiny random models made, run and saved by transformers.

Run it where torch, transformers 5.24.0 and tokenizers are installed:

    python tests/interchange/make_fixtures.py

Each folder under fixtures/ is a model as `save_pretrained` writes it, with expected.json beside it:
logits of a fixed prompt and the greedy continuation, computed in fp32 from the saved files.
"""

import json
import shutil
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MixtralConfig,
    OlmoeConfig,
    PreTrainedTokenizerFast,
    Qwen2MoeConfig,
    Qwen3MoeConfig,
)

FIXTURES = Path(__file__).parent / "fixtures"
PROMPT = [1, 17, 42, 5, 63, 9, 30, 30, 21, 58]
DRAWN = 12
TEXT = [
    "the people of the city saw the king, and the king saw the people.",
    "a café in the city; naïve readers of the café read on and on.",
]
HARD = [
    "",
    " ",
    "Hello world",
    "  two  spaces\n\nand\tlines \r\n",
    "naïve café – “quotes” … 12345 3.14",
    "日本語 한국어 العربية 🙂👩‍👩‍👧 \u0301combining",
    "don't I'll we've <0x41>",
    "def f(x):\n    return x**2  # done",
]

SIZES = dict(
    vocab_size=64,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=None,
)
EXPERTS = dict(num_experts_per_tok=2)


def byte_level(size, special):
    """A byte-level vocabulary such as GPT-2's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet() if size > 256 else []
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def byte_fallback(size, bytes_, special):
    """A vocabulary such as Llama's: spaces as a mark, tokens for single bytes."""
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(bytes_), special_tokens=special, show_progress=False
    )
    marked = [text.replace(" ", "\u2581") for text in TEXT]
    trained.train_from_iterator([f"\u2581{text}" for text in marked], trainer)
    model = json.loads(trained.to_str())["model"]
    tokens = list(special) + [f"<0x{byte:02X}>" for byte in bytes_]
    tokens += [token for token in model["vocab"] if token not in special]
    merges = [tuple(pair) for pair in model["merges"]]
    tokenizer = Tokenizer(
        models.BPE(
            {token: i for i, token in enumerate(tokens)},
            merges,
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.add_special_tokens(list(special))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return tokenizer


def randomize(model):
    """Weights large enough that a mistake anywhere moves the logits."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_norm = "norm" in name and name.endswith("weight")
            parameter.copy_(1 + 0.2 * noise if is_norm else 0.3 * noise)


def expect(folder, **options):
    """What transformers computes from the saved files, in fp32."""
    model, info = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.float32,
        attn_implementation="eager",
        output_loading_info=True,
        **options,
    )
    for problem, names in info.items():
        assert not names, (problem, names)
    model.eval()
    ids = torch.tensor([PROMPT])
    mask = torch.ones_like(ids)
    with torch.no_grad():
        logits = model(ids, attention_mask=mask).logits[0]
        drawn = []
        for _ in range(DRAWN):
            step = torch.tensor([PROMPT + drawn])
            last = model(step, attention_mask=torch.ones_like(step)).logits[0, -1]
            drawn.append(int(last.argmax()))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return {
        "prompt": PROMPT,
        "logits": [[float(f"{value:.7g}") for value in row] for row in logits.tolist()],
        "greedy": drawn,
        "text": tokenizer.decode(drawn, skip_special_tokens=True),
    }


def write(name, config, tokenizer, dtype=torch.float32, shard=None, rewrite=None):
    folder = FIXTURES / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config)
    randomize(model)
    model.to(dtype).save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    (folder / "generation_config.json").unlink(missing_ok=True)
    if rewrite:
        path = folder / "config.json"
        path.write_text(json.dumps(rewrite(json.loads(path.read_text())), indent=2) + "\n")
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    expected = expect(folder)
    (folder / "expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: {size} bytes, {expected['text']!r}")


def older_rope(config):
    """The form of releases before rope_parameters."""
    config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
    return config


def write_tokenizer(name, tokenizer):
    folder = FIXTURES / "tokenizers"
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / f"{name}.json"), pretty=False)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    cases = []
    for text in HARD:
        ids = wrapped.backend_tokenizer.encode(text, add_special_tokens=False).ids
        cases.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids)})
    (folder / f"{name}.expected.json").write_text(json.dumps(cases, indent=1) + "\n")


def main():
    llama_like = byte_fallback(64, [0x0A, 0xC3, 0xA9, 0xE2, 0x82, 0xAC], ["<unk>", "<s>", "</s>"])
    gpt_like = byte_level(64, ["<unk>", "<|begin|>", "<|end|>"])
    write("llama", LlamaConfig(**SIZES, intermediate_size=24), llama_like, rewrite=older_rope)
    write(
        "llama-bf16",
        LlamaConfig(**SIZES, intermediate_size=24, rope_parameters={
            "rope_type": "default", "rope_theta": 5e5}),
        llama_like,
        dtype=torch.bfloat16,
    )
    write(
        "llama-tied",
        LlamaConfig(**SIZES, intermediate_size=24, tie_word_embeddings=True, head_dim=6),
        llama_like,
    )
    write(
        "mixtral",
        MixtralConfig(**SIZES, **EXPERTS, intermediate_size=8, num_local_experts=4),
        llama_like,
        shard="16KB",
    )
    write(
        "olmoe",
        OlmoeConfig(
            **SIZES, **EXPERTS, intermediate_size=12, num_experts=4, clip_qkv=1.0,
            norm_topk_prob=False,
        ),
        gpt_like,
        dtype=torch.float16,
    )
    shared = dict(**SIZES, **EXPERTS, moe_intermediate_size=8, num_experts=4)
    write(
        "qwen2-moe",
        Qwen2MoeConfig(
            **shared, intermediate_size=24, shared_expert_intermediate_size=20, qkv_bias=True,
            mlp_only_layers=[0],
        ),
        gpt_like,
    )
    write(
        "qwen3-moe",
        Qwen3MoeConfig(
            **shared, intermediate_size=24, head_dim=8, norm_topk_prob=True, decoder_sparse_step=1
        ),
        gpt_like,
        dtype=torch.bfloat16,
    )
    write_tokenizer("byte_level", byte_level(300, ["<|end|>"]))
    write_tokenizer("byte_fallback", byte_fallback(320, range(256), ["<unk>", "<s>", "</s>"]))


if __name__ == "__main__":
    main()
