"""A comment changes nothing; a statement, here or in a module that is imported, changes the hash."""

from parallax.plugin import plugin_root
from parallax.run.source import source_hash

CODE = "from parallax.errors import UserError\n\n\ndef f():\n    return 1\n"


def _hash(tmp_path, text):
    path = tmp_path / f"{abs(hash(text))}.py"
    path.write_text(text)
    return source_hash(path)


def test_comments_docstrings_and_blank_lines_do_not_count(tmp_path):
    same = CODE.replace("def f():\n", 'def f():\n    """Say one."""\n\n    # because\n')
    assert _hash(tmp_path, CODE) == _hash(tmp_path, same)


def test_statements_count(tmp_path):
    assert _hash(tmp_path, CODE) != _hash(tmp_path, CODE.replace("return 1", "return 2"))


def test_imported_engine_code_counts(tmp_path):
    assert _hash(tmp_path, CODE) != _hash(tmp_path, CODE.replace("parallax.errors", "parallax.case"))


def test_a_method_depends_on_the_engine_but_not_on_another_method():
    from parallax.run.source import _closure

    reached = {p.name for p in _closure(plugin_root() / "baselines" / "supervised.py")}
    assert "network_method.py" in reached
    assert "cmc.py" not in reached
    assert "figures.py" not in reached
