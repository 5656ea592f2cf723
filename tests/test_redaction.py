"""A planted key is found in the usual disguises, and ordinary text is left as it is."""

import base64
import random

import pytest
import spelt_keys
from spelt_keys import KINDS

from dataselect.errors import IncompleteError, InputError
from dataselect.redaction import mask, without_secrets

KEY = "zk-Proj4_Qw8Lm2Xv7Nt5Rb9Hc3Yd6Gf1"


def spelt(kind: str) -> str:
    return spelt_keys.spelt(kind, KEY)


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_found_in_each_spelling_and_the_rest_stays(kind: str) -> None:
    masked = mask(f"the server says: {spelt(kind)}! Ask again.", KEY)
    assert masked.replace('"', "") == "the server says: [key]! Ask again."


@pytest.mark.parametrize("before", ["", "x", "ab", "Bearer ", "user:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_key_is_found_in_base64_at_each_alignment(before: str, encode: object) -> None:
    coded = encode(f"{before}{KEY} and more".encode()).decode()  # type: ignore[operator]
    masked = mask(f"saw {coded}", KEY)
    assert "[key]" in masked
    left = masked.replace("[key]", "")
    # What is left says nothing of it but letters that it shares with what is beside it.
    assert not any(
        left[at : at + 4] in coded[-(-len(before) * 8 // 6) : -8] and len(left) > 30
        for at in range(len(left) - 3)
    )
    assert len(left) < len("saw ") + 4 * len(before) / 3 + 18


def test_a_key_is_found_in_random_places_of_random_text() -> None:
    draw = random.Random(0)
    letters = "abcdefgh ijk\n%{}\\\"'lmno0123456789"
    for _ in range(200):
        kind = draw.choice([each for each in KINDS if each != "percent twice"])
        around = ["".join(draw.choices(letters, k=draw.randrange(60))) + " . " for _ in range(2)]
        masked = mask(around[0] + spelt(kind) + " ." + around[1], KEY)
        assert masked.count("[key]") == 1, (kind, around)


@pytest.mark.parametrize("text", ["", "100% of \\n it", "a key", KEY[:11], "zk-Proj4", "0" * 40])
def test_what_is_no_key_stays(text: str) -> None:
    assert mask(text, KEY) == text


def test_short_values_are_no_secrets_and_rows_of_zeros_no_parts() -> None:
    assert mask("EMPTY none", "EMPTY") == "EMPTY none"
    zeros = "0" * 20
    assert mask(zeros[:12], zeros) == zeros[:12]
    assert mask(f"a {zeros} b", zeros) == "a [key] b"
    assert mask("x pass-word-1 y", "Pass-Word-1") == "x [key] y"


def test_no_error_tells_a_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_API_KEY", KEY)
    for kind in KINDS:
        for error in (
            InputError("file.yaml", f"it says {spelt(kind)}", f"remove {spelt(kind)}"),
            IncompleteError(f"host: {spelt(kind)} failed"),
        ):
            assert "[LAB_API_KEY]" in str(error)
            assert mask(str(error), KEY) == str(error)


def test_a_variable_that_names_a_place_is_no_secret() -> None:
    names = {"WEB_TOKEN_FILE": "/run/secret-token-file", "HOME_KEY": "/usr/bin/env"}
    text = "/run/secret-token-file and /usr/bin/env"
    assert without_secrets(text, names) == text
    address = "https://user:word@host/a?signature=b#c"
    assert without_secrets(address, {}) == "https://host/a"
