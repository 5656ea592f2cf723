"""The most probable token is that of torch's arg-max, with its probability."""

import pytest
import torch

from dataselect.scoring.most_probable import most_probable


@pytest.mark.parametrize("words", [5, 2047, 2048, 2049, 3072, 5000])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_it_is_the_largest_of_softmax(words: int, scale: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(70, words) * scale
    logits[0, -1] = logits[1, 0] = logits[2, words // 2] = 200
    chances, tokens = logits.double().softmax(-1).max(-1)
    found, probabilities = most_probable(logits)
    assert found.tolist() == tokens.tolist()
    torch.testing.assert_close(probabilities.double(), chances, atol=1e-6, rtol=2e-6)
    assert probabilities.max() <= 1


@pytest.mark.parametrize("words", [50, 5000])
def test_of_equal_ones_the_first_is_taken(words: int) -> None:
    logits = torch.zeros(3, words)
    logits[0, [7, 8, -1]] = logits[1, [words - 2, words - 1]] = 1
    assert most_probable(logits)[0].tolist() == [7, words - 2, 0]


@pytest.mark.parametrize("words", [50, 5000])
def test_a_nan_stays_in_its_row(words: int) -> None:
    logits = torch.zeros(3, words)
    logits[1, words // 2] = float("nan")
    _, probabilities = most_probable(logits)
    assert probabilities.isnan().tolist() == [False, True, False]
