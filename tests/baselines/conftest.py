"""A tiny budget: a step takes milliseconds."""

import pytest

from parallax.case import Budget


@pytest.fixture
def budget():
    return Budget(steps=6, batch=2, patch=(16, 16, 16), widths=(4, 8), checkpoint_every_s=0.0)
