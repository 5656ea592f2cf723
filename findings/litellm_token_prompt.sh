#!/usr/bin/env bash
# litellm 1.104.8: a completion's prompt of token ids is not passed on to a server that takes them.
#
# Expected before looking: OpenAI's /v1/completions takes a prompt as text or as token ids, vLLM's too, so
# LiteLLM in front of either passes both on.
# Seen: a text reaches the server, and so does a list of token ids with the provider openai. With hosted_vllm
# such a list ends in "Unmapped prompt format. Your prompt is neither a list of strings nor a string" before
# anything is sent. The proxy answers HTTP 500 with it, which reads like a fault that may pass.
#
# Exits with 1 if this is no longer so. Needs python3 and a package index; makes a temporary folder.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "litellm==1.104.8"
cd "$work"
LITELLM_LOCAL_MODEL_COST_MAP=True NO_PROXY=127.0.0.1 "$work/venv/bin/python" - <<'PY'
import importlib.metadata
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import litellm

prompts = []


class Completions(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompts.append(body["prompt"])
        choice = {"index": 0, "text": "!", "finish_reason": "stop", "logprobs": None}
        usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
        answer = {"id": "1", "object": "text_completion", "created": 0, "model": "m"}
        data = json.dumps({**answer, "choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Completions)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("litellm", importlib.metadata.version("litellm"))
seen = {}
for provider in ("hosted_vllm", "openai"):
    for prompt in ("One two", [101, 102, 103]):
        prompts.clear()
        said = "answered"
        try:
            litellm.text_completion(
                model=f"{provider}/m",
                prompt=prompt,
                max_tokens=1,
                num_retries=0,
                api_base=f"http://127.0.0.1:{server.server_port}/v1",
                api_key="none",
            )
        except Exception as error:
            said = f"{type(error).__name__}: {str(error)[:120]}"
        seen[provider, type(prompt).__name__] = list(prompts)
        print(f"{provider}, prompt {prompt!r}: the server got {prompts}; {said}")
kept = {(provider, "str"): ["One two"] for provider in ("hosted_vllm", "openai")}
lost = {("hosted_vllm", "list"): [], ("openai", "list"): [[101, 102, 103]]}
raise SystemExit(seen != kept | lost)
PY
