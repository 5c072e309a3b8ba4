"""What the properties that Hypothesis tries share; docs/bad-input.md says how to try more."""

from hypothesis import settings


def examples(count):
    """So many examples by default, and as many times more as the profile has."""
    return settings(max_examples=count * settings().max_examples // 100)
