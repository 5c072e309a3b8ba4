"""Subjects of all families at the size of the default run, painted once for all tests."""

from dataclasses import dataclass
from unittest.mock import patch

from parallax.phantom import abdomen, heart, orbit
from parallax.phantom.canvas import Painted
from parallax.phantom.sampling import abdomen_size, heart_size, orbit_size
from parallax.phantom.subject import Subject

#: Family to (module, name of its painter, maker, size table, how many subjects).
FAMILIES = {
    "heart": (heart, "paint_heart", heart.heart_subject, heart_size, 6),
    "abdomen": (abdomen, "paint_abdomen", abdomen.abdomen_subject, abdomen_size, 6),
    "orbit": (orbit, "paint_orbits", orbit.orbit_subject, orbit_size, 5),
}


@dataclass(frozen=True)
class Made:
    """A subject and the anatomy that it was scanned from."""

    painted: Painted
    subject: Subject

    def pure(self, tissue):
        """Voxels that hold nothing but this tissue."""
        wanted = [float(name == tissue) for name in self.painted.names]
        return self.painted.mixed(wanted) > 0.999


def make(family, seed, number, size="default"):
    """One subject with its anatomy, which is painted once."""
    module, painter, maker, table, _ = FAMILIES[family]
    grid = next(iter(table(size).scans.values())).grid
    painted = getattr(module, painter)(grid, seed, number)
    with patch.object(module, painter, return_value=painted):
        return Made(painted, maker(grid, seed, number))
