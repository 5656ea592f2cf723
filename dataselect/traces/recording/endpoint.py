"""The address of a frontier model's server, its API key and request settings.

The key is read from the environment and never stored in a field, so that no file, message or log
that shows an endpoint can reveal it. An address with a password or query is refused for the same
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
    """A frontier model behind a server, and how requests are sent to it.

    Raises InputError for an invalid address and one that contains a password or query.
    """

    model: str
    """The model's name on the server."""

    base_url: str | None = None
    """The server's address; None means OpenAI's."""

    key_variable: str = "OPENAI_API_KEY"
    """The environment variable with the key; servers other than OpenAI's may need none."""

    timeout_seconds: float = 60.0
    """Time limit of one request."""

    concurrency: int = 8
    """How many requests are open at once."""

    attempts: int = 8
    """How often a request is sent in total while its failures may be temporary."""

    first_wait_seconds: float = 1.0
    """The wait after the first failure; it doubles with each further one."""

    seed: int = 0
    """The seed in requests and of the jitter of waits."""

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
                "it contains a password or query, which files and messages would show",
                f"put the key into the environment variable {self.key_variable}",
            )

    @property
    def url(self) -> str:
        """The address that requests go to."""
        return OPENAI_URL if self.base_url is None else self.base_url

    @property
    def host(self) -> str:
        """The server's name with its port, which stands for it in files and messages."""
        return urlsplit(self.url).netloc

    @property
    def is_openai(self) -> bool:
        """Whether the server is OpenAI's own."""
        return self.host == _OPENAI_HOST

    def read_key(self) -> str:
        """The key, from the environment; a placeholder for servers that need none.

        Raises InputError when OpenAI's server has no key, and when the value cannot be a key.
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
                "the value of this environment variable cannot be a key",
                "copy the key again, without spaces or quotes",
            )
        return key or _NO_KEY
