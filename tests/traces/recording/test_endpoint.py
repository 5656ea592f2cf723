import pytest

from dataselect.errors import InputError
from dataselect.traces.recording.endpoint import Endpoint

KEY = "sk-secret-0123456789"


def test_openai_is_the_default_and_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    endpoint = Endpoint("gpt-4o")
    assert (endpoint.host, endpoint.is_openai) == ("api.openai.com", True)
    with pytest.raises(InputError, match=r"OPENAI_API_KEY: .* no key for OpenAI; set it"):
        endpoint.read_key()


def test_another_server_may_need_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    endpoint = Endpoint("m", "http://localhost:8000/v1")
    assert (endpoint.host, endpoint.is_openai) == ("localhost:8000", False)
    assert endpoint.read_key()


def test_the_key_is_read_when_needed_and_kept_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_KEY", f"{KEY}\n")
    endpoint = Endpoint("m", "https://example.org/v1", key_variable="OTHER_KEY")
    assert endpoint.read_key() == KEY
    assert KEY not in repr(endpoint)
    assert KEY not in repr(vars(endpoint))


@pytest.mark.parametrize("value", ["“sk-secret”", "sk secret", "sk\nsecret"])
def test_an_invalid_key_is_refused_without_showing_it(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", value)
    with pytest.raises(InputError, match="cannot be a key") as caught:
        Endpoint("gpt-4o").read_key()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["localhost:8000", "ftp://host/v1", "http://", "http://[::1", "http://h:x/v1", "http://a b"],
)
def test_an_invalid_address_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="--base-url"):
        Endpoint("m", url)


@pytest.mark.parametrize("url", ["https://user:hidden@host/v1", "https://host/v1?key=hidden"])
def test_an_address_with_a_secret_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(InputError, match="password or query") as caught:
        Endpoint("m", url)
    assert "hidden" not in str(caught.value)
