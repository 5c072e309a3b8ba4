"""Small trees in the layouts of real downloads."""

import locale

import nibabel as nib
import numpy as np
import SimpleITK
from PIL import Image

SHAPE = (6, 5, 4)
#: Slices of a series.
N = 4
AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def blocks(values, shape=SHAPE):
    """A label map in which each value is one connected piece."""
    array = np.zeros(shape, np.int16)
    for index, value in enumerate(values):
        array[index % shape[0], index // shape[0], :] = value
    return array


def ramp(shape=SHAPE):
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


def write(path, array, affine=AFFINE, kind=nib.Nifti1Image):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(kind(array, affine), path)
    return path


def what(case):
    """Kinds of repairs of a case."""
    return [f"{repair.modality}: {repair.what}" for repair in case.repairs]


def write_series(folder, modality="MR", places=None, instances=None, spacing=(1.5, 2.0, 3.2)):
    """Slice k holds the value 10 k, at z falling by 2 mm with k."""
    folder.mkdir(parents=True)
    before = locale.setlocale(locale.LC_ALL)
    for k in range(N):
        image = SimpleITK.GetImageFromArray(
            np.full((1, 5, 6), 10 * k, np.int16) + np.arange(6, dtype=np.int16)
        )
        image.SetSpacing(spacing)
        z = 100.0 - 2 * k if places is None else places[k]
        tags = {
            "0008|0060": modality,
            "0018|0050": str(spacing[2]),
            "0020|0013": str(k + 1 if instances is None else instances[k]),
            "0020|0032": f"-10\\-20\\{z}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
        }
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer = SimpleITK.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(folder / f"IMG-0004-{k + 1:05d}.dcm"))
        writer.Execute(image)
    locale.setlocale(locale.LC_ALL, before)  # writing (not reading) DICOM leaves Python with ASCII


def write_greys(folder, greys, n=N):
    """Slice k shows organ k alone, as a square of this grey."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(n):
        array = np.zeros((5, 6), np.uint8)
        array[1:3, 2:5] = greys[k]
        Image.fromarray(array).save(folder / f"IMG-0004-{k + 1:05d}.png")
