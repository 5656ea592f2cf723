"""Where a frontier model is, and the key that opens it.

The key comes from the environment and stays there: it is in no field, so that no file, message
or log that shows an endpoint can show it. An address that holds one is refused for the same
reason. Not here: sending requests (client).
"""

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from dataselect.errors import InputError

OPENAI_URL = "https://api.openai.com/v1"
_OPENAI_HOST = "api.openai.com"
_NO_KEY = "none"


@dataclass(frozen=True)
class Endpoint:
    """Where the frontier model is and how it is asked.

    `base_url` is OpenAI's own when None. `key_variable` names the environment variable with the
    key; servers other than OpenAI's may need none. A request ends after `timeout_seconds` in
    all; trouble that may pass is tried `attempts` times in a row, with waits that double from
    `first_wait_seconds`. Raises InputError for an address that is none or that holds a password.
    """

    model: str
    base_url: str | None = None
    key_variable: str = "OPENAI_API_KEY"
    timeout_seconds: float = 60.0
    concurrency: int = 8
    attempts: int = 8
    first_wait_seconds: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        assert self.concurrency >= 1
        assert self.attempts >= 1
        try:
            parts = urlsplit(self.url)
            whole = parts.scheme in {"http", "https"} and bool(parts.hostname)
            whole = whole and parts.port != 0 and not any(map(str.isspace, self.url))
        except ValueError:
            whole = False
        if not whole:
            fix = "write it like http://localhost:8000/v1"
            raise InputError("--base-url", "it is not an http or https address", fix)
        if "@" in parts.netloc or parts.query:
            raise InputError(
                "--base-url",
                "it holds a password or a query, which would be seen where it is named",
                f"put the key into the environment variable {self.key_variable}",
            )

    @property
    def url(self) -> str:
        """The address that requests go to."""
        return OPENAI_URL if self.base_url is None else self.base_url

    @property
    def host(self) -> str:
        """The server's name with its port, which is what files and messages call it."""
        return urlsplit(self.url).netloc

    @property
    def is_openai(self) -> bool:
        """Whether the server is OpenAI's own."""
        return self.host == _OPENAI_HOST

    def read_key(self) -> str:
        """The key, from the environment; a placeholder for servers that need none.

        Raises InputError when OpenAI's own server is meant and there is no key, or when what is
        there cannot be one.
        """
        key = os.environ.get(self.key_variable, "").strip()
        if not key and self.is_openai:
            raise InputError(
                self.key_variable,
                "this environment variable has no key for OpenAI",
                f"set it (export {self.key_variable}=…), or name another server with --base-url",
            )
        if not key.isascii() or not key.isprintable() or " " in key:
            raise InputError(
                self.key_variable,
                "what is in this environment variable cannot be a key",
                "copy the key again, without spaces or quotes",
            )
        return key or _NO_KEY
