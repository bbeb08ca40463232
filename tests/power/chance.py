"""Chance that can be had again."""

import random


def dice_of(seed: object) -> random.Random:
    """The same throws for the same seed."""
    return random.Random(str(seed))  # noqa: S311 - it chooses stories, not secrets
