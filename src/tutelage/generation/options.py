r"""How likely a model finds each of some given texts: a choice among options that needs no writing.

    option_log_probs(lm, ["Which is larger, 12 or 5? (A) 12 (B) 5. So, the answer is"], [["A", "B"]])
    [(-0.21, -1.93)]

What is scored is the text that the model would write, `beginning + option`, in the tokens that it would be trained on.
A tokenizer may join the end of a beginning to the start of an option, so the border lies where the tokens of the
beginning and of all options first differ: tokens before it are read, tokens behind it are scored. Every option of a
prompt is thus a probability given the same tokens, and options compare exactly.

Options are cheap where they have one token each, as letters do: a row is read once for all of them. Otherwise it is
read once for each option that does not begin another. The encoder of an encoder-decoder reads a prompt once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from tutelage.errors import TextError
from tutelage.models import LanguageModel, evaluating, output_layer_input


class Asked(NamedTuple):
    """One prompt and its options as token ids."""

    prompt: list[int]
    shared: list[int]
    """What all options begin with: read, not scored."""
    tails: list[list[int]]
    """What is scored of each option, behind `shared`."""
    rows: list[list[int]]
    """What must be read behind `shared` for all of them: tails without their last token, none beginning another."""

    @property
    def read(self) -> int:
        """Tokens of the longest row, without the prompt."""
        return len(self.shared) + max(map(len, self.rows))


def option_log_probs(
    lm: LanguageModel,
    prompts: Sequence[str],
    options: Sequence[Sequence[str]],
    *,
    beginnings: Sequence[str] | None = None,
    per_token: bool = False,
    end: bool = False,
    max_prompt_tokens: int | None = None,
    batch_tokens: int = 32768,
    on_done: Callable[[int, int], None] | None = None,
) -> list[tuple[float, ...] | None]:
    """For each prompt the natural logarithm of each option's probability; None where the prompt does not fit the model.

    An option follows `beginnings`, what the model is taken to have written already; without them it is the first thing
    written. A prompt is never cut: a choice made without the question is none.

    The sum over an option's tokens is its probability, and what KARD's verifier compares: letters, of a token each.
    `per_token` divides by their number: among options of several words the sum favours the short ones. `end` scores
    the end mark too, for options of which one begins another ("no" and "not now"). `batch_tokens` is how many tokens,
    padding included, are read at once. `on_done` hears how many prompts are done, and of how many. Raises TextError
    for an option that adds no token, or a prompt without options.
    """
    begins = beginnings if beginnings is not None else [""] * len(prompts)
    limit = max_prompt_tokens
    asked = [_asked(lm, *each, end=end) for each in zip(prompts, begins, options, strict=True)]
    found: list[tuple[float, ...] | None] = [None] * len(asked)
    fitting = [n for n, a in enumerate(asked) if _fits(lm, a) and (limit is None or len(a.prompt) <= limit)]
    done = len(asked) - len(fitting)
    with evaluating(lm):
        for batch in _batches(asked, fitting, batch_tokens):
            for n, sums in zip(batch, _scores(lm, [asked[n] for n in batch]), strict=True):
                lengths = [len(tail) if per_token else 1 for tail in asked[n].tails]
                found[n] = tuple(total / length for total, length in zip(sums, lengths, strict=True))
            done += len(batch)
            if on_done:
                on_done(done, len(asked))
    return found


def _asked(lm: LanguageModel, prompt: str, beginning: str, options: Sequence[str], *, end: bool) -> Asked:
    """Find the border: the first token in which an option differs from the beginning or from another option's start."""
    if not options:
        raise TextError(f"no options to choose from behind {(prompt + beginning)[-40:]!r}. Give at least one.")
    written = [lm.target_ids(beginning + option) for option in options]
    texts = [ids if end else ids[:-1] for ids in written]
    begin = lm.target_ids(beginning)[:-1] if beginning else lm.before_target
    shared = _common([begin, *texts])
    tails = [ids[len(shared) :] for ids in texts]
    if [] in tails:
        raise TextError(
            f"option {options[tails.index([])]!r} adds no token to {beginning[-40:]!r} and has no probability. "
            "Leave empty options out, or score the end mark too."
        )
    return Asked(lm.prompt_ids(prompt), shared, tails, _rows(tails))


def _common(rows: Sequence[list[int]]) -> list[int]:
    """What all rows begin with."""
    same = (len(set(column)) == 1 for column in zip(*rows, strict=False))
    return rows[0][: sum(takewhile(bool, same))]


def _rows(tails: Sequence[list[int]]) -> list[list[int]]:
    """Tails without their last token, the longest first, without those that begin another."""
    rows: list[list[int]] = []
    for tail in sorted(tails, key=len, reverse=True):
        if not any(row[: len(tail) - 1] == tail[:-1] for row in rows):
            rows.append(tail[:-1])
    return rows


def _fits(lm: LanguageModel, asked: Asked) -> bool:
    """Whether the network has places for it: one window for prompt and text, or one for each."""
    if lm.positions is None:
        return True
    longest = len(asked.prompt) + asked.read if lm.kind == "causal" else max(len(asked.prompt), 1 + asked.read)
    return longest <= lm.positions


def _batches(asked: Sequence[Asked], numbers: Sequence[int], room: int) -> Iterator[list[int]]:
    """The longest first, as many as have room with their padding; at least one."""
    batch: list[int] = []
    rows = prompt = read = 0
    for n in sorted(numbers, key=lambda n: -(len(asked[n].prompt) + asked[n].read)):
        prompt, read = max(prompt, len(asked[n].prompt)), max(read, 1 + asked[n].read)
        rows += len(asked[n].rows)
        if batch and rows * (prompt + read) > room:
            yield batch
            batch, rows, prompt, read = [], len(asked[n].rows), len(asked[n].prompt), 1 + asked[n].read
        batch.append(n)
    if batch:
        yield batch


def _scores(lm: LanguageModel, asked: Sequence[Asked]) -> list[list[float]]:
    """For each option of each prompt the sum over its tokens, in one pass of the network."""
    rows = [(each, row) for each in asked for row in each.rows]
    steps = torch.arange(max(len(row) for _, row in rows) + 1, device=lm.device)
    first_B1 = torch.tensor([[_first(lm, each)] for each, _ in rows], device=lm.device)
    last_B1 = torch.tensor([[_first(lm, each) + len(row)] for each, row in rows], device=lm.device)
    places_BK = torch.minimum(first_B1 + steps, last_B1)

    def chosen(all_BTW: Tensor) -> Tensor:
        return all_BTW.gather(1, places_BK[..., None].expand(-1, -1, all_BTW.shape[-1]))

    with output_layer_input(lm, chosen) as are_chosen:
        logits = _read(lm, rows)
    logits_BKV = logits if are_chosen else chosen(logits)
    log_probs_BKV = logits_BKV.float().log_softmax(-1)
    found: list[list[float]] = []
    start = 0
    for each in asked:
        found.append([_sum(log_probs_BKV[start:], each.rows, tail) for tail in each.tails])
        start += len(each.rows)
    return found


def _first(lm: LanguageModel, asked: Asked) -> int:
    """The place whose logits name the first scored token."""
    return len(asked.shared) + (len(asked.prompt) - 1 if lm.kind == "causal" else 0)


def _sum(log_probs_BKV: Tensor, rows: Sequence[list[int]], tail: list[int]) -> float:
    """The log-probability of a tail, from the first row that reads it."""
    at = next(at for at, row in enumerate(rows) if row[: len(tail) - 1] == tail[:-1])
    steps = torch.arange(len(tail), device=log_probs_BKV.device)
    return float(log_probs_BKV[at, steps, torch.tensor(tail, device=steps.device)].double().sum())


def _read(lm: LanguageModel, rows: Sequence[tuple[Asked, list[int]]]) -> Tensor:
    """One pass over all rows, padded on the right, where nothing that counts looks."""
    if lm.kind == "causal":
        texts = [each.prompt + each.shared + row for each, row in rows]
        ids_BS, mask_BS = _stacked(lm, texts)
        return lm.model(input_ids=ids_BS, attention_mask=mask_BS, use_cache=False, return_dict=True).logits
    prompts = list(dict.fromkeys(tuple(each.prompt) for each, _ in rows))
    ids_PS, mask_PS = _stacked(lm, prompts)
    encoded_PSH = lm.model.get_encoder()(input_ids=ids_PS, attention_mask=mask_PS, return_dict=True).last_hidden_state
    of = {prompt: n for n, prompt in enumerate(prompts)}
    prompt_B = torch.tensor([of[tuple(each.prompt)] for each, _ in rows], device=lm.device)
    ids_BT, _ = _stacked(lm, [[lm.start_id, *each.shared, *row] for each, row in rows])
    return lm.model(
        encoder_outputs=BaseModelOutput(last_hidden_state=cast(Any, encoded_PSH[prompt_B])),
        attention_mask=mask_PS[prompt_B],
        decoder_input_ids=ids_BT,
        use_cache=False,
        return_dict=True,
    ).logits


def _stacked(lm: LanguageModel, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids and mask."""
    longest = max(map(len, rows))
    ids = [[*row, *[lm.pad_id] * (longest - len(row))] for row in rows]
    mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    return torch.tensor(ids, device=lm.device), torch.tensor(mask, device=lm.device)
