"""One call to an OpenAI-compatible server, through the official SDK; tries, pace and money are the caller's business.

What a call gives is a `Reply` or a `Fault`, never an exception of the network. Answers are read from the body as it
came: servers that call themselves compatible leave fields out, send more of them, or send a page of HTML with status
200, and the SDK would take each of these for an answer.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, cast

import httpx2
import openai

from tutelage.annotation.budget import Usage
from tutelage.annotation.outcomes import Fate, Outcome, ending
from tutelage.annotation.requests import Endpoint, Request
from tutelage.annotation.secrets import NO_KEY, OFFICIAL, without

CONNECT = 15.0
"""Seconds to wait for a connection."""
LONGEST_WAIT = 600.0
"""A server that asks for more patience than this is asked again after it all the same."""
SHOWN = 300
"""Letters of what a server says of a fault."""


class Choice(NamedTuple):
    """One text of an answer."""

    outcome: Outcome
    text: str
    reason: str = ""
    """Why it is not whole, in the server's word; see `Ending`."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that could be read."""

    choices: tuple[Choice, ...]
    """At least one; maybe fewer than were asked for."""
    usage: Usage | None
    """Tokens by the server's count; None where it does not count."""
    body: str


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there is no answer."""

    fate: Fate
    detail: str
    wait: float | None = None
    """Seconds that the server asks to wait."""
    stops: bool = False
    """Whether every other call would end in the same way."""
    is_page: bool = False
    """Whether what came is a page for people to read."""


class Client:
    """A server that is asked. Close it by `async with`."""

    def __init__(self, *, base_url: str | None = None, key: str | None = None, timeout: float = 120.0) -> None:
        """`timeout` is for a whole call, in seconds."""
        self._key = key
        self._timeout = timeout
        self.address = base_url or OFFICIAL
        self._sdk = openai.AsyncOpenAI(
            base_url=self.address,
            api_key=key or NO_KEY,
            max_retries=0,
            timeout=openai.Timeout(timeout, connect=min(CONNECT, timeout)),
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sdk.close()

    async def ask(self, request: Request, samples: tuple[int, ...]) -> Reply | Fault:
        """Call once for these samples."""
        body = request.asking(samples)
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._post(request, body)
                return _read(without(response.text, self._key), request.endpoint)
        except TimeoutError:
            return Fault(Fate.TIMED_OUT, f"no whole answer within {self._timeout:g} s")
        except openai.OpenAIError as error:
            fault = _fault(error, self._timeout)
            return Fault(fault.fate, without(fault.detail, self._key)[:SHOWN], fault.wait, fault.stops)
        except httpx2.HTTPError as error:  # while the body was read
            return Fault(Fate.DROPPED, type(error).__name__)

    async def _post(self, request: Request, body: dict[str, Any]) -> Any:
        if request.endpoint == "completion":
            completions: Any = self._sdk.completions.with_raw_response
            return await completions.create(model=body.pop("model"), prompt=body.pop("prompt"), extra_body=body)
        chat: Any = self._sdk.chat.completions.with_raw_response
        return await chat.create(model=body.pop("model"), messages=body.pop("messages"), extra_body=body)


# --- reading an answer


def _read(text: str, endpoint: Endpoint) -> Reply | Fault:
    """An answer, or what is wrong with it."""
    try:
        body: Any = json.loads(text)
    except (ValueError, RecursionError):
        return Fault(Fate.GARBLED, f"not JSON: {text[:80]!r}", is_page=text.lstrip().startswith("<"))
    return read_body(body, text, endpoint)


def read_body(body: Any, text: str, endpoint: Endpoint) -> Reply | Fault:
    """An answer of which the JSON is known; `text` is it as it came."""
    values = _object(body)
    rows = values.get("choices")
    if not isinstance(rows, list) or not rows:
        return Fault(Fate.GARBLED, f"no `choices` in {text[:80]!r}")
    choices = [_choice(row, endpoint) for row in cast("list[Any]", rows)]
    if not all(choices):
        return Fault(Fate.GARBLED, f"a choice without text in {text[:80]!r}")
    return Reply(tuple(choice for choice in choices if choice), _usage(values.get("usage")), text)


def _choice(row: Any, endpoint: Endpoint) -> Choice | None:
    values = _object(row)
    said = values if endpoint == "completion" else _object(values.get("message"))
    if not said:
        return None
    text = said.get("text") if endpoint == "completion" else said.get("content")
    if isinstance(text, list) and all(isinstance(part, dict) for part in cast("list[Any]", text)):
        text = _joined(cast("list[Any]", text))
    if text is not None and not isinstance(text, str):
        return None
    text = _whole(text or "")
    end = ending(values.get("finish_reason"))
    if said.get("refusal"):
        return Choice(Outcome.REFUSED, text or _whole(str(said["refusal"])), end.reason)
    if end.outcome is not Outcome.WRITTEN:
        return Choice(end.outcome, text, _whole(end.reason))
    return Choice(Outcome.WRITTEN if text.strip() else Outcome.EMPTY, text)


def _joined(parts: list[Any]) -> str:
    """The text of a message that comes in parts; what is not called text, such as thinking, is none of it."""
    said = (_object(part) for part in parts)
    return "".join(str(part.get("text") or "") for part in said if part.get("type") in ("text", "output_text"))


def _whole(text: str) -> str:
    """A text that can be stored: half a character, which JSON can hold, is no text."""
    return text.encode(errors="replace").decode()


def _usage(found: Any) -> Usage | None:
    counts = _object(found)
    read, written = counts.get("prompt_tokens"), counts.get("completion_tokens", 0)
    if not isinstance(read, int) or not isinstance(written, int) or read < 0 or written < 0:
        return None
    total = counts.get("total_tokens")
    hidden = total - read if isinstance(total, int) else 0  # some servers count what a model thinks in the total alone
    return Usage(read, max(written, hidden))


def _object(value: Any) -> Mapping[str, Any]:
    """A JSON object; an empty one where the value is something else."""
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


# --- reading a fault


def _fault(error: openai.OpenAIError, timeout: float) -> Fault:
    if isinstance(error, openai.APIStatusError):
        return status_fault(error.status_code, error.response.headers, _said(error), str(error.code or ""))
    cause = error.__cause__
    if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return Fault(Fate.UNREACHED, f"no connection: {cause or type(cause).__name__}")
    if isinstance(error, openai.APITimeoutError):
        return Fault(Fate.TIMED_OUT, f"no whole answer within {timeout:g} s")
    if isinstance(error, openai.APIConnectionError):
        return Fault(Fate.DROPPED, f"{type(cause).__name__}: {cause}" if cause else str(error))
    return Fault(Fate.GARBLED, f"{type(error).__name__}: {error}")


def status_fault(status: int, headers: Mapping[str, str], said: str, code: str = "") -> Fault:
    """What a status above 399 means."""
    detail = f"{status}: {said}"
    if status in (401, 402, 403, 404) or code == "insufficient_quota":
        return Fault(Fate.DENIED, detail, stops=True)
    if status == 429:
        return Fault(Fate.SLOWED, detail, retry_after(headers))
    if status == 408 or status == 409 or status >= 500:
        return Fault(Fate.BROKEN, detail, retry_after(headers))
    return Fault(Fate.REJECTED, detail)


def _said(error: openai.APIStatusError) -> str:
    """What the server says, whichever of the customary places it says it in."""
    body = _object(error.body)
    said = next((body[name] for name in ("message", "detail", "error") if body.get(name)), error.body)
    return " ".join(_whole(str(error.response.text if said is None else said)).split())


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by the headers `retry-after-ms` and `retry-after`, which is a number or a date."""
    found = headers.get("retry-after-ms")
    try:
        seconds = float(found) / 1000 if found else _seconds(headers.get("retry-after"))
    except ValueError:
        return None
    return None if seconds is None or not 0 <= seconds < float("inf") else min(seconds, LONGEST_WAIT)


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
