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
