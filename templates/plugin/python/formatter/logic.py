"""Marks citations by letters."""


def letters(number: int, capital: bool) -> str:
    """The letters of a number from 1: a to z, then aa, ab and so on."""
    written = ""
    while number > 0:
        number, digit = divmod(number - 1, 26)
        written = chr(ord("A" if capital else "a") + digit) + written
    return written
