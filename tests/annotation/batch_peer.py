"""The fake model with OpenAI's files and batches besides: what is uploaded is answered at once, when a test says so."""

from __future__ import annotations

import json
import re
from typing import Any

from peer import Answer, FakeModel, Received, as_json


class BatchModel(FakeModel):
    """`finish` ends all batches that are under way."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.lose_next_start = False
        """Start the next batch, and drop the connection before saying so."""

    async def answer(self, request: Received) -> Answer:
        path = request.path.partition("?")[0].removeprefix("/v1")
        if path == "/files":
            return self._file(self._uploaded(request))
        if match := re.fullmatch(r"/files/(.+)/content", path):
            return Answer(200, self.files[match[1]])
        if path == "/batches" and request.method == "POST":
            return self._start(request.json)
        if path == "/batches":
            return as_json({"object": "list", "data": list(self.batches.values()), "has_more": False})
        if match := re.fullmatch(r"/batches/(.+)", path):
            return as_json(self.batches[match[1]])
        return await super().answer(request)

    def _uploaded(self, request: Received) -> bytes:
        boundary = request.headers["content-type"].partition("boundary=")[2].strip('"').encode()
        part = next(part for part in request.body.split(b"--" + boundary) if b"filename=" in part)
        return part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")

    def _file(self, content: bytes) -> Answer:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return as_json({"id": name, "object": "file", "bytes": len(content), "created_at": 1, "filename": "f"})

    def _start(self, body: dict[str, Any]) -> Answer:
        name = f"batch-{len(self.batches)}"
        counts = {"total": 0, "completed": 0, "failed": 0}
        self.batches[name] = {
            **{"id": name, "object": "batch", "created_at": 1, "status": "in_progress", "request_counts": counts},
            **body,
        }
        if self.lose_next_start:
            self.lose_next_start = False
            return Answer(drop=True)
        return as_json(self.batches[name])

    def finish(self, status: str = "completed", *, only: int | None = None, **spoil: dict[str, Any]) -> None:
        """End what is under way. `only` answers the first so many lines; `spoil` gives rows for other prompts."""
        for batch in self.batches.values():
            if batch["status"] != "in_progress":
                continue
            lines = [json.loads(line) for line in self.files[batch["input_file_id"]].decode().splitlines()][:only]
            rows = [self._row(line, spoil) for line in lines]
            good = [row for row in rows if row.get("error") is None]
            bad = [row for row in rows if row.get("error") is not None]
            for name, found in (("output_file_id", good), ("error_file_id", bad)):
                if found:
                    self.files[f"{batch['id']}-{name}"] = "".join(json.dumps(row) + "\n" for row in found).encode()
                    batch[name] = f"{batch['id']}-{name}"
            batch["status"] = status

    def _row(self, line: dict[str, Any], spoil: dict[str, dict[str, Any]]) -> dict[str, Any]:
        prompt = line["body"]["messages"][-1]["content"]
        row = {"id": "r", "custom_id": line["custom_id"], "error": None}
        if found := spoil.get(prompt.replace(" ", "_")):
            return {**row, **found}
        choices = [self._choice(prompt, True) for _ in range(line["body"].get("n", 1))]
        usage = {"prompt_tokens": 10, "completion_tokens": 5 * len(choices)}
        return {**row, "response": {"status_code": 200, "body": {"choices": choices, "usage": usage}}}
