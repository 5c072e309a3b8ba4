"""What the properties that Hypothesis tries share; docs/bad-input.md says how to try more."""

from hypothesis import settings

from parallax.errors import UserError


def examples(count):
    """So many examples by default, and as many times more as the profile has."""
    return settings(max_examples=count * settings().max_examples // 100)


def answer(function, *given):
    """What the function returns, or the mistake of the user's that it names."""
    try:
        return function(*given)
    except UserError as error:
        return error


def clear(error):
    """Whether the error of a user's mistake says what to do, in one paragraph of characters that print."""
    return bool(error.remedy) and str(error).isprintable() and len(str(error)) < 8000
