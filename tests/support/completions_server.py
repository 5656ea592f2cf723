"""A small OpenAI-compatible server with real log-probabilities and faults to order.

What it answers is scripted; the log-probabilities are those of a tiny random model that reads
the script. A model named "tiny" is well; "tiny+reset" has a fault with every request, and
"tiny+reset:2" with its first two. "tiny+item-reset:2" spares the probe, and "tiny+each-reset:2"
has it with the first two requests for each item. Several faults: "tiny+429:1+empty:2". Every
request is recorded, and what it would cost is added to the server's own ledger.
"""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler
from typing import Any

from local_server import LocalServer

ANSWERED_BY = "tiny-2026-01-01"
PROBE = "Ann has 17 apples"
PROMPT_USD, COMPLETION_USD = 2.0, 10.0
"""US dollars per million tokens."""

STATUS_FAULTS = {
    "429": (429, "rate_limit_exceeded", "Rate limit reached"),
    "quota": (429, "insufficient_quota", "You exceeded your current quota"),
    "500": (500, "server_error", "The server had an error"),
    "502": (502, None, "Bad gateway"),
    "401": (401, "invalid_api_key", "Incorrect API key provided"),
    "404": (404, "model_not_found", "The model does not exist"),
    "400": (400, "context_length_exceeded", "This prompt is too long"),
    "nologprobs400": (400, "unsupported_parameter", "logprobs is not supported with this model"),
}


@dataclass(frozen=True)
class Request:
    """One request as it came; `question` is without the instructions."""

    question: str
    at: float
    headers: dict[str, str]
    body: dict[str, Any]


class TinyModel:
    """A random causal LM over the tokens of a byte-level tokenizer; the same every time."""

    def __init__(self) -> None:
        import torch
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import Olmo2Config, Olmo2ForCausalLM

        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        merges = [("t", "h"), ("Ġ", "th"), ("Ġ", "a"), ("i", "n"), ("e", "r"), ("\\", "n")]
        vocabulary = {name: i for i, name in enumerate(alphabet)}
        for left, right in merges:
            vocabulary[left + right] = len(vocabulary)
        self._names = list(vocabulary)
        self._tokenizer = Tokenizer(models.BPE(vocabulary, merges))
        self._tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self._bytes = _byte_of_letter()
        torch.manual_seed(5)
        config = Olmo2Config(
            vocab_size=len(vocabulary),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=4096,
            pad_token_id=0,
            eos_token_id=0,
            initializer_range=0.5,
        )
        self._model = Olmo2ForCausalLM(config).eval()
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], list[tuple[bytes, float, bytes, float]]] = {}

    def count(self, text: str) -> int:
        """Tokens of `text`."""
        return len(self._tokenizer.encode(text).ids)

    def logprobs(self, prompt: str, text: str) -> list[tuple[bytes, float, bytes, float]]:
        """Each token of `text` after `prompt`: bytes, log-probability, the likeliest's of both."""
        import torch

        if (prompt, text) in self._known:
            return list(self._known[prompt, text])
        before, own = (self._tokenizer.encode(part).ids for part in (prompt, text))
        with self._lock, torch.no_grad():
            ids = torch.tensor([[*before, *own]])
            logits = self._model(input_ids=ids).logits[0].double().log_softmax(-1)
        found = []
        for position, token in enumerate(own, start=len(before)):
            row = logits[position - 1]
            best = int(row.argmax())
            found.append((self._raw(token), float(row[token]), self._raw(best), float(row[best])))
        self._known[prompt, text] = found
        return list(found)

    def _raw(self, token: int) -> bytes:
        return bytes(self._bytes[letter] for letter in self._names[token])


def _byte_of_letter() -> dict[str, int]:
    """The byte-level alphabet of GPT-2: printable bytes are themselves, others from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in printable]
    return letters | {chr(256 + i): byte for i, byte in enumerate(others)}


@cache
def tiny_model() -> TinyModel:
    """The one tiny model of this process."""
    return TinyModel()


class CompletionsServer(LocalServer):
    """Serves `/v1/chat/completions` on a free local port; use it as a context manager.

    `script` gives the reasoning and the final answer to a question. `delay` is seconds before
    every answer. `refuse` may give the status and the JSON body of a refusal for a request's body,
    and `rework` may change the completion that answers one.
    """

    def __init__(
        self,
        script: Callable[[str], tuple[str, str]],
        *,
        delay: float = 0.0,
        retry_after: str = "0.02",
    ) -> None:
        self.script, self.delay, self.retry_after = script, delay, retry_after
        self.requests: list[Request] = []
        self.usd = 0.0
        self.model = tiny_model()
        self.fingerprint = "fp_1"
        self.answers_as = ANSWERED_BY
        self.refuse: Callable[[dict[str, Any]], tuple[int, Any] | None] = lambda _: None
        self.rework: Callable[[dict[str, Any], dict[str, Any]], object] = lambda _, __: None
        self.lock = threading.Lock()
        self._faults: dict[str, int] = {}
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body are written apart, and the second would wait for the first.
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                try:
                    server.route(self, data)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler)

    @property
    def questions(self) -> list[str]:
        """What was asked, without the probes."""
        return [r.question for r in self.requests if not r.question.startswith(PROBE)]

    def route(self, http: BaseHTTPRequestHandler, data: bytes) -> None:
        """Answer whatever is asked."""
        self.handle(http, json.loads(data))

    def handle(self, http: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        """Record one request and answer it, with the fault that its model's name orders."""
        question = body["messages"][-1]["content"].split("\n\nRespond ONLY")[0]
        with self.lock:
            headers = {name.lower(): value for name, value in http.headers.items()}
            self.requests.append(Request(question, time.monotonic(), headers, body))
            fault = self.fault(body["model"], question)
        if self.delay:
            time.sleep(self.delay)
        if (refused := self.refuse(body)) is not None:
            send(http, refused[0], json.dumps(refused[1]).encode())
        elif fault in STATUS_FAULTS:
            self._status(http, fault, headers)
        elif fault == "html":
            send(http, 200, b"<html><body>Welcome</body></html>", {"Content-Type": "text/html"})
        elif fault.startswith("unknown-"):
            self._refuse_parameter(http, fault.removeprefix("unknown-"), body)
        else:
            self._answer(http, fault, question, body, headers)

    def fault(self, model: str, question: str) -> str:
        """The fault that a model's name orders for its next request, "" for none."""
        for part in model.split("+")[1:]:
            order, _, count = part.partition(":")
            when, _, name = order.rpartition("-")
            if when in {"item", "each"} and question.startswith(PROBE):
                continue
            counted = f"{part} {question}" if when == "each" else part
            seen = self._faults.get(counted, 0)
            if not count or seen < int(count):
                self._faults[counted] = seen + 1
                return name if when in {"item", "each"} else order
        return ""

    def _status(self, http: BaseHTTPRequestHandler, fault: str, headers: dict[str, str]) -> None:
        status, error = status_error(fault, headers)
        extra = {"Retry-After": self.retry_after} if fault == "429" else {}
        send(http, status, json.dumps(error).encode(), extra)

    def _refuse_parameter(
        self, http: BaseHTTPRequestHandler, name: str, body: dict[str, Any]
    ) -> None:
        if name in body:
            message = f"Unsupported parameter: '{name}' is not supported with this model."
            send(http, 400, json.dumps({"error": {"message": message}}).encode())
        else:
            question = body["messages"][-1]["content"].split("\n\nRespond ONLY")[0]
            self._answer(http, "", question, body, {})

    def _answer(
        self,
        http: BaseHTTPRequestHandler,
        fault: str,
        question: str,
        body: dict[str, Any],
        headers: dict[str, str],
    ) -> None:
        payload = self.complete(fault, question, body, headers)
        data = json.dumps(payload).encode()
        if fault == "timeout":
            time.sleep(1.0)
        elif fault == "torn":
            data = data[: len(data) // 2]
        if fault == "reset":
            reset(http, data)
        elif fault == "drip":
            _drip(http, data)
        else:
            send(http, 200, data)

    def complete(
        self,
        fault: str,
        question: str,
        body: dict[str, Any],
        headers: dict[str, str],
        discount: float = 1.0,
    ) -> dict[str, Any]:
        """The completion that answers `body`, billed times `discount`."""
        prompt = "\n".join(message["content"] for message in body["messages"])
        content = self._content(question, fault, "JSON object" in prompt)
        if fault == "echo":
            content = json.dumps({"reasoning": f"You sent {headers['authorization']}."})
        tokens = self.model.logprobs(prompt, content)
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        finish = "stop"
        if fault == "length" or len(tokens) > limit:
            tokens = tokens[: min(limit, len(tokens) // 2)]
            finish = "length"
            content = b"".join(data for data, *_ in tokens).decode(errors="ignore")
        usage = {"prompt_tokens": self.model.count(prompt), "completion_tokens": len(tokens)}
        with self.lock:
            self.usd += discount * usage["prompt_tokens"] * PROMPT_USD / 1e6
            self.usd += discount * usage["completion_tokens"] * COMPLETION_USD / 1e6
        payload = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": self.answers_as,
            "system_fingerprint": self.fingerprint,
            "choices": [_choice(fault, content, tokens, finish)],
            "usage": usage,
        }
        if fault == "empty":
            payload["choices"] = []
        if fault == "nousage":
            del payload["usage"]
        self.rework(body, payload)
        return payload

    def _content(self, question: str, fault: str, as_json: bool) -> str:
        reasoning, answer = self.script(question)
        if fault == "prose":
            return f"{reasoning} So it is {answer}."
        if as_json:
            return json.dumps({"reasoning": reasoning, "final_answer": answer})
        return f"<<<REASONING>>>\n{reasoning}\n<<<FINAL ANSWER>>>\n{answer}\n<<<END>>>"


def status_error(fault: str, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """The status and the body of an error to order."""
    status, code, message = STATUS_FAULTS[fault]
    # Real servers do this to whoever sent a wrong key.
    message += f" (request was sent with {headers.get('authorization')})"
    return status, {"error": {"message": message, "type": "error", "code": code, "param": None}}


def _choice(
    fault: str, content: str, tokens: list[tuple[bytes, float, bytes, float]], finish: str
) -> dict[str, Any]:
    with_bytes = fault != "nobytes"
    entries = [
        {
            **_entry(data, -0.0 if fault == "certain" else logprob, with_bytes),
            "top_logprobs": [_entry(best, best_logprob, with_bytes)],
        }
        for data, logprob, best, best_logprob in tokens
    ]
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
    logprobs: dict[str, Any] | None = {"content": entries, "refusal": None}
    if fault == "refusal":
        message |= {"content": None, "refusal": "I cannot help with that."}
    elif fault == "filter":
        message["content"], finish = None, "content_filter"
    elif fault == "shifted":
        entries.pop(0)
    if fault in {"nologprobs", "refusal", "filter"}:
        logprobs = None
    return {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": finish}


def _entry(data: bytes, logprob: float, with_bytes: bool) -> dict[str, Any]:
    text = data.decode(errors="replace")
    return {"token": text, "logprob": logprob, "bytes": list(data) if with_bytes else None}


def send(
    http: BaseHTTPRequestHandler, status: int, data: bytes, headers: dict[str, str] | None = None
) -> None:
    """Answer with JSON, unless `headers` say otherwise."""
    http.send_response(status)
    for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
        http.send_header(name, value)
    http.send_header("Content-Length", str(len(data)))
    http.end_headers()
    http.wfile.write(data)


def reset(http: BaseHTTPRequestHandler, data: bytes) -> None:
    """Break the connection in the middle of an answer."""
    http.send_response(200)
    http.send_header("Content-Type", "application/json")
    http.send_header("Content-Length", str(len(data)))
    http.end_headers()
    http.wfile.write(data[: len(data) // 2])
    http.wfile.flush()
    # Closing with nothing to linger for sends a reset rather than an end.
    http.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    http.close_connection = True
    http.connection.close()


def _drip(http: BaseHTTPRequestHandler, data: bytes) -> None:
    http.send_response(200)
    http.send_header("Content-Type", "application/json")
    http.send_header("Content-Length", str(len(data)))
    http.end_headers()
    for byte in data:
        http.wfile.write(bytes([byte]))
        http.wfile.flush()
        time.sleep(0.05)
