"""Train the demonstration's network on generated scenes.

    python3 -m demo.train --output demo/weights/w16_512.pth --steps 4000 --seed 1

Stopped or killed, the same command continues from the state it saves beside its output. Deterministic for one build of
PyTorch and one number of threads.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from demo.crops import Batch, Crops
from demo.losses import heatmap_loss, tag_losses
from higherhrnet import config
from higherhrnet.errors import UserError
from higherhrnet.network import Architecture, HigherHRNet

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # RGB
_LOSSES = ("quarter", "half", "pull", "push")
_WEIGHTS = (1000.0, 1000.0, 1.0, 1.0)  # brings all four to the order of 1
_WARM_UP = 200  # steps
_DECAY = 2 / 3  # of the steps, where the learning rate begins to fall
_AVERAGING = 0.998  # of the weights; about the last 500 steps
_STATISTICS_BATCHES = 70


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up, ``peak``, and over the last third a cosine down to a hundredth of it.

    Until the last third the rate does not depend on ``steps``: a run can be stopped there and given more or fewer.
    """
    if step < _WARM_UP:
        return peak * (step + 1) / _WARM_UP
    progress = min(max(step / steps - _DECAY, 0) / (1 - _DECAY), 1.0)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def train(
    cfg: config.CfgNode, output: Path, *, steps: int, seed: int, peak: float, workers: int, save_every: int
) -> list[tuple[float, ...]]:
    """Train to ``steps``, continuing from ``output``'s state where there is one; write the averaged weights.

    Returns the four losses of every step.
    """
    torch.manual_seed(seed)
    network = HigherHRNet(Architecture.from_extra(cfg.MODEL.EXTRA, joints=cfg.MODEL.NUM_JOINTS))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=peak, weight_decay=1e-2)
    history: list[tuple[float, ...]] = []

    state_path = output.with_suffix(".state")
    if state_path.exists():
        state = torch.load(state_path, weights_only=True)
        if state["seed"] != seed:
            raise UserError(
                f"{state_path} is of seed {state['seed']}, not {seed}; remove it or choose another --output"
            )
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        averaged, history = state["averaged"], [tuple(row) for row in state["history"]]

    network.train()
    first = len(history)
    bar = tqdm(total=steps, initial=first, desc="training", unit="step", disable=None)
    for step, batch in zip(range(first, steps), _batches(Crops(seed, steps), first, workers), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, peak)
        # Numbers that depend on the step alone, so that a resumed run repeats what an unbroken one does.
        noise = torch.Generator().manual_seed(seed * 1_000_003 + step)
        losses = _losses(network, batch, noise)
        optimizer.zero_grad(set_to_none=True)
        torch.stack([w * loss for w, loss in zip(_WEIGHTS, losses, strict=True)]).sum().backward()
        optimizer.step()
        _average(averaged, network, min(_AVERAGING, (1 + step) / (10 + step)))
        history.append(tuple(float(loss.detach()) for loss in losses))
        if not all(map(math.isfinite, history[-1])):
            raise UserError(f"step {step}: a loss is {history[-1]}; lower --rate")
        bar.update()
        if (step + 1) % save_every == 0 or step + 1 == steps:
            recent = np.mean(history[-save_every:], axis=0)
            bar.set_postfix_str(" ".join(f"{n} {v:.4f}" for n, v in zip(_LOSSES, recent, strict=True)))
            if not sys.stderr.isatty():
                print(f"step {step + 1}: {bar.postfix}", flush=True)
            state = {"seed": seed, "network": network.state_dict(), "optimizer": optimizer.state_dict()}
            _save(state | {"averaged": averaged, "history": history}, state_path)
    bar.close()

    network.load_state_dict(averaged)
    _measure_statistics(network, seed, steps, workers)
    _save({name: value.contiguous() for name, value in network.state_dict().items()}, output)
    return history


def _batches(crops: Crops, first: int, workers: int) -> Iterator[Batch]:
    loader = DataLoader(
        crops,
        batch_size=None,
        sampler=range(first, len(crops)),
        num_workers=workers,
        prefetch_factor=6 if workers else None,
        worker_init_fn=_start_worker,
        collate_fn=_unchanged,
    )
    return iter(loader)


def _start_worker(_: int) -> None:
    cv2.setNumThreads(1)


def _unchanged(batch: Batch) -> Batch:
    return batch


def _images(batch: Batch) -> Tensor:
    """uint8 BGR [n, s, s, 3] to normalised RGB [n, 3, s, s] in channels-last memory."""
    rgb = torch.from_numpy(batch.images).flip(-1).float()
    return ((rgb / 255 - torch.tensor(_MEAN)) / torch.tensor(_STD)).permute(0, 3, 1, 2)


def _losses(network: nn.Module, batch: Batch, noise: torch.Generator) -> tuple[Tensor, ...]:
    with torch.autocast("cpu", torch.bfloat16):
        output1, output2 = network(_images(batch))
    output1, output2 = output1.float(), output2.float()
    number = batch.quarter.shape[1]
    people = torch.from_numpy(batch.people)
    jitter = 1.5 * torch.randn(people[..., :2].shape, generator=noise)
    pull, push = tag_losses(output1[:, number:], people, jitter, stride=4)
    quarter = heatmap_loss(output1[:, :number], torch.from_numpy(batch.quarter))
    return quarter, heatmap_loss(output2, torch.from_numpy(batch.half)), pull, push


def _average(averaged: dict[str, Tensor], network: nn.Module, keep: float) -> None:
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            averaged[name].lerp_(value, 1 - keep)
        else:
            averaged[name].copy_(value)


@torch.no_grad()
def _measure_statistics(network: HigherHRNet, seed: int, steps: int, workers: int) -> None:
    """Set batch normalisation's means and variances to those of the final weights on frames as the test has them."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # an average over all batches
    network.train()
    frames = Crops(seed, steps + _STATISTICS_BATCHES, frames_only=True)
    for batch in tqdm(_batches(frames, steps, workers), total=_STATISTICS_BATCHES, desc="statistics", disable=None):
        network(_images(batch))
    network.eval()


def _save(content: dict, path: Path) -> None:
    """A file under its final name is whole."""
    partial = path.with_name(path.name + ".tmp")
    torch.save(content, partial)
    partial.replace(path)


def plot(history: list[tuple[float, ...]], path: Path) -> None:
    """The four losses over the steps, smoothed, on a logarithmic axis."""
    values = np.array(history)
    window = max(1, min(100, len(values) // 10))
    kernel = np.ones(window) / window
    figure = Figure(figsize=(8, 4.5))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, column, weight in zip(_LOSSES, values.T, _WEIGHTS, strict=True):
        smooth = np.convolve(column, kernel, mode="valid")
        label = f"{name} (x {weight:g})" if weight != 1 else name
        axes.plot(np.arange(len(smooth)) + window, weight * smooth, label=label)
    axes.set(yscale="log", xlabel="step", ylabel=f"loss, mean of {window} steps", title="Training of the demo network")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110, bbox_inches="tight")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog="python3 -m demo.train", description=(__doc__ or "").split("\n", 1)[0])
    p.add_argument("--output", required=True, type=Path, metavar="FILE", help="weights to write, .pth")
    p.add_argument("--cfg", type=Path, default=Path("experiments/demo/w16_512.yaml"), help="default: %(default)s")
    p.add_argument("--steps", type=int, default=4000, metavar="N", help="default: %(default)s")
    p.add_argument(
        "--seed", type=int, default=1, metavar="S", help="of scenes and initial weights, default: %(default)s"
    )
    p.add_argument("--rate", type=float, default=2e-3, metavar="R", help="peak learning rate, default: %(default)s")
    p.add_argument("--workers", type=int, default=1, metavar="N", help="drawing processes, default: %(default)s")
    p.add_argument("--save-every", type=int, default=200, metavar="N", help="steps, default: %(default)s")
    return p


def main(argv: list[str] | None = None) -> int:
    """Train; return the exit status."""
    p = parser()
    args = p.parse_args(argv)
    if args.steps < 1 or args.seed < 0 or args.workers < 0 or args.save_every < 1:
        p.error("--steps and --save-every must be at least 1, --seed and --workers at least 0")
    started = time.monotonic()
    try:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        history = train(
            config.load(args.cfg),
            args.output,
            steps=args.steps,
            seed=args.seed,
            peak=args.rate,
            workers=args.workers,
            save_every=args.save_every,
        )
        picture = args.output.with_name(args.output.stem + "_losses.png")
        plot(history, picture)
    except (UserError, OSError) as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    size, minutes = os.path.getsize(args.output) / 1e6, (time.monotonic() - started) / 60
    print(
        f"{args.output}: {size:.2f} MB after {args.steps} steps, {minutes:.0f} minutes in this run; losses in {picture}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
