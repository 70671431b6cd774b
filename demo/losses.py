"""The losses of the papers.

Heatmaps: Cheng et al. 2020, HigherHRNet. Tags: Newell et al. 2017, Associative Embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# Left and right of every joint; elbows and wrists.
_FIRST, _SECOND = (*range(1, 17, 2), 7, 8), (*range(2, 17, 2), 9, 10)


def heatmap_loss(found: Tensor, wanted: Tensor, emphasis: float, sides: float) -> Tensor:
    """Mean squared error of heatmaps [n, 17, h, w]; the centre of a joint counts 1 + ``emphasis`` times an empty cell.

    Of the cells 99 % are empty: with equal weights hundreds of steps pass before anything but emptiness is learnt.
    ``sides`` weights the same error of the differences of maps that are easily confused (left and right, elbow and
    wrist), which says nothing new, but brings a network sooner from half a peak at either to a whole one at one.
    """
    error = ((1 + emphasis * wanted) * (found - wanted).square()).mean()
    if not sides:
        return error
    found, wanted = (maps[:, _FIRST] - maps[:, _SECOND] for maps in (found, wanted))
    return error + sides * ((1 + emphasis * wanted.abs()) * (found - wanted).square()).mean()


def tag_losses(tags: Tensor, people: Tensor, jitter: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Pull and push losses of tag maps [n, 17, h, w], each a mean over the images that hold people.

    Parameters
    ----------
    people : [n, p, 17, 3]: x, y in pixels of the input, 1 where there is a joint
    jitter : [n, p, 17, 2], in pixels: peaks are never exact, so tags are not read exactly at the joints either
    stride : pixels in a cell

    pull: mean squared distance of a person's tags from their mean. push: mean of exp(-d^2 / 2) over all pairs of
    people, d the distance of their means.
    """
    size = torch.tensor([tags.shape[3], tags.shape[2]], dtype=tags.dtype) * stride
    pulls, pushes = [], []
    for maps, image_people, offsets in zip(tags, people, jitter, strict=True):
        present = image_people[..., 2] > 0
        somebody = present.any(1)
        if not somebody.any():
            continue
        there = present[somebody].to(tags.dtype)
        # [-1, 1] spans the whole map from edge to edge, which is grid_sample's align_corners=False
        places = 2 * (image_people[somebody][..., :2] + offsets[somebody]) / size - 1  # [p, 17, 2]
        # every joint has a map of its own: joints become the batch
        values = functional.grid_sample(
            maps[:, None], places.transpose(0, 1)[:, None], padding_mode="border", align_corners=False
        )[:, 0, 0].T  # [p, 17]
        counts = there.sum(1)
        means = (values * there).sum(1) / counts
        pulls.append(((values - means[:, None]).square() * there).sum(1).div(counts).mean())
        number = len(means)
        if number > 1:
            close = torch.exp(-0.5 * (means[:, None] - means[None]).square())
            pushes.append((close.sum() - number) / (number * (number - 1)))
    nothing = tags.sum() * 0
    pull = torch.stack(pulls).mean() if pulls else nothing
    push = torch.stack(pushes).mean() if pushes else nothing
    return pull, push
