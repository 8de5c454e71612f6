"""What Muon does to a matrix; its whole steps are held against torch's in test_optimizer."""

import torch

from roberta_model.training.muon import orthogonalise


def test_orthogonalised_matrices_keep_their_directions() -> None:
    """Singular values come close to 1, wide or tall; the singular vectors stay; 0 stays 0."""
    for shape in ((3, 16, 40), (3, 40, 16)):
        drawn = torch.empty(shape).normal_(generator=torch.Generator().manual_seed(1))
        made = orthogonalise(drawn)
        values = torch.linalg.svdvals(made)
        assert values.min() > 0.5
        assert values.max() < 1.3
        left, _, right = torch.linalg.svd(drawn, full_matrices=False)
        core = left.transpose(1, 2) @ made @ right.transpose(1, 2)
        off = core - torch.diag_embed(core.diagonal(dim1=1, dim2=2))
        assert off.abs().max() < 1e-3
    assert not orthogonalise(torch.zeros(1, 4, 4)).any()
