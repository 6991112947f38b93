"""Keys shared by the samples of a question: the same attention as with a copy for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tutelage.generation import decoding
from tutelage.generation.decoding import Reader
from tutelage.generation.sharing import PLAIN, Rows, attend, sharing
from tutelage.models import LanguageModel, evaluating, load

ASKED = [[0, 0, 0, 1, 1, 2], [2, 0, 1, 0, 2, 2, 0], [0]]


@pytest.fixture
def lm(tiny_t5_folder: Path) -> LanguageModel:
    return load(tiny_t5_folder, dtype=torch.float64, device="cpu")


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_that_to_copies(asked: list[int], steps: int, masked: bool):
    """A query at another's place reads another question."""
    torch.manual_seed(0)
    asked_B, prompts = torch.tensor(asked), max(asked) + 1
    query = torch.randn(len(asked), 2, steps, 4)
    key, value = torch.randn(prompts, 2, 5, 4), torch.randn(prompts, 2, 5, 3)
    mask_P = torch.arange(5) < torch.tensor([5, 3, 4])[:prompts, None, None, None]
    mask = mask_P[asked_B].expand(-1, 1, steps, 5) if masked else None
    expected = attend(None, query, key[asked_B], value[asked_B], mask, scaling=0.5, is_causal=False)[0]
    key.rows = Rows.of(asked_B)  # pyright: ignore
    torch.testing.assert_close(attend(None, query, key, value, mask, scaling=0.5)[0], expected)


def test_attention_that_cannot_be_shared_reads_copies():
    """With a bias by position, or with heads that share keys, a query is more than a row."""

    class Biased(torch.nn.Module):
        has_relative_attention_bias = True

    query, key, value = torch.randn(2, 2, 1, 4), torch.randn(1, 2, 5, 4), torch.randn(1, 2, 5, 4)
    bias = torch.randn(1, 2, 1, 5)
    expected = attend(Biased(), query, key.expand(2, -1, -1, -1), value.expand(2, -1, -1, -1), None, position_bias=bias)
    key.rows = Rows.of(torch.tensor([0, 0]))  # pyright: ignore
    found = attend(Biased(), query, key, value, None, position_bias=bias)
    torch.testing.assert_close(found[0], expected[0])


def read(lm: LanguageModel, asked: list[int], monkeypatch: pytest.MonkeyPatch, shared: bool) -> tuple[Any, list[Any]]:
    """A reader, and the logits of two steps with rows leaving in between."""
    prompts = [lm.prompt_ids(text) for text in ("How many?", "Tova has 12 beads and finds 5 more.", "Is it so?")]
    if not shared:
        monkeypatch.setattr(decoding, "is_shareable", lambda cache: False)
    reader = Reader(lm, prompts, torch.tensor(asked))
    with evaluating(lm), sharing(lm):
        logits = [reader.read(torch.full((len(asked), 2), 5))]
        for rows in (list(range(len(asked)))[1:], [0]):
            reader.keep(torch.tensor(rows))
            logits.append(reader.go_on(torch.full((len(rows), 1), 7)))
    return reader, logits


@pytest.mark.parametrize("asked", ASKED[:2])
def test_keys_stand_once_for_each_question_left(lm: LanguageModel, asked: list[int], monkeypatch: pytest.MonkeyPatch):
    """Questions whose texts have all ended must leave too, and the others keep their own keys."""
    reader, mine = read(lm, asked, monkeypatch, shared=True)
    assert reader.shares
    assert {len(layer.keys) for layer in reader.cache.cross_attention_cache.layers} == {1}
    copies, theirs = read(lm, asked, monkeypatch, shared=False)
    assert not copies.shares
    for found, expected in zip(mine, theirs, strict=True):
        torch.testing.assert_close(found, expected)


def test_the_network_is_left_as_it_was(lm: LanguageModel):
    """Saved with a name that only we know, a student could not be loaded elsewhere."""
    assert lm.model.config._attn_implementation == PLAIN
    names: list[str] = []

    def interrupted() -> None:
        with sharing(lm):
            names.append(lm.model.config._attn_implementation)
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert names != [PLAIN]
    assert {config._attn_implementation for config in (lm.model.config, lm.model.decoder.config)} == {PLAIN}


def test_a_network_that_chooses_its_attention_itself_shares_nothing(lm: LanguageModel):
    """Its attention would meet fewer keys than queries."""
    lm.model.set_attn_implementation("eager")
    with evaluating(lm), sharing(lm):
        reader = Reader(lm, [lm.prompt_ids("12")], torch.tensor([0, 0]))
        reader.read(torch.empty(2, 0, dtype=torch.long))
    assert not reader.shares
    assert len(reader.cache.cross_attention_cache.layers[0].keys) == 2
