"""What counting words tells about a text: the likelihood of traces under its n-gram model.

The baseline of every proxy: it needs no training, and minutes of a CPU.
"""

from dataselect.counting.counted import (
    ORDERS,
    SCORES,
    Questions,
    Text,
    Want,
    column,
    find_counted,
    is_counted,
)

__all__ = ["ORDERS", "SCORES", "Questions", "Text", "Want", "column", "find_counted", "is_counted"]
