"""Tokens and the positions of their cells."""

import torch

from parallax.learn.nets.tokens import GridPositions, to_map, to_tokens


def test_tokens_and_map_are_inverse():
    x = torch.randn(2, 5, 3, 2, 4)
    assert torch.equal(to_map(to_tokens(x), (3, 2, 4)), x)
    assert torch.equal(to_tokens(x)[1, 2 * 4 + 3], x[1, :, 1, 0, 3])


def test_positions_are_the_table_on_the_training_grid_and_interpolated_on_others():
    positions = GridPositions(3, (2, 2, 2))
    assert torch.equal(positions((2, 2, 2)), torch.zeros(1, 8, 3))
    with torch.no_grad():
        positions.table.copy_(torch.tensor([0.0, 1.0])[:, None, None].expand_as(positions.table))
    assert positions((2, 2, 2))[0, :, 0].tolist() == [0.0] * 4 + [1.0] * 4
    along_x = to_map(positions((4, 2, 3)), (4, 2, 3))[0, 1, :, 0, 0]
    torch.testing.assert_close(along_x, torch.tensor([0.0, 0.25, 0.75, 1.0]))
