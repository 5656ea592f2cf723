"""A tiny chat model that answers in the form it is asked for, made within a minute or two.

A server's log-probabilities are to be compared on text like a frontier model's: JSON with
escapes, line ends, LaTeX, characters that no token holds whole. So the model learns small stories
with all of that, in the prompts and forms that our client asks in. Wordings are drawn at random,
so that many tokens stay uncertain; whether its sums are right does not matter.

Where the prompt's task is `THOUGHT_OVER`, it thinks between tags before it answers, as reasoning
models do. Its tokenizer is trained on the stories and on this repository's documentation.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from dataselect.benchmarks.items import Item
from dataselect.corpus.tokenizer import train_tokenizer
from dataselect.traces.recording.completion import Form, messages

TASK, THOUGHT_OVER = "math", "riddle"
FORMS: tuple[Form, Form] = ("json", "plain")
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message.role }}: {{ message.content }}\n"
    "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)
_NAMES = ("Zoë", "José", "Søren", "Ann", "Tom", "Mia", "Łukasz", "Eve", "Björn", "Ida")
_THINGS = {
    "apples": "🍎",
    "pears": "🍐",
    "boats": "⛵",
    "cups": "☕",
    "stars": "⭐",
    "keys": "🔑",
    "books": "📚",
    "roses": "🌹",
    "fish": "🐟",
    "bells": "🔔",
}
_DONE = "✅"
_TAGS = ("<think>", "</think>")
_DOCS = Path(__file__).parents[2] / "docs"
_MERGES_FROM = 400
_VOCABULARY = 1200
_POSITIONS = 4096


def make_items(rng: random.Random, count: int) -> list[Item]:
    """Small sums as stories, with one of their wordings worked out."""
    return [_story(rng, f"story-{number}") for number in range(count)]


def make_model(
    folder: Path, seed: int, steps: int
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Train tokenizer and model, and keep both in `folder`, from where they are read next time."""
    if not (folder / "done").exists():
        tokenizer = _tokenizer(random.Random(seed))
        model = _train(tokenizer, seed, steps)
        model.save_pretrained(str(folder))
        tokenizer.save_pretrained(str(folder))
        (folder / "done").touch()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(folder))
    model = LlamaForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    return model.eval(), tokenizer


def prompt_ids(tokenizer: PreTrainedTokenizerFast, prompt: list[dict[str, str]]) -> list[int]:
    """The token ids of a chat prompt, by the template that the server gets too."""
    text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _story(rng: random.Random, name: str) -> Item:
    who, friend = rng.sample(_NAMES, 2)
    thing = rng.choice(list(_THINGS))
    mark = _THINGS[thing]
    a, b, sign = rng.randint(2, 9), rng.randint(2, 9), rng.choice("+*")
    result = a + b if sign == "+" else a * b
    if sign == "+":
        event, sums = f"{friend} gives {who} {b} more.", f"{a} + {b} = {result}"
    else:
        event, sums = f"{friend} has {b} times as many.", rf"${a} \times {b} = {result}$"
    first = rng.choice(
        (f"First, {who} has {a} {mark} {thing}.", f"{who} starts with {a} {mark} “{thing}”.")
    )
    # Two marks side by side: a server that leaves out parts of characters blurs them.
    then = rng.choice(
        (f"Then {sums} – done {mark}{_DONE} now.", f'So "{thing}" {mark} is {sums} {_DONE}')
    )
    question = f"{who} has {a} {thing}. {event} How many {thing} are that?"
    return Item(name, question, str(result), rationale=f"{first}\n{then}")


def _thinking(rng: random.Random, item: Item) -> str:
    """Other words than the answer's, which may hold its text too."""
    first, *_ = item.question.split(". ")
    doubt = rng.choice(("Hmm…", "Wait – once more.", "Is that “all”?", "OK 🤔."))
    return f"{_TAGS[0]}\n{first}. {doubt}\nSo it is {item.answer}.\n{_TAGS[1]}\n\n"


def _answer(item: Item, form: Form) -> str:
    """The prompt's own pattern, filled in."""
    pattern = messages(item.question, TASK, form)[1]["content"].partition("exact format:\n")[2]
    reasoning = item.rationale or ""
    if form == "json":
        # Some models escape what is beyond ASCII and some do not; here every other thing is.
        escaped = any(mark in reasoning for mark in list(_THINGS.values())[::2])
        reasoning = json.dumps(reasoning, ensure_ascii=escaped)[1:-1]
    pattern = pattern.replace("your step by step reasoning", reasoning)
    return pattern.replace("your final answer", item.answer)


def _tokenizer(rng: random.Random) -> PreTrainedTokenizerFast:
    # Marks of all kinds, so that few are tokens: most are split, some after the space before.
    def texts() -> Iterator[str]:
        for item in make_items(rng, _MERGES_FROM):
            for form in FORMS:
                yield messages(item.question, TASK, form)[1]["content"]
                answer = _answer(item, form).replace(_DONE, "")
                for mark in _THINGS.values():
                    answer = answer.replace(mark, chr(rng.randrange(0x1F300, 0x1F600)))
                yield answer
        for page in sorted(_DOCS.glob("*.md")):
            yield page.read_text(encoding="utf-8")

    tokenizer = train_tokenizer(texts(), _VOCABULARY, split_digits=False)
    # As in real models: tokens of their own, which are shown.
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in _TAGS])
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def _train(tokenizer: PreTrainedTokenizerFast, seed: int, steps: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        # Fewer, so that the layout of both kinds of head is put to the test.
        num_key_value_heads=2,
        max_position_embeddings=_POSITIONS,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = LlamaForCausalLM(config)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, total_steps=steps)
    rng = random.Random(seed + 1)
    for _ in range(steps):
        batch = [_example(tokenizer, item, rng) for item in make_items(rng, 4)]
        optimiser.zero_grad()
        model(**_padded(batch)).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return model


def _example(
    tokenizer: PreTrainedTokenizerFast, item: Item, rng: random.Random
) -> tuple[list[int], int]:
    """Token ids of prompt, answer and end; and how many are the prompt's."""
    form, task = rng.choice(FORMS), rng.choice((TASK, TASK, THOUGHT_OVER))
    prompt = prompt_ids(tokenizer, messages(item.question, task, form))
    thinking = _thinking(rng, item) if task == THOUGHT_OVER else ""
    text = thinking + _answer(item, form)
    answer = tokenizer(text, add_special_tokens=False)["input_ids"]
    return [*prompt, *answer, tokenizer.eos_token_id], len(prompt)


def _padded(batch: list[tuple[list[int], int]]) -> dict[str, Any]:
    longest = max(len(ids) for ids, _ in batch)
    inputs = torch.zeros(len(batch), longest, dtype=torch.long)
    labels = torch.full_like(inputs, -100)
    for row, (ids, prompt) in enumerate(batch):
        inputs[row, : len(ids)] = torch.tensor(ids)
        labels[row, prompt : len(ids)] = torch.tensor(ids[prompt:])
    return {"input_ids": inputs, "labels": labels}
