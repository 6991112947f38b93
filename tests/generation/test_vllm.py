"""vLLM in this process: it is not installed here, so its place is taken by a module that keeps what it was asked."""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tutelage.errors import ModelError
from tutelage.generation.vllm import VllmGenerator


class Llm:
    """Answers by rule, and writes down how it was asked."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.asked: list[tuple[str, Any, Any]] = []

    def generate(self, prompts: list[str], how: Any, **_: Any) -> list[Any]:
        self.asked.append(("generate", prompts, how))
        return [self._written(prompt, how) for prompt in prompts]

    def chat(self, conversations: list[Any], how: Any, **_: Any) -> list[Any]:
        self.asked.append(("chat", conversations, how))
        return [self._written(messages[-1]["content"], how) for messages in conversations]

    def _written(self, prompt: str, how: Any) -> Any:
        reason = {"long": "length", "gone": "abort", "silent": None}.get(prompt.split()[0], "stop")
        texts = [SimpleNamespace(text=f"{prompt} {n}", token_ids=[1, 2, 3], finish_reason=reason) for n in range(how.n)]
        return SimpleNamespace(outputs=texts)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("vllm")
    module.LLM = Llm  # type: ignore[attr-defined]
    module.SamplingParams = lambda **how: SimpleNamespace(**how)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)


def test_without_vllm_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    """It wants a GPU and pins half of an environment, so most have it on a server alone."""
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ModelError, match=r"pip install tutelage\[vllm\].*backend: openai"):
        VllmGenerator("some/model", max_new_tokens=5)


@pytest.mark.usefixtures("installed")
def test_samples_of_each_prompt_come_in_the_order_asked():
    """Texts on other questions would be taught with the wrong one."""
    writer = VllmGenerator("some/model", max_new_tokens=5, chat=False)
    heard: dict[int, Any] = {}
    found = writer.write(["a", "long b"], samples=2, temperature=0.7, seed=3, on_done=heard.update)
    assert [[w.text for w in texts] for texts in found] == [["a 0", "a 1"], ["long b 0", "long b 1"]]
    assert [texts[0].finished for texts in found] == [True, False]
    assert found[0][0].tokens == 3
    assert heard == {0: found[0], 1: found[1]}
    assert writer.name == "some/model"


@pytest.mark.usefixtures("installed")
def test_conversations_are_put_as_such_and_greedy_texts_written_once():
    """A chat model that reads JSON writes JSON; three equal texts cost three times one."""
    writer = VllmGenerator("some/model", max_new_tokens=5)
    prompt = json.dumps([{"role": "user", "content": "hello"}])
    found = writer.write([prompt], samples=3)
    assert [w.text for w in found[0]] == ["hello 0"] * 3


@pytest.mark.usefixtures("installed")
def test_what_is_done_is_not_written_again():
    """Its list is empty; the others keep their places."""
    writer = VllmGenerator("some/model", max_new_tokens=5, chat=False)
    found = writer.write(["a", "b", "c"], samples=1, temperature=1.0, done={1})
    assert [[w.text for w in texts] for texts in found] == [["a 0"], [], ["c 0"]]


@pytest.mark.usefixtures("installed")
def test_only_a_text_that_stopped_is_finished():
    """VLLM also aborts; no reason at all is none against it."""
    writer = VllmGenerator("some/model", max_new_tokens=5, chat=False)
    found = [texts[0] for texts in writer.write(["a", "long b", "gone c", "silent d"])]
    assert [(w.finished, w.reason) for w in found] == [
        (True, "stop"),
        (False, "length"),
        (False, "abort"),
        (True, "stop"),
    ]
