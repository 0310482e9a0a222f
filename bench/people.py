"""Invents the people of the benchmark: everything about person N follows from N, here and in `requests.lua`.

So neither side has to carry a list of a million addresses, and every request is about somebody else.
"""

from enum import Enum
from typing import Final

#: Odd numbers below 2**32. N times one of them, modulo 2**32, never repeats for N < 2**32 and jumps about, so the ids
#: lie in no order; for N < 2**21 the product is exact in the floating-point numbers that Lua has.
MULTIPLIERS: Final = (2654435761, 2246822519, 3266489917, 668265263)
WORD: Final = 1 << 32
#: The arithmetic of `requests.lua` is exact up to here.
MOST: Final = 1 << 20

_KINDS: Final = 100


class Story(Enum):
    """What happened to a person after the three consents; one in a hundred each, the rest stay as they are.

    The first four are ways to a no; the others are further facts that a check finds, and the yes stays a yes.
    """

    WITHDREW = "withdrew"
    OBJECTED = "objected"
    RESTRICTED = "restricted"
    SUPPRESSED = "suppressed"
    BOUGHT = "bought"
    TOLD = "told of the right to object"
    CLASSIFIED = "classified"
    #: Found to be the same person as the next number.
    MERGED = "merged"
    STAYED = "stayed"


_STORIES: Final = dict(enumerate((each for each in Story if each is not Story.STAYED), start=1))


def email(number: int) -> str:
    """Return the address of a person, in the form in which it is compared."""
    return f"person{number}@kunde.example"


def external_id(number: int) -> str:
    """Return what the shop's own system calls the person."""
    return f"customer{number}"


def subject_hex(number: int) -> str:
    """Return the 32 hex digits of the person's id."""
    return "".join(f"{number * factor % WORD:08x}" for factor in MULTIPLIERS)


def story(number: int) -> Story:
    """Say what happened to the person."""
    return _STORIES.get(number % _KINDS, Story.STAYED)
