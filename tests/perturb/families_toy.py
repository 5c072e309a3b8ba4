"""What the tests of all families of misalignment share."""

import json

import numpy as np

from parallax.perturb import families
from parallax.perturb.level import Level, donors_for, parameters_for

#: A level of each family that changes something, in a case of 30 x 28 mm in-plane and 60 mm of height.
LEVELS = {
    "rigid": Level("s", "MR", 7.0),
    "elastic": Level("s", "MR", 4.0, family="elastic"),
    "respiratory": Level("s", "MR", 6.0, family="respiratory"),
    "composite": Level("s", "MR", 6.0, family="composite"),
    "fov": Level("s", "MR", family="fov", covered_fraction=0.7),
    "spacing": Level("s", "MR", family="spacing", slice_factor=1.5),
    "subject": Level("s", "MR", family="subject", swapped_fraction=1.0),
}


def draw(case, level, seed=0, donor=None):
    """Parameters of one case."""
    return parameters_for(case, level, np.random.default_rng(seed), donor=donor, swapped_fraction=1.0)


def replayed(parameters):
    """The same parameters by way of a JSON file."""
    return families.from_json(json.loads(json.dumps(families.to_json(parameters))))


def donors(cases, level, seed=0):
    """Donor by case of a part whose cases hold both modalities and their labels."""
    held = {name: {"modalities": ["CT", "MR"], "labelled": ["CT", "MR"]} for name in cases}
    return donors_for(held, level, np.random.default_rng(seed))
