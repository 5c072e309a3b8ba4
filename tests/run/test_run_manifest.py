import pytest

from parallax.plugin import method_cards, plugin_root
from parallax.run.manifest import method_hashes
from parallax.run.setup import read_setup
from parallax.run.source import source_hash


@pytest.mark.parametrize("name", ["quick", "smoke"])
def test_the_code_of_every_method_is_named(name):
    setup = read_setup(plugin_root() / "config" / f"{name}.yaml")
    hashes = method_hashes(setup.config.model_dump(exclude_none=True))
    assert set(hashes) == {run.method for run in setup.plan.runs}
    assert hashes["cmc"] == source_hash(method_cards()["cmc"].path)
