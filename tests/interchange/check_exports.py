"""Loads exports with transformers and compares logits, greedy texts and token ids.

    deno run -A tests/interchange/write_exports.ts FOLDER
    python tests/interchange/check_exports.py FOLDER

No weight may be missing or unexpected, and an export that needs its Python file must not run without.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

TOLERANCE = 1e-4


def load(folder, **options):
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True, **options
    )
    return model.eval(), info


def run(model, ids):
    ids = torch.tensor([ids])
    with torch.no_grad():
        return model(ids, attention_mask=torch.ones_like(ids)).logits[0]


def check(folder, expected):
    trust = {"trust_remote_code": True} if expected["needsTrust"] else {}
    model, info = load(folder, **trust)
    problems = {key: sorted(names) for key, names in info.items() if names}
    assert not problems, problems
    prompt = expected["prompt"]
    difference = (run(model, prompt) - torch.tensor(expected["logits"])).abs().max().item()
    assert difference < TOLERANCE, difference
    ids = torch.tensor([prompt])
    drawn = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=len(expected["greedy"]),
        do_sample=False,
        eos_token_id=None,
    )[0, len(prompt) :].tolist()
    assert drawn == expected["greedy"], (drawn, expected["greedy"])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.decode(drawn) == expected["text"], tokenizer.decode(drawn)
    for case in expected["texts"]:
        ids = tokenizer(case["text"], add_special_tokens=False)["input_ids"]
        assert ids == case["ids"], (case, ids)
    if trust:
        try:
            run(load(folder, trust_remote_code=False)[0], prompt)
        except RuntimeError:
            pass
        else:
            raise AssertionError("it runs with Mixtral's own router")
    return type(model).__name__, difference


def main():
    root = Path(sys.argv[1])
    for path in sorted(root.glob("*.expected.json")):
        name = path.name.removesuffix(".expected.json")
        kind, difference = check(root / name, json.loads(path.read_text()))
        print(f"{name}: {kind}, largest difference of a logit {difference:.1e}")


if __name__ == "__main__":
    main()
