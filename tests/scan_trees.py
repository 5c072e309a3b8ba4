"""Small trees in the layouts of real downloads."""

import nibabel as nib
import numpy as np

SHAPE = (6, 5, 4)
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
