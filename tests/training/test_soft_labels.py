"""The cache of a mentor's distributions: what is in it, that a kill changes nothing, and whom it refuses."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import multiprocessing
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from numeric import in_double
from tutelage.errors import RunError
from tutelage.formats import get_format
from tutelage.methods.sources import annotate, load_task
from tutelage.models import LanguageModel, load, save
from tutelage.recipe import TaskSection, TeacherSection
from tutelage.training import soft_labels
from tutelage.training.batching import Batches, Row, tokenize
from tutelage.training.soft_labels import SoftLabels, write_soft_labels
from tutelage.types import Example

LIMITS = {"max_prompt_tokens": 64, "max_target_tokens": 64}
ARRAYS = ("log_probs.npy", "ids.npy", "tail.npy")


def examples(count: int = 12) -> list[Example]:
    """Texts of many lengths, so that batches differ."""
    source = random.Random(1)
    return [
        Example(f"q-{i}", "Tova " * source.randint(1, 6) + f"has {i} beads.", "so " * source.randint(0, 5) + f"--> {i}")
        for i in range(count)
    ]


EXAMPLES = examples()


@pytest.fixture(params=["t5", "gpt"])
def lm(request: pytest.FixtureRequest, tiny_t5_folder: Path, tiny_gpt_folder: Path) -> LanguageModel:
    return load(tiny_t5_folder if request.param == "t5" else tiny_gpt_folder, device="cpu")


@pytest.fixture
def t5(tiny_t5_folder: Path) -> LanguageModel:
    return load(tiny_t5_folder, device="cpu")


def write(lm: LanguageModel, folder: Path, texts: list[Example] = EXAMPLES, **changes: Any) -> SoftLabels:
    write_soft_labels(lm, texts, folder, **{**LIMITS, "batch_tokens": 120, **changes})
    return SoftLabels.open(folder)


def rows_of(lm: LanguageModel, texts: list[Example] = EXAMPLES) -> list[Row]:
    return tokenize(lm, texts, **LIMITS)[0]


def slowly(lm: LanguageModel, row: Row) -> Tensor:
    """Logits (T, V) at the target of one row: alone, unpadded, the whole network."""
    with torch.no_grad():
        if lm.kind == "encoder-decoder":
            decoder = torch.tensor([[lm.start_id, *row.target[:-1]]])
            return lm.model(input_ids=torch.tensor([row.prompt]), decoder_input_ids=decoder).logits[0]
        return lm.model(input_ids=torch.tensor([row.prompt + row.target[:-1]])).logits[0, len(row.prompt) - 1 :]


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_top_k_and_tail_are_the_mentors(lm: LanguageModel, tmp_path: Path, temperature: float):
    """Against each row alone and unpadded: a position too early or a neighbour's padding would teach something else."""
    cache = write(lm, tmp_path, top_k=4, temperature=temperature)
    for row in rows_of(lm):
        found = cache.read([row])
        assert found.ids is not None
        log_p_TV = (slowly(lm, row) / temperature).log_softmax(-1)
        best_TK, _ = log_p_TV.topk(4)
        torch.testing.assert_close(found.log_p[:, :-1], log_p_TV.gather(1, found.ids), rtol=2e-3, atol=2e-3)
        torch.testing.assert_close(log_p_TV.gather(1, found.ids), best_TK, rtol=0, atol=1e-5)
        tail_T = torch.log1p(-best_TK.exp().sum(-1))
        torch.testing.assert_close(found.log_p[:, -1], tail_T, rtol=2e-3, atol=2e-3)
        torch.testing.assert_close(found.log_p.exp().sum(-1), torch.ones(len(row.target)))


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_whole_distributions_are_exact(lm: LanguageModel, tmp_path: Path, temperature: float):
    """Without a top k the cached loss must be the live one."""
    cache = write(lm, tmp_path, top_k=None, temperature=temperature)
    rows = rows_of(lm)
    assert cache.read(rows).ids is None
    expected = torch.cat([(slowly(lm, row) / temperature).log_softmax(-1) for row in rows])
    torch.testing.assert_close(cache.read(rows).log_p, expected, rtol=1e-5, atol=1e-5)


def test_rows_are_found_by_id_in_any_order(lm: LanguageModel, tmp_path: Path):
    """A student shuffles its examples each epoch, and an arm may use only some of them."""
    cache = write(lm, tmp_path)
    rows = rows_of(lm)
    some = [rows[7], rows[2], rows[9]]
    cache.check(lm, some)
    alone = torch.cat([cache.read([row]).log_p for row in some])
    torch.testing.assert_close(cache.read(some).log_p, alone, rtol=1e-5, atol=1e-5)
    assert len(alone) == sum(len(row.target) for row in some)


def test_only_target_tokens_are_on_disk(lm: LanguageModel, tmp_path: Path):
    """Padding and prompts are most of a batch; at k = 16 and two bytes an id a token may take 66 bytes."""
    cache = write(lm, tmp_path)
    tokens = sum(len(row.target) for row in rows_of(lm))
    assert cache.manifest["tokens"] == tokens
    arrays = [np.load(tmp_path / name, mmap_mode="r") for name in ARRAYS]
    assert [(a.shape, str(a.dtype)) for a in arrays] == [
        ((tokens, 16), "float16"),
        ((tokens, 16), "uint16"),
        ((tokens, 1), "float16"),
    ]
    assert sum(a.nbytes for a in arrays) == 66 * tokens
    headers = sum((tmp_path / name).stat().st_size for name in ARRAYS) - 66 * tokens
    assert headers == 3 * 128


def test_large_vocabularies_have_room(t5: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Id 151,000 in two bytes would be another token."""
    monkeypatch.setattr(soft_labels, "vocabulary_width", lambda lm: 70_000)
    assert write(t5, tmp_path).arrays["ids"].dtype == np.uint32


@pytest.mark.parametrize("beyond", [0, 5])
def test_k_that_takes_in_the_vocabulary_is_the_whole_distribution(t5: LanguageModel, tmp_path: Path, beyond: int):
    """In two bytes each its loss missed the live one's by 6e-5."""
    width = soft_labels.vocabulary_width(t5)
    cache, whole = write(t5, tmp_path / "k", top_k=width + beyond), write(t5, tmp_path / "whole", top_k=None)
    rows = rows_of(t5)
    for temperature in (0.7, 1.0, 2.0):
        found, exact = (each.at(temperature).read(rows) for each in (cache, whole))
        assert found.ids is None
        torch.testing.assert_close(found.log_p, exact.log_p, rtol=0, atol=0)


def test_k_one_short_of_the_vocabulary_has_a_tail_of_one_token(t5: LanguageModel, tmp_path: Path):
    """The logarithm of next to no mass must not become nan, at any temperature."""
    width = soft_labels.vocabulary_width(t5)
    cache, rows = write(t5, tmp_path, top_k=width - 1), rows_of(t5)
    for temperature in (1.0, 2.0):
        found = cache.at(temperature).read(rows)
        assert found.log_p.shape[1] == width
        assert not found.log_p.isnan().any()
        torch.testing.assert_close(found.log_p.exp().sum(-1), torch.ones(len(found.log_p)))


# Another temperature than the one written


def test_whole_distributions_change_temperature_exactly(lm: LanguageModel, tmp_path: Path):
    """One pass of the mentor serves a sweep over temperatures."""
    cache = write(lm, tmp_path, top_k=None, temperature=1.5)
    row = rows_of(lm)[0]
    for temperature in (1.0, 3.0):
        expected = (slowly(lm, row) / temperature).log_softmax(-1)
        torch.testing.assert_close(cache.at(temperature).read([row]).log_p, expected, rtol=1e-4, atol=1e-5)
    assert cache.temperature == 1.5


def test_ratios_within_the_top_k_change_exactly(lm: LanguageModel, tmp_path: Path):
    """What is approximate is the tail alone."""
    cache, row = write(lm, tmp_path, top_k=5), rows_of(lm)[0]
    found = cache.at(2.0).read([row])
    assert found.ids is not None
    expected = (slowly(lm, row) / 2).gather(1, found.ids)
    ratios = found.log_p[:, 1:5] - found.log_p[:, :1]
    torch.testing.assert_close(ratios, expected[:, 1:] - expected[:, :1], rtol=1e-2, atol=3e-3)


@pytest.mark.parametrize(("temperature", "more"), [(2.0, True), (0.5, False)])
def test_tail_is_spread_evenly(lm: LanguageModel, tmp_path: Path, temperature: float, more: bool):
    """The documented error: too much tail where the temperature rises, too little where it falls; and how much."""
    with torch.no_grad():
        scale = 2 / torch.cat([slowly(lm, row) for row in rows_of(lm)]).std()
        lm.model.get_output_embeddings().weight.mul_(scale)  # neither nearly even nor nearly sure
    cache, rows = write(lm, tmp_path, top_k=5), rows_of(lm)
    found = cache.at(temperature).read(rows)
    assert found.ids is not None
    logits = torch.cat([slowly(lm, row) for row in rows])
    exact = (logits / temperature).log_softmax(-1).scatter(1, found.ids, -math.inf).logsumexp(-1).exp()
    mine, slack = found.log_p[:, -1].exp(), 1e-5
    assert bool((mine >= exact - slack if more else mine <= exact + slack).all())
    p = logits.log_softmax(-1)
    tail = p.scatter(1, found.ids, -math.inf).logsumexp(-1)
    spread = math.log(p.shape[1] - 5)
    stored = (p.gather(1, found.ids) / temperature).exp().sum(-1)
    even = ((tail - spread) / temperature + spread).exp()
    torch.testing.assert_close(mine, even / (stored + even), rtol=2e-2, atol=1e-3)
    assert (mine - exact).abs().max() > (0.01 if more else 0.0005)


def test_an_even_tail_changes_exactly(t5: LanguageModel, tmp_path: Path):
    """Where the unstored tokens are equally likely the approximation is none."""
    layer = t5.model.get_output_embeddings()
    bias_V = torch.zeros(layer.weight.shape[0])
    bias_V[:3] = torch.tensor([4.0, 3.0, 5.0])
    layer.register_forward_hook(lambda module, given, logits: torch.zeros_like(logits) + bias_V)
    cache, rows = write(t5, tmp_path, top_k=3), rows_of(t5)
    width = soft_labels.vocabulary_width(t5)
    exact = (bias_V[:width] / 2).log_softmax(-1)
    found = cache.at(2.0).read(rows[:1]).log_p[0]
    torch.testing.assert_close(found[:3], exact[[2, 0, 1]], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found[3].exp(), exact[3:].exp().sum(), rtol=2e-3, atol=0)


# Draws


def test_draws_are_unbiased(lm: LanguageModel, tmp_path: Path):
    """A top k is not, which is why they exist: the mean of many ids' draws is the mentor's own probability."""
    seeds, draws = 400, 8
    texts = [Example(f"q-{i}", EXAMPLES[0].prompt, EXAMPLES[0].target) for i in range(seeds)]
    cache, rows = write(lm, tmp_path, texts, draws=draws, temperature=1.5, batch_tokens=4000), rows_of(lm, texts)
    exact_TV = (slowly(lm, rows[0]) / 1.5).softmax(-1)
    found = torch.zeros_like(exact_TV)
    for one in (cache.read([row]) for row in rows):
        assert one.ids is not None
        torch.testing.assert_close(one.log_p.exp().sum(-1), torch.ones(len(exact_TV)))
        found.scatter_add_(1, one.ids, one.log_p.exp())
    values_V = torch.linspace(-1, 1, exact_TV.shape[1])
    for function_V in (values_V, values_V.square(), (torch.arange(len(values_V)) % 2).float()):
        mean_T = (found / seeds * function_V).sum(-1)
        exact_T = (exact_TV * function_V).sum(-1)
        variance_T = (exact_TV * function_V.square()).sum(-1) - exact_T.square()
        error_T = (variance_T / (seeds * draws)).sqrt()
        assert bool(((mean_T - exact_T).abs() < 4 * error_T).all())
    assert found.std() > 0


def test_draws_are_whole_shares(t5: LanguageModel, tmp_path: Path):
    """Three of eight draws are 3/8, not what float16 makes of its logarithm; unused places have no weight."""
    found = write(t5, tmp_path, draws=8).read(rows_of(t5))
    assert found.ids is not None
    counts = found.log_p.exp() * 8
    torch.testing.assert_close(counts, counts.round(), rtol=0, atol=1e-5)
    used = counts > 0.5
    assert bool(used.any(-1).all())
    assert not bool(used.all())
    for ids, use in zip(found.ids, used, strict=True):
        assert len(set(ids[use].tolist())) == int(use.sum())


def test_draws_belong_to_an_example(lm: LanguageModel, tmp_path: Path):
    """More examples, another order, another batch: the same student must meet the same draws.

    In double precision: a number drawn next to the border between two tokens falls on one or the other by rounding.
    """
    in_double(lm.model)
    whole = write(lm, tmp_path / "whole", draws=8, seed=5)
    some = write(lm, tmp_path / "some", EXAMPLES[8:2:-1], draws=8, seed=5, batch_tokens=60)
    other = write(lm, tmp_path / "other", draws=8, seed=6)
    rows = rows_of(lm)[3:9]
    for mine, theirs in zip(whole.read(rows), some.read(rows), strict=True):
        assert mine is not None
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
    assert not torch.equal(whole.read(rows).ids, other.read(rows).ids)  # pyright: ignore


def test_draws_hold_for_one_temperature(t5: LanguageModel, tmp_path: Path):
    """Powers of counts are not draws at another temperature."""
    cache = write(t5, tmp_path, draws=4, temperature=2.0)
    cache.at(2.0)
    with pytest.raises(RunError, match=r"drawn at temperature 2, asked for at 1\. .* write them anew"):
        cache.at(1.0)


# Going on after a kill


class Killed(BaseException):
    """Stands for a power cut: nothing of ours catches it."""


@contextmanager
def counting(lm: LanguageModel) -> Iterator[list[int]]:
    """Rows of each forward pass of the network."""
    seen: list[int] = []
    hook = lm.model.register_forward_pre_hook(
        lambda module, given, named: seen.append(len(named["input_ids"])), with_kwargs=True
    )
    yield seen
    hook.remove()


def killing(after: int) -> Callable[[int, int], None]:
    calls: list[int] = []

    def on_done(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == after:
            raise Killed

    return on_done


def content(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize("changes", [{}, {"draws": 4}, {"top_k": None}])
def test_going_on_equals_never_stopping(lm: LanguageModel, tmp_path: Path, changes: dict[str, Any]):
    """A mentor of billions of weights is asked for hours: what it said is neither lost nor asked for again."""
    write(lm, tmp_path / "whole", **changes)
    with counting(lm) as before, pytest.raises(Killed):
        write(lm, tmp_path / "broken", on_done=killing(2), **changes)
    with pytest.raises(RunError, match=r"holds no finished soft labels"):
        SoftLabels.open(tmp_path / "broken")
    with counting(lm) as after:
        write(lm, tmp_path / "broken", **changes)
    with counting(lm) as whole:
        write(lm, tmp_path / "again", **changes)
    looked_at = 0 if changes else len(EXAMPLES)
    assert len(before) == looked_at + 2
    assert before + after == whole
    assert content(tmp_path / "whole") == content(tmp_path / "broken") == content(tmp_path / "again")


@pytest.mark.parametrize("name", ["log_probs.npy", "ids.npy", "tail.npy"])
@pytest.mark.parametrize("kept", [0.5, 0.0])
def test_an_array_cut_short_between_two_tries_is_begun_again(t5: LanguageModel, tmp_path: Path, name: str, kept: float):
    """Opened for writing it was filled up with zeros, and half the examples were taught any token at all."""
    write(t5, tmp_path / "whole")
    with pytest.raises(Killed):
        write(t5, tmp_path / "broken", on_done=killing(3))
    path = tmp_path / "broken" / name
    os.truncate(path, int(path.stat().st_size * kept))
    write(t5, tmp_path / "broken")
    assert content(tmp_path / "broken") == content(tmp_path / "whole")


def test_an_array_that_has_grown_is_begun_again(t5: LanguageModel, tmp_path: Path):
    """Its size would go into the manifest, and from then on stand for a whole file."""
    write(t5, tmp_path / "whole")
    with pytest.raises(Killed):
        write(t5, tmp_path / "broken", on_done=killing(3))
    with (tmp_path / "broken" / "ids.npy").open("ab") as file:
        file.write(bytes(100))
    write(t5, tmp_path / "broken")
    assert content(tmp_path / "broken") == content(tmp_path / "whole")


def test_an_array_of_another_type_is_begun_again(t5: LanguageModel, tmp_path: Path):
    """With k = V there once stood sorted numbers of two bytes: as many, and each another token's."""
    width = soft_labels.vocabulary_width(t5)
    write(t5, tmp_path / "whole", top_k=width)
    with pytest.raises(Killed):
        write(t5, tmp_path / "broken", top_k=width, on_done=killing(3))
    path = tmp_path / "broken" / "log_probs.npy"
    np.save(path, np.sort(np.load(path).astype(np.float16))[:, ::-1])
    write(t5, tmp_path / "broken", top_k=width)
    assert content(tmp_path / "broken") == content(tmp_path / "whole")


@pytest.mark.parametrize("text", ["", '{"name": "ment', "null", '{"name": "mentor"}'])
@pytest.mark.parametrize("again", [SoftLabels.open, "write"])
def test_a_damaged_manifest_is_told(t5: LanguageModel, tmp_path: Path, text: str, again: Any):
    """Who runs a study again comes by `write` first; neither way may end in a line of the json module."""
    write(t5, tmp_path)
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(RunError, match=rf"manifest\.json is damaged .*Delete the folder .*{tmp_path.name}"):
        write(t5, tmp_path) if again == "write" else again(tmp_path)


def test_a_damaged_beginning_is_told(t5: LanguageModel, tmp_path: Path):
    """Nobody knows what the arrays beside it hold."""
    with pytest.raises(Killed):
        write(t5, tmp_path, on_done=killing(2))
    (tmp_path / "begun.json").write_text("")
    with pytest.raises(RunError, match=r"begun\.json is damaged .*Delete the folder"):
        write(t5, tmp_path)


def test_progress_is_told(t5: LanguageModel, tmp_path: Path):
    """A board shows how far it is; a pass that goes on begins where it stopped."""
    told: list[tuple[int, int]] = []
    with pytest.raises(Killed):
        write(t5, tmp_path, on_done=killing(1))
    write(t5, tmp_path, on_done=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[0][0] > 1
    assert told[-1] == (12, 12)
    assert {total for _, total in told} == {12}


def _slowly_write(model: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    write(load(model, device="cpu"), folder, on_done=lambda done, total: time.sleep(0.3))


def test_kill_nine_loses_one_batch_at_most(tiny_t5_folder: Path, tmp_path: Path):
    """Machines are taken away without a word."""
    broken = tmp_path / "broken"
    process = multiprocessing.get_context("spawn").Process(target=_slowly_write, args=(tiny_t5_folder, broken))
    process.start()
    note = broken / "batches-done.txt"
    while process.is_alive() and not (note.exists() and note.read_text().count("\n") >= 2):
        time.sleep(0.01)
    process.kill()
    process.join()
    assert process.exitcode == -9
    done = note.read_text().count("\n")
    lm = load(tiny_t5_folder, device="cpu")
    with counting(lm) as after:
        write(lm, broken)
    with counting(lm) as whole:
        write(lm, tmp_path / "whole")
    assert len(after) == len(whole) - len(EXAMPLES) - done, "what a top k misses is looked at once, row by row"
    assert 0 < len(after) < len(whole)
    assert content(broken) == content(tmp_path / "whole")


def test_a_note_cut_short_does_not_count(t5: LanguageModel, tmp_path: Path):
    """Killed while writing "3", or "12" as "1": the rest of a line must not run into the next number."""
    write(t5, tmp_path / "whole", batch_tokens=1)
    with pytest.raises(Killed):
        write(t5, tmp_path / "broken", on_done=killing(3), batch_tokens=1)
    note = tmp_path / "broken" / "batches-done.txt"
    assert note.read_text() == "0\n1\n2\n"
    note.write_text("0\n1\n2\n3")
    with counting(t5) as after, pytest.raises(Killed):
        write(t5, tmp_path / "broken", on_done=killing(2), batch_tokens=1)
    assert note.read_text() == "0\n1\n2\n3\n4\n"
    with counting(t5) as rest:
        write(t5, tmp_path / "broken", batch_tokens=1)
    assert (len(after), len(rest)) == (2, 7)
    assert content(tmp_path / "whole") == content(tmp_path / "broken")


def test_a_lost_array_is_begun_again(t5: LanguageModel, tmp_path: Path):
    """A note without the arrays it speaks of would leave zeros in their place."""
    write(t5, tmp_path / "whole")
    with pytest.raises(Killed):
        write(t5, tmp_path / "broken", on_done=killing(2))
    (tmp_path / "broken" / "ids.npy").unlink()
    write(t5, tmp_path / "broken")
    assert content(tmp_path / "whole") == content(tmp_path / "broken")


def test_finished_is_not_done_again(t5: LanguageModel, tmp_path: Path):
    """A second student costs the mentor nothing."""
    write(t5, tmp_path)
    before = content(tmp_path)
    assert set(before) == {"manifest.json", "rows.jsonl", *ARRAYS}
    with counting(t5) as calls:
        write(t5, tmp_path)
    assert calls == []
    assert content(tmp_path) == before


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"temperature": 2.0}, "temperature"),
        ({"top_k": 8}, "top_k"),
        ({"draws": 8}, "draws, seed, top_k"),
        ({"max_target_tokens": 50}, "max_target_tokens"),
        ({"texts": EXAMPLES[:5]}, "examples"),
    ],
)
def test_other_arguments_are_refused(
    t5: LanguageModel, tmp_path: Path, finished: bool, changes: dict[str, Any], named: str
):
    """Half of the labels at one temperature and half at another would be distilled without a word."""
    if finished:
        write(t5, tmp_path)
    else:
        with pytest.raises(Killed):
            write(t5, tmp_path, on_done=killing(1))
    with pytest.raises(RunError, match=f"holds soft labels of other {named}\\. Delete it"):
        write(t5, tmp_path, **changes)


def test_another_mentor_is_refused(t5: LanguageModel, tmp_path: Path):
    """The weights count, not the name."""
    write(t5, tmp_path / "labels")
    with torch.no_grad():
        next(t5.model.parameters()).add_(0.1)
    save(t5, tmp_path / "other")
    with pytest.raises(RunError, match="holds soft labels of other mentor"):
        write(load(tmp_path / "other", device="cpu"), tmp_path / "labels")


# What is wrong with a cache, or with who reads it


@pytest.mark.parametrize("name", [*ARRAYS, "rows.jsonl"])
def test_a_file_cut_short_is_found(t5: LanguageModel, tmp_path: Path, name: str):
    """A copy that stopped half way would be read as zeros, or as a bus error in the middle of an epoch."""
    write(t5, tmp_path)
    path = tmp_path / name
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: size // 2])
    message = rf"{name} is {size // 2} bytes, expected {size} bytes\. Delete the folder .*{tmp_path.name}"
    with pytest.raises(RunError, match=message):
        SoftLabels.open(tmp_path)
    with pytest.raises(RunError, match=message):
        write(t5, tmp_path)
    path.unlink()
    with pytest.raises(RunError, match=rf"{name} is missing, expected {size} bytes"):
        SoftLabels.open(tmp_path)


def test_another_tokenizer_is_refused(t5: LanguageModel, tiny_gpt_folder: Path, tmp_path: Path):
    """Id 17 is "beads" to one and "?" to the other: distilled all the same, it teaches noise."""
    cache = write(t5, tmp_path)
    gpt = load(tiny_gpt_folder, device="cpu")
    with pytest.raises(RunError, match=r"mentor .*tiny-t5.* and student .*tiny-gpt.* have different tokenizers") as why:
        cache.check(gpt, rows_of(gpt))
    assert "one tokenizer family" in str(why.value)
    assert "soft_labels.weight: 0" in str(why.value)


def test_wider_embeddings_of_one_tokenizer_are_fine(t5: LanguageModel, tmp_path: Path):
    """Qwen's 0.5B and 7B pad their vocabulary differently, but an id means the same token to both."""
    width = soft_labels.vocabulary_width(t5)
    exact = write(t5, tmp_path / "narrow", top_k=None).read(rows_of(t5)).log_p
    t5.model.resize_token_embeddings(width + 13, mean_resizing=False)
    with torch.no_grad():
        t5.model.get_output_embeddings().weight[width:] = 3.0
        t5.model.get_output_embeddings().weight[:width].copy_(load(t5.name, device="cpu").model.lm_head.weight[:width])
    save(t5, tmp_path / "wide-mentor")
    wide = load(tmp_path / "wide-mentor", device="cpu")
    assert wide.model.get_output_embeddings().weight.shape[0] == width + 13
    cache = write(wide, tmp_path / "wide", top_k=None)
    assert (cache.manifest["network_width"], cache.width) == (width + 13, width)
    cache.check(load(t5.name, device="cpu"), rows_of(t5))
    torch.testing.assert_close(cache.read(rows_of(t5)).log_p, exact, rtol=1e-5, atol=1e-5)


def test_rows_cut_differently_are_refused(lm: LanguageModel, tmp_path: Path):
    """The mentor was asked about another prompt than the student reads."""
    cache = write(lm, tmp_path)
    cut = tokenize(lm, EXAMPLES, max_prompt_tokens=9, max_target_tokens=64)[0]
    first = next(a.id for a, b in zip(cut, rows_of(lm), strict=True) if a != b)
    with pytest.raises(RunError, match=rf"as different tokens, the first {first}\. .*max_prompt_tokens 64"):
        cache.check(lm, cut)


def test_a_changed_text_is_refused(lm: LanguageModel, tmp_path: Path):
    """An id is only a name; what was distilled is the text."""
    cache = write(lm, tmp_path)
    changed = [Example(EXAMPLES[0].id, EXAMPLES[0].prompt, "--> 7")]
    with pytest.raises(RunError, match="1 of 1 examples as different tokens, the first q-0"):
        cache.check(lm, rows_of(lm, changed))
    swapped = [Row("q-0", row.target, row.prompt, 1.0) for row in rows_of(lm)[:1]]
    with pytest.raises(RunError, match="as different tokens"):
        cache.check(lm, swapped)


def test_examples_that_do_not_fit_the_mentor_are_left_out_and_named(lm: LanguageModel, tmp_path: Path):
    """One long rationale must not stop a pass of hours, nor be trained on without its soft labels."""
    long = Example("q-long", "Tova", "so " * 30)
    cache = write(lm, tmp_path, [*EXAMPLES, long], max_target_tokens=20)
    assert "q-long" not in cache.rows
    assert set(cache.rows) == {e.id for e in EXAMPLES}
    with pytest.raises(RunError, match=r"no soft labels .* for 1 of 13 examples, the first q-long\. .*now 20"):
        cache.check(lm, rows_of(lm, [*EXAMPLES, long]))


def test_no_example_fits(t5: LanguageModel, tmp_path: Path):
    """An empty cache cannot be memory-mapped, and teaches nothing."""
    with pytest.raises(RunError, match="none of the examples fits the mentor"):
        write(t5, tmp_path, max_target_tokens=1)


def test_an_id_names_one_example(t5: LanguageModel, tmp_path: Path):
    """The second would be distilled from the labels of the first."""
    with pytest.raises(RunError, match="two examples have the id q-0"):
        write(t5, tmp_path, [*EXAMPLES, Example("q-0", "Tova", "--> 1")])


@pytest.mark.parametrize("changes", [{"temperature": 0.0}, {"top_k": 0}, {"draws": 0}, {"draws": -1}])
def test_numbers_of_nothing_are_refused(t5: LanguageModel, tmp_path: Path, changes: dict[str, Any]):
    """A division by zero after an hour of work is too late."""
    with pytest.raises(RunError, match="must be above zero"):
        write(t5, tmp_path, **changes)


def test_writing_leaves_the_mentor_as_it_was(t5: LanguageModel, tmp_path: Path):
    """It may go on training, or sample rationales, with the random numbers it would have had."""
    t5.model.train()
    state = torch.random.get_rng_state()
    write(t5, tmp_path)
    assert t5.model.training
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(parameter.grad is None for parameter in t5.model.parameters())


def test_manifest_says_what_it_is(t5: LanguageModel, tmp_path: Path):
    """Found in a year, the folder must explain itself."""
    manifest = json.loads(json.dumps(write(t5, tmp_path, temperature=2.0).manifest))
    assert manifest["arguments"]["mentor"] == t5.fingerprint
    assert manifest["arguments"]["temperature"] == 2.0
    assert (manifest["name"], manifest["arguments"]["top_k"]) == (t5.name, 16)
    assert manifest["files"].keys() == {"rows.jsonl", *ARRAYS}


def test_manifest_says_what_a_top_k_misses(lm: LanguageModel, tmp_path: Path):
    """Against whole distributions, row by row: mass in the tail, and divergence that no student is taught."""
    reference = replace(lm, name="student", model=copy.deepcopy(lm.model))
    with torch.no_grad():
        for weight in reference.model.parameters():
            weight.mul_(0.7)
    for k, against in ((4, reference), (16, None)):
        cache = write(lm, tmp_path / str(k), top_k=k, temperature=2.0, against=against)
        whole, part, mass = 0.0, 0.0, []
        for row in rows_of(lm):
            log_p = (slowly(lm, row).double() / 2).log_softmax(-1)
            log_q = (slowly(against, row).double() / 2 if against else torch.zeros_like(log_p)).log_softmax(-1)
            best = log_p.topk(k).indices
            rest = torch.ones_like(log_p).scatter(1, best, 0.0)
            whole += float((log_p.exp() * (log_p - log_q)).sum())
            tail_p, tail_q = (log.exp().mul(rest).sum(-1) for log in (log_p, log_q))
            stored = (log_p.exp() * (log_p - log_q)).gather(1, best).sum(-1) + tail_p * (tail_p / tail_q).log()
            part, mass = part + float(stored.sum()), [*mass, *tail_p.tolist()]
        tail = cache.manifest["tail"]
        assert tail["missed"] == pytest.approx(1 - part / whole, rel=1e-4)
        assert tail["mass"] == pytest.approx(np.mean(mass), rel=2e-3)
        assert tail["divergence"] == pytest.approx(whole / len(mass), rel=1e-4)
        assert (tail["top_k"], tail["against"], tail["positions"]) == (k, against and "student", len(mass))
    assert write(lm, tmp_path / "whole", top_k=None).manifest["tail"] is None
    assert write(lm, tmp_path / "drawn", draws=4).manifest["tail"] is None


@pytest.mark.parametrize("bound", [0.0, 0.02, 0.3, 1.0])
def test_auto_stores_the_fewest_tokens_that_the_bound_allows(lm: LanguageModel, tmp_path: Path, bound: float):
    """A k for temperature 1 misses a tenth at 2; one for 2 takes needless space at 1."""
    cache = write(lm, tmp_path / "auto", top_k="auto", max_missed=bound, temperature=2.0)
    k = cache.stored
    assert cache.manifest["tail"]["top_k"] == k
    assert cache.manifest["tail"]["missed"] <= bound
    size = sum((tmp_path / "auto" / name).stat().st_size for name in ARRAYS if (tmp_path / "auto" / name).exists())
    tokens = cache.manifest["tokens"]
    assert size == pytest.approx(cache.manifest["bytes_per_token"] * tokens, abs=3 * 128)
    assert bound > 0 or k is None or k >= cache.width - 1
    assert (k == 1) == (bound == 1.0)
    if k is not None and k > 1:
        less = write(lm, tmp_path / "less", top_k=k - 1, temperature=2.0)
        assert less.manifest["tail"]["missed"] > bound
        same = write(lm, tmp_path / "same", top_k=k, temperature=2.0)
        torch.testing.assert_close(same.read(rows_of(lm)).log_p, cache.read(rows_of(lm)).log_p, rtol=0, atol=0)


def test_auto_goes_on_with_the_k_it_began_with(t5: LanguageModel, tmp_path: Path):
    """A look on another machine may come out at one token more: half of the array would have another width."""
    with pytest.raises(Killed):
        write(t5, tmp_path, on_done=killing(2), top_k="auto")
    chosen = json.loads((tmp_path / "tail.json").read_text())
    with counting(t5) as after:
        cache = write(t5, tmp_path, top_k="auto")
    assert cache.stored == chosen["top_k"]
    assert len(after) == len(list(Batches([row.lengths for row in rows_of(t5)], tokens=120))) - 2
    assert not (tmp_path / "tail.json").exists()
    with pytest.raises(RunError, match="soft labels of other max_missed"):
        write(t5, tmp_path, top_k="auto", max_missed=0.2)
    with pytest.raises(RunError, match="soft labels of other against"):
        write(t5, tmp_path, top_k="auto", against=t5)
    with pytest.raises(RunError, match="max_missed 2 must be from 0 to 1"):
        write(t5, tmp_path, top_k="auto", max_missed=2.0)


def test_a_reference_of_another_vocabulary_is_no_reference(tiny_t5_folder: Path, tiny_gpt_folder: Path, tmp_path: Path):
    """Its probabilities are of other tokens."""
    cache = write(load(tiny_t5_folder, device="cpu"), tmp_path, against=load(tiny_gpt_folder, device="cpu"))
    assert cache.manifest["tail"]["against"] is None


@pytest.mark.parametrize(
    ("temperature", "mass", "missed"), [(1.0, (0.004, 0.02), (0.004, 0.02)), (2.0, (0.18, 0.27), (0.09, 0.15))]
)
def test_the_bundled_mentor_misses_a_tenth_at_temperature_two(
    tmp_path: Path, temperature: float, mass: tuple[float, float], missed: tuple[float, float]
):
    """Of its own task, against the bundled student: 22% of the mass and 12% of the divergence, hardly any at 1."""
    task = TaskSection(name="pocket/steps", limit=24)
    questions = {q.id: q for q in load_task(task).questions["train"]}
    written = annotate(TeacherSection(backend="pocket"), task, tuple(questions.values())).rationales
    fmt = get_format("arrow")
    texts = [
        Example(r.question_id, fmt.prompt(q), fmt.target(r.text, q.answer))
        for r in written
        if (q := questions[r.question_id])
    ]
    mentor, student = load("pocket/mini", device="cpu"), load("pocket/nano", device="cpu")
    tail = write(
        mentor,
        tmp_path,
        texts,
        max_prompt_tokens=144,
        max_target_tokens=384,
        temperature=temperature,
        against=student,
        batch_tokens=4096,
    ).manifest["tail"]
    assert mass[0] < tail["mass"] < mass[1]
    assert missed[0] < tail["missed"] < missed[1]


def test_a_network_without_a_last_module_is_read_too(t5: LanguageModel, tmp_path: Path):
    """Some compute their logits without calling a layer; theirs are picked afterwards."""
    expected = write(t5, tmp_path / "layer").read(rows_of(t5))
    t5.model.get_output_embeddings = lambda: None
    found = write(t5, tmp_path / "function").read(rows_of(t5))
    for mine, theirs in zip(found, expected, strict=True):
        assert mine is not None
        torch.testing.assert_close(mine, theirs)


def test_folders_can_be_moved(t5: LanguageModel, tmp_path: Path):
    """A stage is renamed into place when it is finished."""
    expected = write(t5, tmp_path / "labels.partial").read(rows_of(t5)).log_p
    shutil.move(tmp_path / "labels.partial", tmp_path / "labels")
    torch.testing.assert_close(SoftLabels.open(tmp_path / "labels").read(rows_of(t5)).log_p, expected, rtol=0, atol=0)
