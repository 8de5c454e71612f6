"""The first weights of a model: plain, as the paper draws them, or local, looking next door.

Early in masked-LM training a model sits for long on a plateau: it guesses by token frequency
alone, since no head has yet found out which positions are near. `local` begins where that ends.
The weights stay those of a stock RoBERTa; only their first values differ:

    word rows      [ N(0, std), or token vectors learnt by counting | 0 ........ 0 ]
    position rows  [ 0 ............................................ | cos | sin ]
                     D - P dimensions                                  P dimensions
    q, k of a local head: small noise, and on the P dimensions a rotation, so that the score of
    token i for token j is largest at j = i + its offset
    bias of the decoder: log frequency of each token

Shape letters: D width, H heads, K head width, P dimensions of positions, n = P / 2 frequencies,
V vocabulary, T positions.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from roberta_model.config import ModelConfig
from roberta_model.data.randomness import uniform
from roberta_model.encoder import Encoder, Layer
from roberta_model.masked_lm import MaskedLMHead, RobertaMaskedLM
from roberta_model.recipe import StartRecipe

FIRST_LAYER_OFFSETS = (-1, 1, -2, 2)
LATER_LAYER_OFFSETS = (-1, 1)
_NOISE = 0.2  # what is left of a local head's drawn query and key weights
_JITTER = 0.4  # of the distance between two frequencies: no two position rows are alike
_PEAK = 8.0  # a local head's score for its place, before the softmax; others' average 0


def initialise(
    model: RobertaMaskedLM,
    seed: int,
    recipe: StartRecipe | None = None,
    special_ids: Sequence[int] | NDArray[np.int64] = (),
) -> None:
    """Give a model its first weights: a function of its config, the seed and the recipe.

    Args:
        model: Its parameters are overwritten.
        seed: Of all that is drawn.
        recipe: Plain unless given.
        special_ids: Tokens that are never the answer, whatever their count.

    Raises:
        ValueError: Heads are too narrow for a local start, or counts or vectors do not fit.
    """
    recipe = recipe or StartRecipe()
    draw(model, seed)
    if recipe.kind == "local":
        if position_width(model.config) == 0:
            raise ValueError("a local start needs heads that are at least 2 wide")
        frequencies_n = position_frequencies(model.config, seed)
        give_positions(model, frequencies_n)
        for number, layer in enumerate(model.layers):
            offsets = LATER_LAYER_OFFSETS if number else FIRST_LAYER_OFFSETS
            look_next_door(cast(Layer, layer), model.config, frequencies_n, offsets)
    if recipe.token_vectors is not None:
        give_token_vectors(model, np.load(Path(recipe.token_vectors), allow_pickle=False))
    if recipe.token_counts is not None:
        counts_V = np.load(Path(recipe.token_counts), allow_pickle=False)
        give_frequencies(model.lm_head, counts_V, special_ids)


@torch.no_grad()
def draw(model: Encoder, seed: int) -> None:
    """Plain first weights of an encoder and its head; padding has zeros."""
    draw_weights(model, model.config.initializer_range, seed)
    for table in (model.embeddings.word, model.embeddings.position):
        table.weight[model.config.pad_id].zero_()


@torch.no_grad()
def draw_weights(module: nn.Module, std: float, seed: int) -> None:
    """Plain first weights of any module, e.g. a new head: N(0, std), zero biases, unit norms."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        if name.endswith("norm.weight"):
            parameter.fill_(1.0)
        elif name.endswith("bias"):
            parameter.zero_()
        else:
            parameter.copy_(torch.empty(parameter.shape).normal_(0, std, generator=generator))


def position_width(config: ModelConfig) -> int:
    """P, the last dimensions of the embeddings, kept for positions: one head's width, even.

    At most half of the width, so that words keep the rest.
    """
    return min(config.width // config.num_heads, config.width // 2) // 2 * 2


def position_frequencies(config: ModelConfig, seed: int) -> Tensor:
    """f_j = pi (j + 1/2) / n, evenly over (0, pi), each moved a little at random; [n].

    The highest tells neighbours apart, the lowest the ends of a row. Even spacing alone would
    repeat itself after 2 n positions.
    """
    n = position_width(config) // 2
    moved = _JITTER * (2 * uniform(seed, "position frequencies", np.arange(n)) - 1)
    return torch.from_numpy(math.pi * (np.arange(n) + 0.5 + moved) / n).float()


@torch.no_grad()
def give_positions(model: Encoder, frequencies_n: Tensor) -> None:
    """Position rows std sqrt(2) (cos f t, sin f t) in the last P dimensions; nothing else there.

    The factor gives these dimensions the variance that drawn ones have, and the type row, which
    all tokens share and would add to the words' part alone, begins at zero: so behind the
    LayerNorm both parts have unit variance.
    """
    P, std = 2 * len(frequencies_n), model.config.initializer_range
    table = model.embeddings.position.weight
    angles_Tn = torch.outer(torch.arange(len(table)).float(), frequencies_n)
    table.zero_()
    table[:, -P:] = std * math.sqrt(2) * torch.cat([angles_Tn.cos(), angles_Tn.sin()], dim=1)
    table[model.config.pad_id].zero_()
    model.embeddings.word.weight[:, -P:] = 0
    model.embeddings.token_type.zero_()


@torch.no_grad()
def look_next_door(
    layer: Layer, config: ModelConfig, frequencies_n: Tensor, offsets: tuple[int, ...]
) -> None:
    """Turn a layer's first heads into local ones, one for each offset; the rest stays drawn.

    On the P dimensions k = s x and q = s R(offset) x, where R turns the phase of each frequency
    by f offset. Behind the norm, x there is sqrt(2) (cos f t, sin f t) at position t, so token
    i scores token j by q.k / sqrt(K) = 2 s^2 / sqrt(K) times the sum over the frequencies of
    cos f (i + offset - j). At j = i + offset, and only there, all n cosines are 1; s makes the
    score _PEAK there, whatever K is.
    """
    D, K, n = config.width, config.width // config.num_heads, len(frequencies_n)
    # The norm's epsilon shrinks very small first weights.
    variance = 1 / (1 + config.norm_eps / config.initializer_range**2)
    s = math.sqrt(_PEAK * math.sqrt(K) / (2 * n * variance))
    query_DD, key_DD, _ = layer.attention.qkv.weight.view(3, D, D).unbind(0)
    last = slice(D - 2 * n, D)
    for head, offset in enumerate(offsets[: config.num_heads]):
        mine = slice(head * K, (head + 1) * K)
        query_DD[mine] *= _NOISE
        key_DD[mine] *= _NOISE
        phases_n = frequencies_n * offset
        cos_nn, sin_nn = torch.diag(phases_n.cos()), torch.diag(phases_n.sin())
        turn_PP = torch.cat([torch.cat([cos_nn, -sin_nn], 1), torch.cat([sin_nn, cos_nn], 1)])
        first = slice(head * K, head * K + 2 * n)
        key_DD[first, last] += s * torch.eye(2 * n)
        query_DD[first, last] += s * turn_PP


@torch.no_grad()
def read_all_alike(layer: Layer) -> None:
    """Let every token of a layer read all tokens alike, until it learns where to look.

    Scores are q.k, so with queries of zero softmax weighs all alike, and each head gives the mean
    of its values. Under a head for whole rows <s> then begins as a summary of its row.
    Pretraining asks nothing of <s>, and to find out what it should gather takes many labels.
    """
    qkv = layer.attention.qkv
    qkv.weight[: qkv.in_features] = 0
    qkv.bias[: qkv.in_features] = 0


@torch.no_grad()
def give_token_vectors(model: Encoder, vectors_Vn: NDArray[np.float32]) -> None:
    """Replace the first dimensions of the word embeddings, scaled to the drawn ones' variance.

    Rows of zeros (<mask>, and whatever the rows do not hold) keep their drawn values.

    Raises:
        ValueError: The vectors are of another vocabulary, or wider than the embeddings.
    """
    table = model.embeddings.word.weight
    if len(vectors_Vn) != len(table) or vectors_Vn.shape[1] > table.shape[1]:
        raise ValueError(
            f"token vectors of shape {vectors_Vn.shape} for embeddings of {tuple(table.shape)}"
        )
    known = torch.from_numpy(vectors_Vn.any(axis=1))
    scaled = model.config.initializer_range * torch.from_numpy(vectors_Vn[known.numpy()])
    table[known, : vectors_Vn.shape[1]] = scaled


@torch.no_grad()
def give_frequencies(
    head: MaskedLMHead,
    counts_V: NDArray[np.int64],
    special_ids: Sequence[int] | NDArray[np.int64],
) -> None:
    """Let the decoder's bias begin as the log frequency of each token.

    A model whose other weights say nothing then guesses as often as each token occurs. What was
    never seen counts half, and so do special tokens, which are never the answer.

    Raises:
        ValueError: The counts are of another vocabulary.
    """
    bias_V = head.bias
    if counts_V.shape != tuple(bias_V.shape):
        raise ValueError(f"{len(counts_V)} token counts for a vocabulary of {len(bias_V)}")
    smoothed_V = counts_V.astype(np.float64)
    smoothed_V[np.asarray(special_ids, dtype=np.int64)] = 0
    smoothed_V = np.maximum(smoothed_V, 0.5)
    bias_V.copy_(torch.from_numpy(np.log(smoothed_V / smoothed_V.sum())))
