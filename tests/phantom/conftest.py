"""Subjects of all families, made once for all tests of phantoms."""

import pytest
from made import FAMILIES, make


@pytest.fixture(scope="session")
def made():
    """Family to a list of `Made`, seed 0, subjects from 0."""
    return {family: [make(family, 0, i) for i in range(row[-1])] for family, row in FAMILIES.items()}


@pytest.fixture(scope="session")
def subjects(made):
    """Family to a list of `Subject`."""
    return {family: [one.subject for one in several] for family, several in made.items()}
