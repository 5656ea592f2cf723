"""A completions server that reads given token ids, with the habits of the servers there are.

It serves a model folder with its real log-probabilities. `habits` change it:

- "no-prompt-logprobs" and "no-echo" drop a way silently; "refuse-ids" takes no token ids;
- "off-by-one" echoes each token's value in the row behind it (llama-cpp-python), "shifted" the
  value of the token behind;
- "bos" puts a token in front of what it was sent; "other" reads with another model; "flat" gives 0
  everywhere;
- "texts-only" names generated tokens by their texts; "no-unknown" refuses parameters that the API
  does not have.

`faults` are statuses for the next requests behind the probe's first one that weighs.
"""

import json
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from completions_server import send
from local_server import LocalServer

FROM_VLLM = {"prompt_logprobs", "return_tokens_as_token_ids"}


class GivenTextServer(LocalServer):
    """Serves `/v1/completions` on a free local port; use it as a context manager.

    `context` is the longest prompt in tokens. `requests` are the bodies that came.
    """

    def __init__(
        self,
        folder: Path,
        habits: Sequence[str] = (),
        *,
        context: int = 1024,
        other: Path | None = None,
    ) -> None:
        from dataselect.scoring.loading import load_model

        self.habits, self.context = set(habits), context
        self.requests: list[dict[str, Any]] = []
        self.faults: list[int] = []
        loaded = load_model(folder, "cpu", "float32")
        self.model, self.tokenizer = loaded.model, loaded.tokenizer
        self.reader = self.model if other is None else load_model(other, "cpu", "float32").model
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, payload = server.answer(body)
                send(self, status, json.dumps(payload).encode())

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler)

    @property
    def weighed(self) -> list[dict[str, Any]]:
        """The requests that weigh, those of the probe among them."""
        return [body for body in self.requests if "prompt_logprobs" in body or body.get("echo")]

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and JSON for one request."""
        import torch

        with self._lock, torch.inference_mode():
            self.requests.append(body)
            if "refuse-ids" in self.habits:
                return 400, _error("prompt must be a string")
            if "no-unknown" in self.habits and FROM_VLLM & body.keys():
                name = min(FROM_VLLM & body.keys())
                return 400, _error(f"Unrecognized request argument supplied: {name}")
            if self.faults and len(self.weighed) > 1:
                return self.faults.pop(0), _error("the server had an error")
            if len(body["prompt"]) >= self.context:
                return 400, _error(f"maximum context length is {self.context} tokens")
            return 200, self._complete(body)

    def _complete(self, body: dict[str, Any]) -> dict[str, Any]:
        ids = list(body["prompt"])
        if "bos" in self.habits:
            ids = [0, *ids]
        generated, values = self._generate(ids, body["max_tokens"])
        choice: dict[str, Any] = {"index": 0, "text": self.tokenizer.decode(generated)}
        if body.get("logprobs") is not None:
            names = [f"token_id:{token}" for token in generated]
            if "texts-only" in self.habits or not body.get("return_tokens_as_token_ids"):
                names = [self.tokenizer.decode([token]) for token in generated]
            choice["logprobs"] = {"tokens": names, "token_logprobs": values}
        given = self._given(ids)
        if body.get("echo") and "no-echo" not in self.habits:
            if "off-by-one" in self.habits:
                given = self._given(ids, 0)[1:]
            elif "shifted" in self.habits:
                given = [*given[1:], -1.0]
            choice["logprobs"]["token_logprobs"] = [None, *given, *values]
            choice["text"] = self.tokenizer.decode([*ids, *generated])
        if "prompt_logprobs" in body and "no-prompt-logprobs" not in self.habits:
            pairs = zip(ids[1:], given, strict=True)
            entries = [
                {str(token): {"logprob": value, "decoded_token": self.tokenizer.decode([token])}}
                for token, value in pairs
            ]
            choice["prompt_logprobs"] = [None, *entries]
        usage = {"prompt_tokens": len(ids), "completion_tokens": len(generated)}
        return {"model": "served-1", "choices": [choice], "usage": usage, "system_fingerprint": "f"}

    def _generate(self, ids: list[int], count: int) -> tuple[list[int], list[float]]:
        import torch

        generated: list[int] = []
        values: list[float] = []
        for _ in range(count):
            logits = self.model(torch.tensor([[*ids, *generated]])).logits[0, -1].double()
            log_probs = logits.log_softmax(-1)
            token = self._likeliest(log_probs.argsort(descending=True).tolist(), generated)
            generated.append(token)
            values.append(0.0 if "flat" in self.habits else float(log_probs[token]))
        return generated, values

    def _likeliest(self, order: list[int], generated: list[int]) -> int:
        """The first token after which the text is one that its tokenizer would cut so.

        A random model would write halves of characters, which no real one does.
        """
        for token in order:
            text = self.tokenizer.decode([*generated, token])
            cut = [*self._cut("?"), *generated, token]
            if text.isascii() and token and self._cut(f"?{text}") == cut:
                return token
        raise AssertionError("no token fits")

    def _cut(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _given(self, ids: list[int], before: int = 1) -> list[float]:
        """Each token's value in the row `before` places ahead of it."""
        import torch

        if "flat" in self.habits:
            return [0.0] * (len(ids) - before)
        rows = self.reader(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        count = len(ids) - before
        found: list[float] = rows[torch.arange(count), torch.tensor(ids[before:])].tolist()
        return found


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "error", "code": None, "param": None}}
