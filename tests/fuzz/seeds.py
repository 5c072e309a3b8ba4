"""What the fuzzer starts from: good files of every kind, and the words that they are made of."""

import json

import nibabel as nib
import numpy as np
import yaml
from corpus import configs
from corpus.files import blocks, nifti, patched, qform_alone, ramp
from corpus.headers import ODD
from corpus.images import meta_image, nrrd_image
from fuzz.targets import CONFIGS, LISTS, VOLUMES, packed
from tidy import toy_rows

from parallax.plugin import dataset_cards, method_cards, plugin_root
from parallax.run.config import RunConfig
from parallax.score.table import COLUMNS, UNVALUED, VALUED, write_rows

CASES = "case,patient,CT,MR,CT_label,MR_label\na,p,a_CT.nii,a_MR.nii,a_l.nii,a_l.nii\nb,,b_CT.nii.gz,,,\n"
DATALIST = {
    "training": [{"case": "a", "patient": "p", "image": ["a_CT.nii", "a_MR.nii"], "label": "a_l.nii"}],
    "validation": [{"id": "b", "image": ["b_0000.nii.gz", None], "label": [None, None]}],
}
NNUNET = {
    "channel_names": {"0": "CT", "1": "MR"}, "labels": {"background": 0, "liver": 1},
    "file_ending": ".nii.gz", "numTraining": 1,
}  # fmt: skip
SPLIT = "case,patient,part\na,p,train\nb,,validation\nc,,test\n"
CONFIG_FILES = ("config/quick.yaml", "config/smoke.yaml", "config/few-labels.yaml")
SETTINGS = "methods=cmc,supervised\ndatasets={phantom_heart: {split: {train: 4, test: 2}}}\nrun=other"
HEADERS = (
    "NDims = ", "DimSize = ", "ElementSpacing = ", "TransformMatrix = ", "Offset = ",
    "ElementType = MET_FLOAT", "ElementDataFile = LOCAL", "CompressedData = True", "NRRD0004",
    "dimension: ", "sizes: ", "kinds: ", "space directions: ", "space origin: ", "encoding: gzip", "endian: big", "type: float",
    "nan", "inf", "1e300",
)  # fmt: skip


def seeds(target, folder):
    """Good inputs of a target, by name; `folder` is for files on the way."""
    makers = {"volumes": _volumes, "lists": _lists, "config": _configs, "metrics": _metrics}
    return _table(folder) if target == "table" else makers[target]()


def words(target):
    """Texts that an input of a target holds, each of at most 60 characters."""
    by_target = {
        "volumes": HEADERS,
        "lists": [
            *_keys(DATALIST),
            *_keys(NNUNET),
            *CASES.replace("\n", ",").split(","),
            "train",
            "test",
            "..",
        ],
        "config": [
            *_schema_words(),
            *method_cards(),
            *dataset_cards(),
            "null",
            "1e-3",
            ".nan",
            ".inf",
            "<<: *a",
        ],
        "table": [*COLUMNS, *VALUED, *UNVALUED, "nan", "inf", "1e999", '"', '""'],
        "metrics": [],
    }
    return sorted({word for word in by_target[target] if 0 < len(word) <= 60})


def dictionary(target):
    """The words as libFuzzer reads them."""
    return "".join(f"{json.dumps(word)}\n" for word in words(target))


def _marked(kinds, kind, content):
    return bytes([kinds.index(kind)]) + content


def _volumes():
    made = {
        "int16": nifti(), "float32": nifti(ramp().astype(np.float32)), "labels": nifti(blocks((1, 2))),
        "scaled": patched(nifti(), scl_slope=0.5, scl_inter=-3.0), "qform": qform_alone(nifti()),
        "nifti2": nifti(kind=nib.Nifti2Image),
    } | {name: content() for name, (_, content, _) in ODD.items()}  # fmt: skip
    a, b, c, d, e, f = range(len(VOLUMES))
    contents = {f"{name}-{kind}": (kind, content) for name, content in made.items() for kind in (a, b)}
    contents["packed"] = c, packed(nifti())
    contents["pair"] = d, patched(nifti(), magic=b"ni1\0", vox_offset=0.0)[:352]
    contents |= {"meta": (e, meta_image({}, 240)), "nrrd": (f, nrrd_image({}, 240))}
    return {name: bytes([kind]) + content for name, (kind, content) in contents.items()}


def _lists():
    texts = (CASES, json.dumps(DATALIST), json.dumps(NNUNET), SPLIT)
    made = {kind: _marked(LISTS, kind, text.encode()) for kind, text in zip(LISTS, texts, strict=True)}
    return made | {"decathlon": _marked(LISTS, "dataset.json", json.dumps(NNUNET | DATALIST).encode())}


def _configs():
    texts = {path: (plugin_root() / path).read_text(encoding="utf-8") for path in CONFIG_FILES}
    texts["every-key"] = yaml.safe_dump(configs.FULL, sort_keys=False)
    made = {
        name.replace("/", "-"): _marked(CONFIGS, "run.yaml", text.encode()) for name, text in texts.items()
    }
    return made | {"settings": _marked(CONFIGS, "--config", SETTINGS.encode())}


def _table(folder):
    write_rows(toy_rows(2), folder / "seed.csv")
    lines = (folder / "seed.csv").read_bytes().splitlines(keepends=True)
    return {"few": b"".join(lines[:3]), "all-statuses": b"".join([lines[0], *lines[-12::4], lines[-1]])}


def _metrics():
    rng = np.random.default_rng(0)
    drawn = {f"drawn-{n}": rng.integers(0, 255, 6 + n, np.uint8).tobytes() for n in (8, 64, 250)}
    return drawn | {
        "whole": b"\4" * 6 + b"\1" * 250,
        "apart": b"\3" * 6 + b"\1" + bytes(62) + b"\1" + bytes(62),
    }


def _keys(values):
    if isinstance(values, dict):
        return [*values, *(key for value in values.values() for key in _keys(value))]
    return [key for value in values for key in _keys(value)] if isinstance(values, list) else []


def _schema_words():
    schema = RunConfig.model_json_schema()
    blocks_ = (schema, *schema["$defs"].values())
    named = [key for block in blocks_ for key in block["properties"]]
    choices = [
        word for block in blocks_ for entry in block["properties"].values() for word in entry.get("enum", ())
    ]
    return [f"{key}:" for key in named] + choices
