"""What options of scripts take: each function reads one word, and raises ValueError where it is none of its kind."""


def seconds(word: str) -> float:
    """A duration above 0."""
    return amount(word)


def amount(word: str) -> float:
    """A number above 0."""
    number = float(word)
    if not 0 < number < float("inf"):
        raise ValueError(word)
    return number


def count(word: str) -> int:
    """A whole number from 1."""
    number = int(word)
    if number < 1:
        raise ValueError(word)
    return number


def port(word: str) -> int:
    """A port's number; 0: any that is free."""
    number = int(word)
    if not 0 <= number < 2**16:
        raise ValueError(word)
    return number
