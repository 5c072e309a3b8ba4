"""Lists of cases: CSV, datalist, nnU-Net folder; and the lists of a split."""

import json

import yaml

from corpus.bad_input import BadInput
from corpus.files import blocks, nifti, stored

LIST, OUT, READ = "A list of cases cannot be used", "leads out of its folder", "cannot be read"
NAME = "A case cannot be called that"


def run_config(**changes):
    """A configuration of one method on a folder of scans."""
    return {
        "run": "bad", "methods": ["supervised"], "conditions": [{"labels": [1.0]}],
        "budget": {"steps": 1, "patch": [16, 16, 16], "widths": [4, 8]},
    } | changes  # fmt: skip


def folder_options(folder, **changes):
    return {
        "root": str(folder / "scans"), "manifest": "cases.csv", "modalities": {"CT": {"kind": "ct"}},
        "classes": {"liver": 1}, "spacing_mm": [1, 1, 1],
    } | changes  # fmt: skip


def plan(folder, values):
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return ("parallax", "plan", str(path))


def folder_run(folder, text, name="cases.csv", **options):
    """Write a list of cases beside the scans, and a configuration that reads it."""
    (folder / "scans").mkdir(exist_ok=True)
    (folder / "scans" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    given = folder_options(folder, **({"manifest": name} | options))
    own = {"plugin": "folder", "options": given, "split": {"train": 1, "test": 1}}
    return plan(folder, run_config(datasets={"own": own}))


def _scans(folder):
    """Two good cases, a file above the root, and links: one out, one to a folder above, one to itself."""
    for name in ("a", "b"):
        stored(folder / "scans" / f"{name}.nii.gz", nifti())
        stored(folder / "scans" / f"{name}_l.nii.gz", nifti(blocks((1,))))
    stored(folder / "secret.nii.gz", nifti())
    (folder / "scans" / "link.nii.gz").symlink_to(folder / "secret.nii.gz")
    (folder / "scans" / "up").symlink_to(folder)
    (folder / "scans" / "loop.nii.gz").symlink_to("loop.nii.gz")


def _csv(text):
    def build(folder):
        _scans(folder)
        return folder_run(folder, text if isinstance(text, bytes) else text.replace("{folder}", str(folder)))

    return build


def _json(values):
    def build(folder):
        _scans(folder)
        text = values if isinstance(values, str | bytes) else json.dumps(values)
        return folder_run(folder, text, "list.json")

    return build


def _nnunet(description, **options):
    def build(folder):
        for name in ("a", "b"):
            stored(folder / "scans" / "imagesTr" / f"{name}_0000.nii.gz", nifti())
            stored(folder / "scans" / "labelsTr" / f"{name}.nii.gz", nifti(blocks((1,))))
        if "link" in options:
            path = folder / "scans" / "imagesTr" / "a_0000.nii.gz"
            path.replace(folder / "secret.nii.gz")
            path.symlink_to(folder / "secret.nii.gz")
        text = description if isinstance(description, str | bytes) else json.dumps(description)
        command = folder_run(folder, text, "dataset.json")
        values = yaml.safe_load((folder / "run.yaml").read_text())
        for key in ("modalities", "classes"):
            del values["datasets"]["own"]["options"][key]
        return plan(folder, values) if command else command

    return build


HEAD = "case,CT,CT_label\n"
GOOD = HEAD + "a,a.nii.gz,a_l.nii.gz\n"

#: name: what is wrong, the CSV, what is said.
CSVS = {
    "empty": ("no bytes", "", LIST),
    "columns-alone": ("no case", HEAD, LIST),
    "no-case-column": ("no column case", "CT,CT_label\na.nii.gz,a_l.nii.gz\n", LIST),
    "no-image-column": ("no image", "case,CT_label\na,a_l.nii.gz\n", LIST),
    "unknown-column": ("a column of another task", "case,CT,PET\na,a.nii.gz,b.nii.gz\n", LIST),
    "column-twice": ("a column twice", "case,CT,CT\na,a.nii.gz,b.nii.gz\n", LIST),
    "case-twice": ("a case twice", GOOD + "a,b.nii.gz,b_l.nii.gz\n", "a again"),
    "cell-missing": ("a cell less", HEAD + "a,a.nii.gz\n", "number of cells"),
    "cell-more": ("a cell more", HEAD + "a,a.nii.gz,a_l.nii.gz,x\n", "number of cells"),
    "no-id": ("a case without a name", HEAD + ",a.nii.gz,a_l.nii.gz\n", NAME),
    "id-is-a-path": ("a case called ../a", HEAD + "../a,a.nii.gz,a_l.nii.gz\n", NAME),
    "id-is-dots": ("a case called ..", HEAD + "..,a.nii.gz,a_l.nii.gz\n", NAME),
    "id-with-space": ("a case called 'a b'", HEAD + "a b,a.nii.gz,a_l.nii.gz\n", NAME),
    "id-with-formula": ("a case called =1+1", HEAD + "=1+1,a.nii.gz,a_l.nii.gz\n", NAME),
    "no-image": ("a case without an image", HEAD + "a,,\n", LIST),
    "label-alone": ("a label map without an image", HEAD + "a,,a_l.nii.gz\n", LIST),
    "semicolons": ("semicolons for commas", GOOD.replace(",", ";"), LIST),
    "tabs": ("tabs for commas", GOOD.replace(",", "\t"), LIST),
    "open-quote": ("a quote that is never closed", GOOD + 'b,"b.nii.gz,b_l.nii.gz\n', "line 3"),
    "utf-16": ("UTF-16", GOOD.encode("utf-16"), READ),
    "latin-1": ("a name in Latin-1", GOOD.encode() + "é,b.nii.gz,\n".encode("latin-1"), READ),
    "nul": ("a NUL in a path", HEAD + "a,a\0.nii.gz,a_l.nii.gz\n", ""),
    "binary": ("an image in place of the list", bytes(range(256)) * 8, READ),
    "ten-megabytes": ("a path of ten megabytes", HEAD + f"a,{'x' * 10_000_000},a_l.nii.gz\n", ""),
    "ten-megabyte-column": ("a column of ten megabytes", f"case,{'x' * 10_000_000}\na,b\n", ""),
    "long-path": ("a path of 5000 characters", HEAD + f"a,{'x' * 5000}.nii.gz,\n", "line 2"),
    "absent": ("an image that is not there", HEAD + "a,absent.nii.gz,a_l.nii.gz\n", "absent.nii.gz"),
    "absent-label": ("a label map that is not there", HEAD + "a,a.nii.gz,absent.nii.gz\n", "absent.nii.gz"),
    "a-folder": ("a folder in place of an image", HEAD + "a,.,a_l.nii.gz\n", "line 2"),
    "other-format": ("a list in place of an image", HEAD + "a,cases.csv,a_l.nii.gz\n", "cases.csv"),
    "above": ("a path above the root", HEAD + "a,../secret.nii.gz,a_l.nii.gz\n", OUT),
    "label-above": ("a label map above the root", HEAD + "a,a.nii.gz,../secret.nii.gz\n", OUT),
    "far-above": ("a path to the root of the disk", HEAD + f"a,{'../' * 40}etc/passwd,\n", OUT),
    "absolute": ("an absolute path", HEAD + "a,/etc/passwd,a_l.nii.gz\n", OUT),
    "absolute-scan": ("an absolute path to a scan", HEAD + "a,{folder}/secret.nii.gz,a_l.nii.gz\n", OUT),
    "link-out": ("a link out of the root", HEAD + "a,link.nii.gz,a_l.nii.gz\n", OUT),
    "link-to-folder": ("a link to a folder above", HEAD + "a,up/secret.nii.gz,a_l.nii.gz\n", OUT),
    "link-loop": ("a link to itself", HEAD + "a,loop.nii.gz,a_l.nii.gz\n", "loop.nii.gz"),
    "device": ("a device in place of an image", HEAD + "a,/dev/zero,a_l.nii.gz\n", OUT),
}  # fmt: skip

ITEM = {"image": "a.nii.gz", "label": "a_l.nii.gz"}

#: name: what is wrong, the datalist, what is said.
DATALISTS = {
    "empty": ("no bytes", "", READ),
    "truncated": ("cut short", '{"training": [{"image"', READ),
    "number": ("a number", "5", LIST),
    "list": ("a list", "[]", LIST),
    "no-training": ("no key training", {"testing": [ITEM]}, LIST),
    "training-mapping": ("training is a mapping", {"training": ITEM}, LIST),
    "training-text": ("training is a text", {"training": "a.nii.gz"}, LIST),
    "training-null": ("training is null", {"training": None}, LIST),
    "training-empty": ("training is empty", {"training": []}, LIST),
    "training-number": ("training is a number", {"training": 3}, LIST),
    "item-text": ("an item is a text", {"training": ["a.nii.gz"]}, LIST),
    "item-null": ("an item is null", {"training": [None]}, LIST),
    "item-without-image": ("an item without image", {"training": [{"label": "a_l.nii.gz"}]}, LIST),
    "image-number": ("image is a number", {"training": [{"image": 5, "id": "a"}]}, LIST),
    "image-mapping": ("image is a mapping", {"training": [{"image": {"CT": "a"}, "id": "a"}]}, LIST),
    "image-null": ("image is null", {"training": [{"image": None, "id": "a"}]}, LIST),
    "image-nested": ("image is a list in a list", {"training": [{"image": [["a.nii.gz"]], "id": "a"}]}, LIST),
    "two-images": ("two images of one modality", {"training": [{"image": ["a.nii.gz", "b.nii.gz"]}]}, LIST),
    "two-labels": ("two label maps of one image", {"training": [ITEM | {"label": ["a", "b"]}]}, LIST),
    "label-number": ("label is a number", {"training": [ITEM | {"label": 1}]}, LIST),
    "id-mapping": ("id is a mapping", {"training": [ITEM | {"id": {}}]}, NAME),
    "id-path": ("id is a path", {"training": [ITEM | {"id": "../../a"}]}, NAME),
    "id-long": ("id of ten megabytes", {"training": [ITEM | {"id": "é" * 5_000_000}]}, NAME),
    "case-twice": ("a case twice", {"training": [ITEM, ITEM]}, "a again"),
    "twice-in-parts": ("a case to train and validate on", {"training": [ITEM], "validation": [ITEM]}, "a again"),
    "key-twice": ("a key twice", '{"training": [], "training": [{"image": "a.nii.gz"}]}', "twice"),
    "deep": ("100000 lists in each other", "[" * 100_000 + "]" * 100_000, READ),
    "endless-number": ("a number of 5000 digits", '{"training": ' + "9" * 5000 + "}", READ),
    "latin-1": ("Latin-1", b'{"training": [{"image": "\xe9"}]}', READ),
    "nul": ("a NUL in a path", {"training": [{"image": "a\0.nii.gz", "id": "a"}]}, ""),
    "above": ("a path above the root", {"training": [{"image": "../secret.nii.gz"}]}, OUT),
    "absolute": ("an absolute path", {"training": [{"image": "/etc/passwd", "id": "a"}]}, OUT),
    "link-out": ("a link out of the root", {"training": [ITEM | {"image": "link.nii.gz"}]}, OUT),
    "home": ("a path in the home folder", {"training": [{"image": "~/a.nii.gz", "id": "a"}]}, "a.nii.gz"),
}  # fmt: skip

DESCRIPTION = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "liver": 1},
    "file_ending": ".nii.gz",
}

#: name: what is wrong, what differs from a good dataset.json, what is said.
DESCRIPTIONS = {
    "channels-list": ("channel_names is a list", {"channel_names": ["CT"]}),
    "channels-text": ("channel_names is a text", {"channel_names": "CT"}),
    "channels-null": ("channel_names is null", {"channel_names": None}),
    "channels-empty": ("no channel", {"channel_names": {}}),
    "channel-not-numbered": ("a channel without number", {"channel_names": {"CT": "0"}}),
    "channel-negative": ("channel -1", {"channel_names": {"-1": "CT"}}),
    "channel-huge": ("channel 10^30", {"channel_names": {"1" + "0" * 30: "CT"}}),
    "channel-superscript": ("channel ²", {"channel_names": {"²": "CT"}}),
    "channel-number": ("a channel called 5", {"channel_names": {"0": 5}}),
    "channel-twice": ("two channels of one name", {"channel_names": {"0": "CT", "1": "CT"}}),
    "channel-path": ("a channel called ../CT", {"channel_names": {"0": "../CT"}}),
    "labels-list": ("labels is a list", {"labels": ["liver"]}),
    "labels-null": ("labels is null", {"labels": None}),
    "labels-empty": ("no labels", {"labels": {}}),
    "label-text": ("a label is a text", {"labels": {"liver": "one"}}),
    "label-float": ("a label is 1.5", {"labels": {"liver": 1.5}}),
    "label-true": ("a label is true", {"labels": {"liver": True}}),
    "label-negative-zero": ("a structure with the value of background", {"labels": {"liver": 0}}),
    "label-huge": ("a label of 10^30", {"labels": {"liver": 10**30}}),
    "labels-same": ("two structures of one value", {"labels": {"liver": 1, "spleen": 1}}),
    "label-ignore": ("voxels that nobody knows", {"labels": {"liver": 1, "ignore": 2}}),
    "ending-number": ("file_ending is a number", {"file_ending": 5}),
    "ending-path": ("file_ending leads above", {"file_ending": "/../../x.nii.gz"}),
    "ending-pattern": ("file_ending is a pattern", {"file_ending": "/**/*"}),
    "ending-empty": ("file_ending is empty", {"file_ending": ""}),
    "ending-other": ("a format that nobody reads", {"file_ending": ".b2nd"}),
}  # fmt: skip

#: Options of the folder that cannot be used: name to option and value.
OPTIONS = {
    "root-number": ("root", 5), "root-list": ("root", ["a"]), "root-absent": ("root", "absent"), "root-null": ("root", None),
    "root-empty": ("root", "cases.csv"), "manifest-number": ("manifest", 5), "manifest-absent": ("manifest", "no.csv"),
    "manifest-folder": ("manifest", "."), "manifest-list": ("manifest", ["a"]), "manifest-nul": ("manifest", "a\0b"),
    "modalities-list": ("modalities", ["CT"]), "modalities-empty": ("modalities", {}), "modalities-text": ("modalities", "CT"),
    "modality-null": ("modalities", {"CT": None}), "modality-kind": ("modalities", {"CT": {"kind": "pet"}}),
    "modality-unhashable": ("modalities", {"CT": {"kind": ["ct"]}}), "modality-path": ("modalities", {"../CT": {"kind": "ct"}}),
    "modality-key": ("modalities", {"CT": {"kind": "ct", "x": 1}}),
    "window-text": ("modalities", {"CT": {"kind": "ct", "window_hu": "wide"}}),
    "window-turned": ("modalities", {"CT": {"kind": "ct", "window_hu": [9, 1]}}),
    "window-nan": ("modalities", {"CT": {"kind": "ct", "window_hu": [float("nan"), 1]}}),
    "window-one": ("modalities", {"CT": {"kind": "ct", "window_hu": [1]}}),
    "classes-list": ("classes", [1]), "classes-empty": ("classes", {}), "classes-text": ("classes", {"liver": "1"}),
    "classes-zero": ("classes", {"liver": 0}), "classes-same": ("classes", {"liver": 1, "spleen": 1}),
    "classes-float": ("classes", {"liver": 1.0}), "classes-true": ("classes", {"liver": True}),
    "classes-huge": ("classes", {"liver": 10**30}), "classes-null": ("classes", {"liver": None}),
    "classes-no-values": ("classes", {"liver": {"values": []}}), "classes-mapping": ("classes", {"liver": {"x": 1}}),
    "ignored-text": ("ignore_values", "9"), "ignored-number": ("ignore_values", 9), "ignored-nested": ("ignore_values", [[9]]),
    "ignored-class": ("ignore_values", [1]), "ignored-nan": ("ignore_values", [float("nan")]),
    "pairing-unknown": ("pairing", "paired"), "pairing-number": ("pairing", 1), "pairing-list": ("pairing", ["registered"]),
    "spacing-zero": ("spacing_mm", [1, 0, 1]), "spacing-negative": ("spacing_mm", [1, -1, 1]),
    "spacing-two": ("spacing_mm", [1, 1]), "spacing-number": ("spacing_mm", 1), "spacing-text": ("spacing_mm", "1 1 1"),
    "spacing-nan": ("spacing_mm", [1, float("nan"), 1]), "spacing-infinite": ("spacing_mm", [1, float("inf"), 1]),
    "spacing-huge": ("spacing_mm", [1, 1e30, 1]), "spacing-tiny": ("spacing_mm", [1, 1e-30, 1]),
    "spacing-true": ("spacing_mm", [1, True, 1]), "spacing-null": ("spacing_mm", None),
    "severity-text": ("severity_mm", "2"), "severity-nan": ("severity_mm", [float("nan")]),
    "severity-negative": ("severity_mm", [0, -2]), "severity-empty": ("severity_mm", []),
    "title-number": ("title", 5), "title-list": ("title", ["a"]), "crop-text": ("crop", "yes"), "crop-number": ("crop", 2),
    "tolerance-zero": ("nsd_tolerance_mm", 0), "tolerance-text": ("nsd_tolerance_mm", "2"),
    "tolerance-nan": ("nsd_tolerance_mm", float("nan")), "tolerance-other": ("nsd_tolerance_mm", {"spleen": 1}),
    "tolerance-list": ("nsd_tolerance_mm", [1]), "unknown-option": ("colour", "red"),
}  # fmt: skip

SPLIT_HEAD = "case,patient,part\n"
SPLITS = {
    "split-empty": ("no bytes", ""),
    "split-columns": ("other columns", "case,part\na,train\n"),
    "split-part": ("a part that nobody knows", SPLIT_HEAD + "a,,learn\n"),
    "split-cell-missing": ("a cell less", SPLIT_HEAD + "a,\n"),
    "split-cell-more": ("a cell more", SPLIT_HEAD + "a,,train,x\n"),
    "split-case-twice": ("a case twice", SPLIT_HEAD + "a,,train\na,,test\n"),
    "split-no-case": ("no case", SPLIT_HEAD + ",,train\n"),
    "split-utf-16": ("UTF-16", (SPLIT_HEAD + "a,,train\n").encode("utf-16")),
    "split-open-quote": ("a quote that is never closed", SPLIT_HEAD + '"a,,train\n'),
    "split-ten-megabytes": ("a case of ten megabytes", SPLIT_HEAD + "a" * 10_000_000 + ",,train\n"),
}


def _option(key, value):
    def build(folder):
        _scans(folder)
        return folder_run(folder, GOOD, **{key: value})

    return build


def _split(text):
    def build(folder):
        _scans(folder)
        command = folder_run(folder, GOOD + "b,b.nii.gz,b_l.nii.gz\n")
        path = folder / "split.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        values = yaml.safe_load((folder / "run.yaml").read_text())
        values["datasets"]["own"]["split"] = {"list": str(path)}
        return plan(folder, values) if command else command

    return build


def cases():
    for name, (wrong, text, says) in CSVS.items():
        yield BadInput("manifests", f"csv/{name}", wrong, _csv(text), ("cases.csv", says))
    for name, (wrong, values, says) in DATALISTS.items():
        yield BadInput("manifests", f"datalist/{name}", wrong, _json(values), ("list.json", says))
    for name, (wrong, changes) in DESCRIPTIONS.items():
        build = _nnunet(DESCRIPTION | changes)
        yield BadInput("manifests", f"nnunet/{name}", wrong, build, ("",))
    for name, text in {"list": "[]", "empty": "", "no-channels": "{}", "deep": "[" * 100_000}.items():
        yield BadInput("manifests", f"nnunet/{name}", "no description", _nnunet(text), ("dataset.json",))
    linked = _nnunet(DESCRIPTION, link=True)
    yield BadInput("manifests", "nnunet/link-out", "an image that is a link out of the root", linked, (OUT,))
    for name, (key, value) in OPTIONS.items():
        key_named = "classes" if name == "ignored-class" else key
        yield BadInput("manifests", f"option/{name}", f"{key}: {value!r}", _option(key, value), (key_named,))
    for name, (wrong, text) in SPLITS.items():
        yield BadInput("manifests", f"split/{name}", wrong, _split(text), ("split.csv",))
