"""What all tests of training share: one thread, which makes bits repeatable, and a tokenizer."""

from typing import Any

import pytest
import torch
from tiny_training import tiny_tokenizer


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return tiny_tokenizer()
