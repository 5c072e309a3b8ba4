"""Volumes of two balls on any grid."""

import numpy as np

from parallax.case import Volume


def ball_volumes(affine, shape, dtype=np.float32):
    """An image and a label map: a large ball (1) at the origin, a small one (2) to its right (RAS)."""
    index = np.moveaxis(np.indices(shape, dtype=np.float64), 0, -1)
    mm = index @ affine[:3, :3].T + affine[:3, 3]
    label = (np.linalg.norm(mm, axis=-1) < 14).astype(np.uint8)
    label[np.linalg.norm(mm - [18, 2, 3], axis=-1) < 6] = 2
    image = np.where(label > 0, 40.0 * label, -900.0) + 3 * np.sin(mm[..., 0])
    return Volume(image.astype(dtype), affine), Volume(label, affine)


def centred_affine(matrix, shape):
    """The affine with this matrix whose grid is centred on the origin of space."""
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = -np.asarray(matrix) @ ((np.array(shape) - 1) / 2)
    return affine


def three_balls(voxels_per_mm=1.0):
    """A label map of a ball (2) in a larger ball (1), and one apart (3), in 48 x 44 x 40 mm."""
    shape = [int(n * voxels_per_mm) for n in (48, 44, 40)]
    index = np.indices(shape) / voxels_per_mm
    label = np.zeros(shape, dtype=np.uint8)
    for value, centre, radius in ((1, (18, 20, 20), 12), (2, (18, 20, 20), 6), (3, (39, 32, 20), 6)):
        inside = np.square(index - np.array(centre)[:, None, None, None]).sum(axis=0) <= radius**2
        label[inside] = value
    return label
