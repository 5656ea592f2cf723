"""The test server with the Batch API beside it: files, and batches that end after some looks.

A batch is worked at when it ends; the lines of its output are shuffled. `endings` orders how the
batches end, one after the other: "completed" (also when the list is used up), "expired:5" or
"cancelled:5" with only five requests done, "failed:CODE" with none. The faults of a model's name
hold for requests in batches too; those with an HTTP status give a line in the file of errors.

`events` names what happened, in order. What `at` holds for an event is called once it happened
and before its answer is sent, and "lost" from there means that the answer is not sent at all.
"""

import email
import json
import random
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from completions_server import STATUS_FAULTS, CompletionsServer, reset, send, status_error

DISCOUNT = 0.5


class BatchServer(CompletionsServer):
    """Serves `/v1/files` and `/v1/batches` too; `looks` is how many find a batch not over."""

    def __init__(self, *args: Any, looks: int = 1, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.looks = looks
        self.endings: list[str] = []
        self.batches: list[dict[str, Any]] = []
        self.batched: list[str] = []
        self.uploads: list[list[dict[str, Any]]] = []
        self.events: list[str] = []
        self.at: dict[str, Callable[[], str | None]] = {}
        self.absent: set[str] = set()
        self.forgets: set[str] = set()
        self.more_results: list[str] = []
        self._files: dict[str, bytes] = {}
        self._looked: dict[str, int] = {}
        self._random = random.Random(3)

    def route(self, http: BaseHTTPRequestHandler, data: bytes) -> None:
        """Answer a question, or a call of the Batch API."""
        parts = urlsplit(http.path)
        folder, *rest = parts.path.removeprefix("/v1/").split("/")
        if folder == "chat":
            super().route(http, data)
            return
        headers = {name.lower(): value for name, value in http.headers.items()}
        event = f"{http.command} {folder}" + (" one" if rest else "")
        with_body = http.command == "POST"
        if event in self.absent or folder in self.absent:
            self._answer_event(http, event, 404, {"error": {"message": "Invalid URL"}})
        elif folder == "files" and with_body:
            self._answer_event(http, event, 200, {"id": self._upload(headers, data)})
        elif folder == "files":
            found = self._files.get(rest[0])
            self._answer_event(http, event, 200 if found is not None else 404, found or b"{}")
        elif with_body:
            self._answer_event(http, event, 200, self._create(json.loads(data), headers))
        elif rest:
            self._answer_event(http, event, 200, self._look(rest[0]))
        else:
            self._answer_event(http, event, 200, self._list(parse_qs(parts.query)))

    def _answer_event(
        self, http: BaseHTTPRequestHandler, event: str, status: int, payload: dict[str, Any] | bytes
    ) -> None:
        self.events.append(event)
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        if self.at.get(event, lambda: None)() == "lost":
            reset(http, data)
        else:
            send(http, status, data)

    def _upload(self, headers: dict[str, str], data: bytes) -> str:
        head = f"Content-Type: {headers['content-type']}\r\n\r\n".encode()
        form = email.message_from_bytes(head + data)
        fields = {
            part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
            for part in form.get_payload()  # type: ignore[union-attr]
        }
        assert fields["purpose"] == b"batch"
        self.uploads.append([json.loads(line) for line in fields["file"].splitlines()])
        return self._file(fields["file"])

    def _file(self, data: bytes) -> str:
        name = f"file-{len(self._files)}"
        self._files[name] = data
        return name

    def _create(self, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
        assert body["endpoint"] == "/v1/chat/completions"
        assert body["completion_window"] == "24h"
        ending = self.endings.pop(0) if self.endings else "completed"
        batch = {
            "id": f"batch-{len(self.batches)}",
            "object": "batch",
            "status": "validating",
            "input_file_id": None if "file" in self.forgets else body["input_file_id"],
            "metadata": None if "tag" in self.forgets else body["metadata"],
            "output_file_id": None,
            "error_file_id": None,
            "errors": None,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "_work": (ending, body["input_file_id"], headers),
        }
        self.batches.append(batch)
        return _shown(batch)

    def _look(self, name: str) -> dict[str, Any]:
        batch = next(each for each in self.batches if each["id"] == name)
        self._looked[name] = self._looked.get(name, 0) + 1
        if batch["status"] in {"validating", "in_progress"}:
            if self._looked[name] > self.looks:
                self._end(batch)
            else:
                batch["status"] = "in_progress"
        return _shown(batch)

    def _list(self, query: dict[str, list[str]]) -> dict[str, Any]:
        newest = [_shown(batch) for batch in reversed(self.batches)]
        names = [batch["id"] for batch in newest]
        start = names.index(query["after"][0]) + 1 if "after" in query else 0
        # Smaller pages than were asked for.
        return {"data": newest[start : start + 2], "has_more": len(names) > start + 2}

    def _end(self, batch: dict[str, Any]) -> None:
        ending, file, headers = batch["_work"]
        batch["status"], _, detail = ending.partition(":")
        if batch["status"] == "failed":
            message = f"{detail} for {headers['authorization']}"
            batch["errors"] = {"data": [{"code": detail, "message": message}]}
            return
        requests = [json.loads(line) for line in self._files[file].splitlines()]
        done = int(detail) if detail else len(requests)
        output, errors = [], []
        for request in requests[:done]:
            result = self._result(request, headers)
            good = result["response"]["status_code"] == 200
            (output if good else errors).append(json.dumps(result))
        for request in requests[done:]:
            error = {"code": f"batch_{batch['status']}", "message": "It was not executed."}
            errors.append(json.dumps({**_head(request), "response": None, "error": error}))
        self._random.shuffle(output)
        output += self.more_results
        if output:
            batch["output_file_id"] = self._file("\n".join(output).encode())
        if errors:
            batch["error_file_id"] = self._file("\n".join(errors).encode())
        batch["request_counts"] = {
            "total": len(requests),
            "completed": len(output),
            "failed": len(errors),
        }

    def _result(self, request: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
        body = request["body"]
        question = body["messages"][-1]["content"].split("\n\nRespond ONLY")[0]
        self.batched.append(question)
        fault = self.fault(body["model"], question)
        if (refused := self.refuse(body)) is not None:
            status, answer = refused
        elif fault in STATUS_FAULTS:
            status, answer = status_error(fault, headers)
        else:
            status, answer = 200, self.complete(fault, question, body, headers, DISCOUNT)
        response = {"status_code": status, "request_id": "r", "body": answer}
        return {**_head(request), "response": response, "error": None}


def _head(request: dict[str, Any]) -> dict[str, str]:
    return {"id": "batch_req_1", "custom_id": request["custom_id"]}


def _shown(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in batch.items() if not name.startswith("_")}
