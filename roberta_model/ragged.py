"""Rows of any length through an encoder, none of them padded but where they attend.

    rows ──▶ one list of tokens, N ──▶ every product on N rows at once
                                       attention alone takes them apart, in groups of about equal
                                       length, each as wide as its longest row

It computes what `Encoder.encode` does, padding left out. Short texts of unequal length are two
thirds padding in a batch as wide as the longest; and one product of all tokens is faster than
several of a few.

Shape letters: N tokens of all rows, R rows, B rows of a group, T tokens of its longest, D width,
H heads, K width of one head, n tokens of a group.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from roberta_model.encoder import Encoder, Layer, SelfAttention, hiding_bias
from roberta_model.short_rows import attend_short_rows

Int32s = NDArray[np.int32]


@dataclass(frozen=True)
class Group:
    """Neighbouring rows that attend together.

    Attributes:
        rows: Their numbers, first and behind the last.
        tokens: Their tokens in N, first and behind the last.
        longest: T.
        slots: B x T, which of the group's tokens stands where; padding names the first one. None
            where all rows have T tokens.
        places: n, where each of its tokens stands in B x T.
        lengths: B.
    """

    rows: tuple[int, int]
    tokens: tuple[int, int]
    longest: int
    slots: Tensor | None
    places: Tensor | None
    lengths: Tensor

    @property
    def num_rows(self) -> int:
        """B."""
        return self.rows[1] - self.rows[0]

    def spread(self, values: Tensor) -> Tensor:
        """Values of its tokens, n x ..., as B x T x ...; what padding gets means nothing."""
        if self.slots is not None:
            values = values.index_select(0, self.slots)
        return values.view(self.num_rows, self.longest, *values.shape[1:])

    def gather(self, values: Tensor) -> Tensor:
        """The way back: B x T x ... as n x ..., padding left out."""
        flat = values.flatten(0, 1)
        return flat if self.places is None else flat.index_select(0, self.places)

    def bias(self, like: torch.dtype) -> Tensor | None:
        """What hides the padding when rows attend, B11T."""
        if self.slots is None:
            return None
        places_T = torch.arange(self.longest, device=self.lengths.device)
        return hiding_bias(places_T < self.lengths[:, None], like)


@dataclass(frozen=True)
class Ragged:
    """Rows of tokens, one behind the other.

    Attributes:
        ids_N: int64.
        positions_N: int64, as stock numbers them: padding_idx + 1 onward in each row.
        firsts_R: int64, where each row begins in N.
        groups: The rows again, in groups that attend together.
    """

    ids_N: Tensor
    positions_N: Tensor
    firsts_R: Tensor
    groups: tuple[Group, ...]

    @classmethod
    def of(cls, rows: Sequence[Sequence[Int32s]], pad_id: int) -> "Ragged":
        """Rows in groups; the order of groups and rows stays."""
        every = [row for group in rows for row in group]
        lengths = np.array([len(row) for row in every], dtype=np.int64)
        ends = np.cumsum(lengths)
        starts = ends - lengths
        places = np.arange(int(ends[-1])) - np.repeat(starts, lengths)
        groups, first = [], 0
        for group in rows:
            last = first + len(group)
            groups.append(_group(first, last, starts, lengths))
            first = last
        return cls(
            torch.from_numpy(np.concatenate(every).astype(np.int64)),
            torch.from_numpy(places + pad_id + 1),
            torch.from_numpy(starts),
            tuple(groups),
        )

    def to(self, device: torch.device | str) -> "Ragged":
        """The same on a device."""

        def moved(values: Tensor | None) -> Tensor | None:
            return None if values is None else values.to(device, non_blocking=True)

        groups = tuple(
            replace(
                group,
                slots=moved(group.slots),
                places=moved(group.places),
                lengths=group.lengths.to(device, non_blocking=True),
            )
            for group in self.groups
        )
        return Ragged(
            self.ids_N.to(device, non_blocking=True),
            self.positions_N.to(device, non_blocking=True),
            self.firsts_R.to(device, non_blocking=True),
            groups,
        )


def _group(first: int, last: int, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Group:
    own = lengths[first:last]
    longest, begin = int(own.max()), int(starts[first])
    tokens = (begin, begin + int(own.sum()))
    if bool((own == longest).all()):
        return Group((first, last), tokens, longest, None, None, torch.from_numpy(own))
    within_BT = np.arange(longest)[None, :] < own[:, None]
    slots_BT = np.where(within_BT, np.arange(longest) + (starts[first:last] - begin)[:, None], 0)
    return Group(
        (first, last),
        tokens,
        longest,
        torch.from_numpy(slots_BT.reshape(-1)),
        torch.from_numpy(np.flatnonzero(within_BT.reshape(-1))),
        torch.from_numpy(own),
    )


def encode_ragged(model: Encoder, ragged: Ragged, *, firsts_only: bool = False) -> Tensor:
    """The last layer's hidden states, ND; or RD, those of each row's first token alone.

    Raises:
        ValueError: A row is longer than the table of positions.
    """
    longest = max(group.longest for group in ragged.groups)
    if longest > model.config.max_row_tokens:
        raise ValueError(
            f"rows of {longest} tokens; the model reads at most {model.config.max_row_tokens} "
            "(max_row_tokens)"
        )
    part = model.embeddings
    word_ND = F.embedding(
        ragged.ids_N, part.word.weight, part.pad_id, sparse=ragged.ids_N.device.type == "cpu"
    )
    x_ND = word_ND + part.token_type + part.position(ragged.positions_N)
    x_ND = part.dropout(part.norm(x_ND))
    layers = [cast(Layer, layer) for layer in model.layers]
    for layer in layers[:-1]:
        x_ND = layer.finish(x_ND, _attended(layer.attention, x_ND, ragged))
    last = layers[-1]
    if not firsts_only:
        return last.finish(x_ND, _attended(last.attention, x_ND, ragged))
    firsts_RD = x_ND.index_select(0, ragged.firsts_R)
    return last.finish(firsts_RD, _attended_firsts(last.attention, x_ND, firsts_RD, ragged))


def _attended(attention: SelfAttention, x_ND: Tensor, ragged: Ragged) -> Tensor:
    """What every token gathered from its row, ND."""
    H = attention.num_heads
    qkv = attention.qkv(x_ND)
    if x_ND.device.type == "cpu":
        share = attention.attention_dropout if attention.training else 0.0
        mixed_ND = attend_short_rows(qkv, ragged.groups, H, attention.scale, share)
        return cast(Tensor, attention.out(mixed_ND))
    qkv = qkv.view(len(x_ND), 3, H, -1)
    mixed = []
    for group in ragged.groups:
        spread = group.spread(qkv[slice(*group.tokens)])
        q, k, v = (part.transpose(1, 2) for part in spread.unbind(2))
        mixed_BHTK = attention.attend(q, k, v, group.bias(q.dtype))
        mixed.append(group.gather(mixed_BHTK.transpose(1, 2).flatten(2)))
    out_ND: Tensor = attention.out(torch.cat(mixed))
    return out_ND


def _attended_firsts(
    attention: SelfAttention, x_ND: Tensor, firsts_RD: Tensor, ragged: Ragged
) -> Tensor:
    """What each row's first token gathered from its row, RD: its query, everybody's keys."""
    D, H = x_ND.shape[1], attention.num_heads
    weight, bias = attention.qkv.weight, attention.qkv.bias
    q_RHK = F.linear(firsts_RD, weight[:D], bias[:D]).view(len(firsts_RD), H, -1)
    kv = F.linear(x_ND, weight[D:], bias[D:]).view(len(x_ND), 2, H, -1)
    if x_ND.device.type == "cpu":  # products so small are faster in fp32, see short_rows
        q_RHK, kv = q_RHK.float(), kv.float()
    mixed = []
    for group in ragged.groups:
        k, v = (p.transpose(1, 2) for p in group.spread(kv[slice(*group.tokens)]).unbind(2))
        q_BH1K = q_RHK[slice(*group.rows)][:, :, None]
        mixed.append(attention.attend(q_BH1K, k, v, group.bias(k.dtype)).flatten(1))
    out_RD: Tensor = attention.out(torch.cat(mixed).to(x_ND.dtype))
    return out_RD
