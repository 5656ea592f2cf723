"""Sources that are mixtures of texts: their tokens, their bounds, and what trainers read."""

import math
from typing import Any

import numpy as np
import pytest

from dataselect.errors import InputError
from dataselect.mixture.constraints import read_limits
from dataselect.mixture.exports import notes_on_texts, texts_of

SOURCES = ("old", "code", "new")
GIVEN: dict[str, Any] = {
    "target_tokens": "1T",
    "sources": {
        "old": {"parts": {"web": 6, "code": 4}},
        "web": {"tokens": "600B", "tokens_per_document": 1000, "path": "/web"},
        "code": {"tokens": "100B", "tokens_per_document": 500},
        "new": {"tokens": "50B", "tokens_per_document": 800},
    },
}


def test_tokens_and_lengths_of_a_mixture_follow_from_its_texts() -> None:
    limits = read_limits(GIVEN, SOURCES, [], {})
    assert limits.parts == {"old": {"web": 0.6, "code": 0.4}}
    # 100B of code are four tenths of 250B; web would do for 1T.
    assert limits.tokens.tolist() == [250e9, 100e9, 50e9]
    # 0.6 / 1000 + 0.4 / 500 documents a token.
    assert limits.tokens_per_document[0] == pytest.approx(1 / 0.0014)
    assert limits.feasible.upper.tolist() == pytest.approx([1.0, 0.4, 0.2])
    without = {"sources": {"old": {"parts": {"web": 6, "code": 4}}, "web": {"tokens": "600B"}}}
    assert math.isnan(read_limits(without, ("old", "new"), [], {}).tokens[0])


def test_trainers_read_texts_and_a_text_in_two_sources_once() -> None:
    limits = read_limits(GIVEN, SOURCES, [], {})
    texts = texts_of(SOURCES, np.array([0.5, 0.4, 0.1]), limits)
    assert [(each.name, each.paths) for each in texts] == [
        ("web", ("/web",)),
        ("code", ("code",)),
        ("new", ("new",)),
    ]
    assert [each.share for each in texts] == pytest.approx([0.3, 0.6, 0.1])
    assert [each.tokens for each in texts] == [600 * 10**9, 100 * 10**9, 50 * 10**9]
    assert notes_on_texts(texts, 10**12, limits) == [
        "old is a mixture: files for trainers name its 2 texts",
        "code would be read 6 times in all that it is part of; 'max_repetition' is 4",
    ]


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"old": {"parts": {"web": 1}, "path": "/x"}}, "sources.old.path: 'old' is a mixture"),
        (
            {"old": {"parts": {"web": 1}}, "web": {"max": 0.1}},
            "sources.web.max: 'web' is a part of 'old' and has no share of its own",
        ),
        (
            {"old": {"parts": {"code": 1}}, "code": {"parts": {"web": 1}}},
            "sources.old.parts.code: 'code' is a mixture itself; name the texts in it",
        ),
        ({"old": {"parts": {"web": 0}}}, "sources.old.parts.web: 0 does not fit"),
        ({"old": {"parts": {}}}, "sources.old.parts"),
        ({"elsewhere": {"tokens": "1B"}}, "'elsewhere' is no source of the model"),
    ],
)
def test_mixtures_that_contradict_themselves_are_refused(
    sources: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as error:
        read_limits({"sources": sources}, SOURCES, [], {})
    assert message in str(error.value)
