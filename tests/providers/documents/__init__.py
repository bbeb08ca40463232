"""The providers' documents as a table: each example and each documented error, as steps to play.

A case is one section's example; its steps are calls that a client makes, one after the other, with
what the provider answers to each. Bodies are the documents' own bytes, spaces and all. Where a
document describes an answer in words alone, the words are its, and the form is that of its kind.
"""

from collections import Counter
from typing import Final

from tests.providers.documents import blockrun, pomex, sunra
from tests.providers.documents.cases import Case, Step

CASES: Final[tuple[Case, ...]] = (*blockrun.CASES, *sunra.CASES, *pomex.CASES)

SECTIONS: Final[dict[str, tuple[str, ...]]] = {
    "blockrun": blockrun.SECTIONS,
    "sunra": sunra.SECTIONS,
    "pomex": pomex.SECTIONS,
}
"""Every section of the documents that shows a request, an answer or an error, in their order."""

FACTS: Final[dict[str, tuple[str, ...]]] = {
    "blockrun": blockrun.FACTS,
    "sunra": sunra.FACTS,
    "pomex": pomex.FACTS,
}
"""What the providers' public pages say besides, by what it is about."""


def covered(provider: str) -> Counter[str]:
    """How many cases each section of a provider's has."""
    return Counter(case.section for case in CASES if case.provider == provider)


__all__ = ["CASES", "FACTS", "SECTIONS", "Case", "Step", "covered"]
