"""Batches hold every row once, little padding, and are the same for the same seed."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.errors import ModelError
from tutelage.generation.local import LocalGenerator
from tutelage.models import LanguageModel, load
from tutelage.training.batching import Batches, Collator, RandomBatches, Row, in_parts, tokenize
from tutelage.types import Example

LENGTHS = st.lists(st.tuples(st.integers(1, 300), st.integers(1, 200)), min_size=1, max_size=60)
SIZES = st.one_of(
    st.fixed_dictionaries({"rows": st.integers(1, 9)}), st.fixed_dictionaries({"tokens": st.integers(50, 2000)})
)


@settings(max_examples=200, deadline=None)
@given(
    lengths=LENGTHS,
    size=SIZES,
    seed=st.integers(0, 2**31),
    processes=st.integers(1, 3),
    made=st.sampled_from([Batches, RandomBatches, partial(RandomBatches, accumulate=3)]),
)
def test_every_row_comes_once_an_epoch(lengths, size, seed, processes, made):
    """A row left out is not taught; one that comes twice counts double. Every epoch has the announced number."""
    shares = [made(lengths, **size, seed=seed, rank=rank, processes=processes) for rank in range(processes)]
    for epoch in range(3):
        for share in shares:
            share.set_epoch(epoch)
        found = [list(share) for share in shares]
        assert {len(batches) for batches in found} == {len(shares[0])}
        seen = sorted(i for batches in found for batch in batches for i in batch)
        singles = processes > 1 and all(len(batch) == 1 for batches in found for batch in batches)
        assert seen == list(range(len(lengths))) or (singles and set(seen) == set(range(len(lengths))))


@settings(max_examples=100, deadline=None)
@given(lengths=LENGTHS, tokens=st.integers(50, 2000))
def test_no_batch_exceeds_its_budget(lengths, tokens):
    """A batch over the budget is the one that runs out of memory, hours into a run."""
    for batch in Batches(lengths, tokens=tokens):
        prompt, target = max(lengths[i][0] for i in batch), max(lengths[i][1] for i in batch)
        assert len(batch) == 1 or len(batch) * (prompt + target) <= tokens


@settings(max_examples=100, deadline=None)
@given(lengths=LENGTHS, tokens=st.integers(50, 2000), overhead=st.sampled_from([0.0, 64.0, math.inf]))
def test_no_batch_to_learn_from_exceeds_its_budget_in_its_parts(lengths, tokens, overhead):
    """Rows of all lengths padded to the longest would exceed it; their parts, all held until the step, must not."""
    for batch in RandomBatches(lengths, tokens=tokens):
        sizes = [lengths[i] for i in batch]
        parts = in_parts(sizes, overhead=overhead, budget=tokens)
        assert sorted(i for part in parts for i in part) == list(range(len(batch)))
        assert len(batch) == 1 or sum(padded([sizes[i] for i in part]) for part in parts) <= tokens


def padded(lengths: Sequence[tuple[int, int]]) -> int:
    return len(lengths) * (max(prompt for prompt, _ in lengths) + max(target for _, target in lengths))


@settings(max_examples=100, deadline=None)
@given(lengths=st.lists(st.sampled_from([(8, 8), (8, 40), (32, 10), (96, 120), (16, 20)]), min_size=1, max_size=7))
def test_parts_cost_the_least(lengths):
    """Found by trying every way to cut the sorted rows; they have lengths that rounding leaves alone."""
    order = sorted(range(len(lengths)), key=lambda i: (sum(lengths[i]), lengths[i]))

    def cost(parts: Sequence[Sequence[int]], overhead: float) -> float:
        return sum(overhead + padded([lengths[i] for i in part]) for part in parts)

    for overhead in (0.0, 30.0, 500.0):
        ways = product([False, True], repeat=len(lengths) - 1)
        cuts = [[0, *(at + 1 for at, cut in enumerate(way) if cut), len(lengths)] for way in ways]
        least = min(cost([order[a:b] for a, b in pairwise(cut)], overhead) for cut in cuts)
        assert cost(in_parts(lengths, overhead=overhead), overhead) == least
    assert in_parts(lengths, overhead=math.inf) == [list(range(len(lengths)))]


def test_a_step_is_drawn_without_regard_to_length():
    """Batches of one length each gave a token of a short target 15 times the weight of one of a long target."""
    short_long = [(20, 5)] * 100 + [(20, 300)] * 100
    others = [(20, 50)] * 200
    found = [list(RandomBatches(lengths, rows=8, seed=3)) for lengths in (short_long, others)]
    assert found[0] == found[1]
    by_tokens = list(RandomBatches(short_long, tokens=2000, seed=3))
    tokens = [sum(short_long[i][1] for i in batch) for batch in by_tokens]
    assert max(tokens) <= 1.5 * min(tokens)


@pytest.mark.parametrize("processes", [1, 2])
def test_accumulated_batches_share_a_random_step_sorted_by_length(processes: int):
    """Sorting within a step changes no sum; sorting across steps would. Processes that wait get batches alike."""
    lengths = [(random.Random(i).randint(1, 90), random.Random(-i).randint(1, 90)) for i in range(96)]
    plain = list(RandomBatches(lengths, rows=4 * 3 * processes, seed=7))
    shares = [
        list(RandomBatches(lengths, rows=4, accumulate=3, seed=7, rank=rank, processes=processes))
        for rank in range(processes)
    ]
    for at, step in enumerate(plain):
        batches = [share[3 * at + micro] for micro in range(3) for share in shares]
        together = [i for batch in batches for i in batch]
        assert sorted(together) == sorted(step)
        sizes = [sum(lengths[i]) for i in together]
        assert sizes == sorted(sizes)


@pytest.mark.parametrize("made", [Batches, RandomBatches])
def test_same_seed_and_epoch_give_the_same_batches(made: Any):
    """A resumed run must see the rows in the order of the unbroken one."""
    lengths = [(random.Random(i).randint(1, 90), 20) for i in range(50)]
    first, second = (made(lengths, rows=4, seed=7) for _ in range(2))
    first.set_epoch(2)
    second.set_epoch(2)
    assert list(first) == list(second)


@pytest.mark.parametrize("size", [{"rows": 4}, {"tokens": 100}])
@pytest.mark.parametrize("made", [Batches, RandomBatches])
def test_epochs_differ(made: Any, size: dict[str, int]):
    """The same batches in every epoch teach the order as well."""
    batches = made([(10, 10)] * 40, **size, seed=7)
    before = list(batches)
    batches.set_epoch(1)
    assert {tuple(sorted(b)) for b in before} != {tuple(sorted(b)) for b in batches}


def test_lengths_of_a_batch_are_similar():
    """Rows padded to the longest of the whole set cost four times the work (a known defect)."""
    source = random.Random(0)
    lengths = [(source.randint(10, 200), source.randint(10, 200)) for _ in range(1000)]
    batches = list(Batches(lengths, rows=16))
    used = sum(sum(pair) for pair in lengths)
    padded = sum(len(b) * (max(lengths[i][0] for i in b) + max(lengths[i][1] for i in b)) for b in batches)
    assert used / padded > 0.8


@pytest.fixture(params=["t5", "gpt"])
def lm(request: pytest.FixtureRequest, tiny_t5_folder: Path, tiny_gpt_folder: Path) -> LanguageModel:
    return load(tiny_t5_folder if request.param == "t5" else tiny_gpt_folder)


def logits(lm: LanguageModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    inputs = {name: tensor for name, tensor in batch.items() if name not in ("labels", "weights")}
    with torch.no_grad():
        return lm.model(**inputs).logits


ROWS = [Row("a", [5, 6, 7, 1], [8, 9, 1], 1.0), Row("b", [5, 1], [8, 9, 10, 11, 1], 2.0)]


def test_encoder_decoder_tensors(tiny_t5_folder: Path):
    """The decoder reads the target one step late, after the start id; padding carries no loss."""
    batch = Collator(load(tiny_t5_folder))(ROWS)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 1], [5, 1, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch["decoder_input_ids"].tolist() == [[0, 8, 9, 0, 0], [0, 8, 9, 10, 11]]
    assert batch["labels"].tolist() == [[8, 9, 1, -100, -100], [8, 9, 10, 11, 1]]
    assert batch["weights"].tolist() == [1.0, 2.0]


def test_causal_tensors(tiny_gpt_folder: Path):
    """Prompt tokens carry no loss, or a student learns to write questions; the end mark does, though it is the pad."""
    batch = Collator(load(tiny_gpt_folder))(ROWS)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 1, 8, 9], [5, 1, 8, 9, 10, 11]]
    assert batch["labels"].tolist() == [[-100, -100, -100, 8, 9, 1], [-100, 8, 9, 10, 11, 1]]


def test_batch_is_padded_to_its_own_longest_row(lm: LanguageModel):
    """Work on padding is paid for and teaches nothing."""
    batch = Collator(lm)(ROWS)
    width = {"encoder-decoder": 4, "causal": 6}[lm.kind]
    assert batch["input_ids"].shape == (2, width)
    assert (batch["attention_mask"].sum(0) > 0).all()


def test_padding_changes_no_logits(lm: LanguageModel):
    """A row must be taught the same whatever stands beside it."""
    collate = Collator(lm)
    together, alone = collate(ROWS), collate(ROWS[1:])
    length = alone["labels"].shape[1]
    torch.testing.assert_close(logits(lm, together)[1, :length], logits(lm, alone)[0], atol=1e-5, rtol=1e-4)


def test_long_prompts_are_cut_and_counted(lm: LanguageModel):
    """A cut that nobody is told of looks like a weak student."""
    examples = [Example("a", "passage " * 20 + "How many?", "5"), Example("b", "How many?", "5")]
    rows, cut = tokenize(lm, examples, max_prompt_tokens=16, max_target_tokens=16)
    assert cut == (1, 0)
    assert [len(row.prompt) for row in rows] == [16, len(lm.prompt_ids("How many?"))]
    assert rows[0].prompt == lm.prompt_ids(examples[0].prompt)[-16:]


def test_long_targets_are_left_out_and_counted(lm: LanguageModel):
    """A target cut silently has no answer: the student learns not to answer."""
    examples = [Example("a", "x", "5 " * 40), Example("b", "x", "5")]
    rows, cut = tokenize(lm, examples, max_prompt_tokens=16, max_target_tokens=16)
    assert [row.id for row in rows] == ["b"]
    assert cut == (0, 1)


def test_causal_prompt_and_target_share_the_window(tiny_gpt_folder: Path):
    """A row longer than the positions of GPT-2 crashes in the embedding."""
    lm = load(tiny_gpt_folder)
    rows, cut = tokenize(lm, [Example("a", "p" * 200, "5" * 20)], max_prompt_tokens=512, max_target_tokens=100)
    assert len(rows[0].prompt) == 128 - 100
    assert cut == (1, 0)


def test_a_prompt_is_cut_in_training_as_when_it_is_asked(lm: LanguageModel):
    """Taught with more of the prompt than it will ever be shown, a student is served what it never saw."""
    prompts = ["Tova has 12 beads. " * 12 + "How many?", "How many?"]
    examples = [Example(prompt[-12:] + str(i), prompt, "5 " * i) for prompt in prompts for i in (1, 9)]
    for limit in (20, 50, 400):
        rows, cut = tokenize(lm, examples, max_prompt_tokens=limit, max_target_tokens=64)
        generator = LocalGenerator(lm, max_new_tokens=64, max_prompt_tokens=limit)
        assert [row.prompt for row in rows] == [generator._prompt(example.prompt) for example in examples]
        assert cut.prompts == generator.cut_prompts


def test_a_window_without_room_for_a_prompt_is_told_before_training(tiny_gpt_folder: Path):
    """Found at the first scoring it would cost the training."""
    with pytest.raises(ModelError, match="room for 128 tokens, prompt and text together; texts of 128 leave none"):
        tokenize(load(tiny_gpt_folder), [Example("a", "x", "5")], max_prompt_tokens=16, max_target_tokens=128)
