"""A checkpoint written with by vLLM in this process: the same protocol, for a GPU and large teachers.

vLLM is no dependency of this package and nothing here runs without it; a vLLM server behind `backend: openai` needs it
on the server alone.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from tutelage.checkpoints import locate
from tutelage.errors import ModelError
from tutelage.generation.generator import Written


class VllmGenerator:
    """Writes with vLLM. A prompt that is the JSON of messages is put as the model's chat template says."""

    def __init__(self, model: str, *, max_new_tokens: int, chat: bool = True) -> None:
        """Loads the model. Raises ModelError where vLLM is not installed."""
        try:
            self._vllm: Any = importlib.import_module("vllm")
        except ImportError as error:
            raise ModelError(
                "teacher.backend vllm: vLLM is not installed. `pip install tutelage[vllm]` on a machine with a GPU, or "
                "serve the model (`vllm serve`) and use `backend: openai` with its `base_url`."
            ) from error
        self._model, self._chat = self._vllm.LLM(model=str(locate(model) or model)), chat
        self._max_new_tokens, self._name = max_new_tokens, model

    @property
    def name(self) -> str:
        """The checkpoint's name."""
        return self._name

    def write(
        self,
        prompts: Sequence[str],
        *,
        samples: int = 1,
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
        seed: int = 0,
        done: Collection[int] = (),
        on_done: Callable[[Mapping[int, list[Written]]], None] | None = None,
    ) -> list[list[Written]]:
        """See `Generator.write`."""
        asked = [n for n in range(len(prompts)) if n not in set(done)]
        how = self._vllm.SamplingParams(
            n=samples if temperature > 0 else 1,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            seed=seed,
            max_tokens=self._max_new_tokens,
        )
        found = (
            self._model.chat([json.loads(prompts[n]) for n in asked], how)
            if self._chat
            else self._model.generate([prompts[n] for n in asked], how)
        )
        written: list[list[Written]] = [[] for _ in prompts]
        for n, output in zip(asked, found, strict=True):
            texts = [_written(each) for each in output.outputs]
            written[n] = texts if len(texts) == samples else texts * samples
        if on_done:
            on_done({n: written[n] for n in asked})
        return written


def _written(output: Any) -> Written:
    """A text, and whether it is whole: vLLM says stop, length, abort, error or nothing."""
    reason = output.finish_reason or "stop"
    return Written(output.text, len(output.token_ids), reason == "stop", reason)
