"""One call: every way in which a server answers, or does not, is a reply or a fault with a name."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from asking import request
from peer import Answer, FakeModel, Received, as_json

from tutelage.annotation import outcomes
from tutelage.annotation.budget import Usage
from tutelage.annotation.client import Choice, Client, Fault, Reply, retry_after
from tutelage.annotation.outcomes import Fate, Outcome, ending
from tutelage.annotation.requests import Request

KEY = "sk-test-0123456789abcdefghijklmnop"


def called(
    model: FakeModel, asked: Request | None = None, samples: tuple[int, ...] = (0,), **how: Any
) -> Reply | Fault:
    async def call() -> Reply | Fault:
        async with Client(base_url=model.url, **{"timeout": 5.0, **how}) as client:
            return await client.ask(asked or request(), samples)

    return asyncio.run(call())


def always(answer: Answer) -> Callable[[Received], Awaitable[Answer]]:
    async def before(_: Received) -> Answer:
        return answer

    return before


def fault(answer: Answer, **how: Any) -> Fault:
    with FakeModel(before=always(answer)) as model:
        found = called(model, **how)
    assert isinstance(found, Fault)
    return found


def reply(body: Any, asked: Request | None = None) -> Reply:
    with FakeModel(before=always(as_json(body))) as model:
        found = called(model, asked)
    assert isinstance(found, Reply)
    return found


def choice(text: Any, reason: Any = "stop", **more: Any) -> dict[str, Any]:
    return {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": text, **more}}


def test_a_call_sends_the_request_as_it_is_hashed():
    """A field that is sent and not hashed, or hashed and not sent, gives one key to two prompts."""
    asked = request(top_p=0.9, reasoning_effort="low")
    with FakeModel() as model:
        called(model, asked, (0, 1, 2), key=KEY)
    [received] = model.received
    assert received.path == "/v1/chat/completions"
    assert received.json == {**asked.body, "n": 3}
    assert received.headers["authorization"] == f"Bearer {KEY}"


def test_three_samples_and_what_they_took():
    """Tokens are the server's count: it is the server who writes the bill."""
    with FakeModel(lambda prompt, n: f"text {n}") as model:
        found = called(model, samples=(0, 1, 2))
    assert isinstance(found, Reply)
    assert found.choices == tuple(Choice(Outcome.WRITTEN, f"text {n}") for n in range(3))
    assert found.usage == Usage(model.charged_read, model.charged_written)
    assert json.loads(found.body)["choices"]


def test_a_completion_is_read_from_its_text():
    """Base models are asked at another address, and answer in another shape."""
    asked = Request("m", request().messages, {"max_tokens": 5}, "completion")
    with FakeModel(lambda prompt, n: f"after {prompt}") as model:
        found = called(model, asked)
    assert isinstance(found, Reply)
    assert model.received[0].path == "/v1/completions"
    assert found.choices == (Choice(Outcome.WRITTEN, "after Tova has 12 beads?"),)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (choice("Because."), Choice(Outcome.WRITTEN, "Because.")),
        (choice("Because", "length"), Choice(Outcome.CUT, "Because")),
        (choice(None, "length"), Choice(Outcome.CUT, "")),
        (choice(""), Choice(Outcome.EMPTY, "")),
        (choice(" \n"), Choice(Outcome.EMPTY, " \n")),
        (choice(None), Choice(Outcome.EMPTY, "")),
        (choice("", "content_filter"), Choice(Outcome.REFUSED, "")),
        (choice(None, "tool_calls", tool_calls=[{"id": "1"}]), Choice(Outcome.STOPPED, "", "tool_calls")),
        (choice(None, "length", reasoning_content="First I"), Choice(Outcome.CUT, "")),
        (choice("", "stop", reasoning="So it is 17."), Choice(Outcome.EMPTY, "")),
        (choice("17", reasoning_content="12 + 5 = 17"), Choice(Outcome.WRITTEN, "17")),
        (choice("half a \ud83d character"), Choice(Outcome.WRITTEN, "half a ? character")),
        (choice(None, refusal="I cannot help with that."), Choice(Outcome.REFUSED, "I cannot help with that.")),
    ],
)
def test_every_ending_has_an_outcome(said: dict[str, Any], expected: Choice):
    """A cut text that counts as written teaches students to stop in the middle."""
    assert reply({"choices": [said]}).choices == (expected,)


@pytest.mark.parametrize("reason", ["stop", "STOP", "end_turn", "eos", "eos_token", "stop_sequence", "", None])
def test_a_whole_text_is_known_by_its_reason_or_by_none(reason: str | None):
    """Servers name the end of a text each in their own way."""
    assert reply({"choices": [choice("So 17.", reason)]}).choices == (Choice(Outcome.WRITTEN, "So 17."),)
    said = choice("So 17.", reason)
    del said["finish_reason"]
    assert reply({"choices": [said]}).choices == (Choice(Outcome.WRITTEN, "So 17."),)


@pytest.mark.parametrize(
    ("reason", "outcome", "label"),
    [
        ("length", Outcome.CUT, "cut off"),
        ("LENGTH", Outcome.CUT, "cut off"),
        ("max_tokens", Outcome.CUT, "cut off: max_tokens"),
        ("MAX_TOKENS", Outcome.CUT, "cut off: MAX_TOKENS"),
        ("model_length", Outcome.CUT, "cut off: model_length"),
        ("model_context_window_exceeded", Outcome.CUT, "cut off: model_context_window_exceeded"),
        ("content_filter", Outcome.REFUSED, "refused"),
        ("SAFETY", Outcome.REFUSED, "refused: SAFETY"),
        ("error", Outcome.STOPPED, "stopped: error"),
        ("tool_calls", Outcome.STOPPED, "stopped: tool_calls"),
        ("abort", Outcome.STOPPED, "stopped: abort"),
        ("something new", Outcome.STOPPED, "stopped: something new"),
        (7, Outcome.STOPPED, "stopped: 7"),
    ],
)
def test_any_other_reason_ends_no_whole_text_and_keeps_its_name(reason: Any, outcome: Outcome, label: str):
    """A text that stops in the middle holds the right number often enough to be kept."""
    [found] = reply({"choices": [choice("The total is 17, and then she", reason)]}).choices
    assert (found.outcome, ending(reason).label) == (outcome, label)
    assert outcomes.label(found.outcome, found.reason) == label
    assert not found.outcome.has_text


def test_an_answer_without_a_count_of_tokens_is_an_answer():
    """Some servers leave `usage` out; a cost of nothing would be a guess."""
    assert reply({"choices": [choice("x")]}).usage is None
    assert reply({"choices": [choice("x")], "usage": {"prompt_tokens": -3, "completion_tokens": 1}}).usage is None


def test_what_a_model_thought_is_counted_where_the_total_alone_tells_it():
    """Hidden thinking is paid for as writing."""
    found = reply({"choices": [choice("x")], "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 50}})
    assert found.usage == Usage(7, 43)
    found = reply({"choices": [choice("x")], "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}})
    assert found.usage == Usage(7, 2)


def test_a_message_in_parts_is_the_text_among_them():
    """Reasoning servers send their thinking as a part of its own."""
    parts = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "It is "}, {"type": "text", "text": "5."}]
    assert reply({"choices": [choice(parts)]}).choices == (Choice(Outcome.WRITTEN, "It is 5."),)


def test_the_key_is_blotted_out_of_an_answer_too():
    """A server that repeats its headers would put it into the store, which is copied and sent on."""
    with FakeModel(before=always(as_json({"choices": [choice(f"You sent {KEY}.")], "headers": KEY}))) as model:
        found = called(model, key=KEY)
    assert isinstance(found, Reply)
    assert KEY not in found.body
    assert found.choices == (Choice(Outcome.WRITTEN, "You sent ***."),)
    assert KEY not in fault(Answer(200, f"<html>{KEY}</html>".encode()), key=KEY).detail


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b"<html>Bad gateway</html>", {"content-type": "text/html"}),
        Answer(200, b""),
        Answer(200, b'{"choices": [{"mess'),
        Answer(200, b"\xff\xfe"),
        Answer(200, b"[" * 100_000),
        *(as_json(v) for v in (3, [], {}, {"choices": []}, {"choices": [3]}, {"choices": [{"index": 0}]})),
        as_json({"choices": [choice(["a", "list"])]}),
    ],
)
def test_garbage_is_a_fault_that_may_pass(answer: Answer):
    """Status 200 is no promise: gateways send pages of HTML with it."""
    found = fault(answer)
    assert found.fate is Fate.GARBLED
    assert found.fate.may_pass
    assert not found.stops


@pytest.mark.parametrize(
    ("status", "fate", "stops"),
    [
        (400, Fate.REJECTED, False),
        (401, Fate.DENIED, True),
        (402, Fate.DENIED, True),
        (403, Fate.DENIED, True),
        (404, Fate.DENIED, True),
        (408, Fate.BROKEN, False),
        (413, Fate.REJECTED, False),
        (422, Fate.REJECTED, False),
        (429, Fate.SLOWED, False),
        (500, Fate.BROKEN, False),
        (503, Fate.BROKEN, False),
        (529, Fate.BROKEN, False),
    ],
)
def test_every_status_has_a_fate(status: int, fate: Fate, stops: bool):
    """A wrong key tried six times for a thousand questions is a locked account."""
    found = fault(as_json({"error": {"message": "so it is"}}, status))
    assert (found.fate, found.stops) == (fate, stops)
    assert found.detail == f"{status}: so it is"


def test_an_empty_account_is_no_rate_limit():
    """OpenAI says both with status 429; waiting does not fill an account."""
    found = fault(as_json({"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}, 429))
    assert found.stops


def test_retry_after_is_read_in_all_its_forms():
    """Seconds, milliseconds, or a date."""
    assert retry_after({"retry-after": "7"}) == 7.0
    assert retry_after({"retry-after-ms": "250", "retry-after": "7"}) == 0.25
    later = datetime.now(UTC) + timedelta(seconds=30)
    assert retry_after({"retry-after": format_datetime(later, usegmt=True)}) == pytest.approx(30, abs=2)
    assert retry_after({"retry-after": "1e9"}) == 600.0
    for odd in ("soon", "-5", "nan", "inf"):
        assert retry_after({"retry-after": odd}) is None
    assert retry_after({}) is None
    assert fault(as_json({}, 429, **{"retry-after": "3"})).wait == 3.0


def test_a_dropped_connection_may_have_been_paid_for_and_a_refused_one_not():
    """The one may have reached a server that wrote an answer, the other reached nobody."""
    dropped = fault(Answer(drop=True))
    assert (dropped.fate, dropped.fate.is_free) == (Fate.DROPPED, False)
    with FakeModel() as model:
        pass  # nobody listens there any more
    unreached = called(model)
    assert isinstance(unreached, Fault)
    assert (unreached.fate, unreached.fate.is_free) == (Fate.UNREACHED, True)


def test_a_call_that_takes_too_long_is_ended():
    """One call that hangs holds up the end of ten thousand."""
    with FakeModel(latency=5.0) as model:
        found = called(model, timeout=0.2)
    assert isinstance(found, Fault)
    assert found.fate is Fate.TIMED_OUT


def test_the_key_is_blotted_out_of_what_a_server_says():
    """OpenAI repeats a wrong key in its message; errors are stored, printed and mailed."""
    for said in (f"Incorrect API key provided: {KEY}.", f"key {KEY[:12]}**** is unknown", f"...{KEY[-12:]}"):
        found = fault(as_json({"error": {"message": said}}, 401), key=KEY)
        assert KEY[:12] not in found.detail
        assert KEY[-12:] not in found.detail


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Any):
    """Whoever stands between would read the key."""
    assert isinstance(_tls_fault(tmp_path), Fault)


def _tls_fault(folder: Any) -> Reply | Fault:
    import subprocess

    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    try:
        files = ["-keyout", str(folder / "key"), "-out", str(folder / "cert")]
        subprocess.run([*made, *files], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert", folder / "key")

    async def call() -> Reply | Fault:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        async with Client(base_url=f"https://localhost:{port}/v1", key=KEY, timeout=5.0) as client:
            found = await client.ask(request(), (0,))
        server.close()
        assert isinstance(found, Fault)
        assert "certificate" in found.detail.lower()
        return found

    return asyncio.run(call())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "model 'x' not found", "type": "api_error"}}, "model 'x' not found"),  # Ollama
        ({"error": "model 'x' not found"}, "model 'x' not found"),  # its older versions
        ({"object": "error", "message": "The model `x` does not exist."}, "The model `x` does not exist."),  # vLLM
        ({"detail": "Not Found"}, "Not Found"),  # a wrong address
    ],
)
def test_an_unknown_model_is_told_in_the_servers_words(body: Any, said: str):
    """Each server has its own place for them; a bare 404 does not say whether the model or the address is wrong."""
    found = fault(as_json(body, 404))
    assert found.stops
    assert found.detail == f"404: {said}"
