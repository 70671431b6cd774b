"""Train the demonstration's network on generated scenes.

    python3 -m demo.train --output demo/weights/w16_512.pth --steps 4000 --seed 1

Stopped or killed, the same command continues from the state it saves beside its output. Deterministic for one build of
PyTorch and one number of processes.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor, distributed, nn
from torch.multiprocessing.spawn import ProcessRaisedException, spawn
from tqdm import tqdm

from demo import crops
from demo.losses import heatmap_loss, tag_losses
from higherhrnet.artifacts import outputs
from higherhrnet.config import loader
from higherhrnet.errors import UserError
from higherhrnet.image.transform import MEAN, STD
from higherhrnet.model.architecture import Architecture
from higherhrnet.model.network import HigherHRNet

_CONFIG = Path(__file__).resolve().parent.parent / "experiments/demo/w16_512.yaml"
_LOSSES = ("quarter", "half", "pull", "push")
_WEIGHTS = (1000.0, 1000.0, 2.0, 4.0)  # of the same order; push must win while all tags are equal
_SIDES = 1.5  # weight of telling left from right
_TAGS_RAMP = (300, 1000, 2.5)  # between these steps the weight of tags grows to this multiple
_WARM_UP = 100  # steps
_DECAY = 0.15  # of the steps, where the learning rate begins to fall
_AVERAGING = 0.995  # of the weights; about the last 200 steps
_FRAMES_EVERY = 2  # steps: frames instead of crops
_STATISTICS_FRAMES = 40


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up, ``peak``, and from ``_DECAY`` of the steps on a cosine down to a hundredth of it.

    Batches are small: a run at ``peak`` for 80 % of the steps left people's tags close together until the rate fell.
    """
    if step < _WARM_UP:
        return peak * (step + 1) / _WARM_UP
    progress = min(max(step / steps - _DECAY, 0) / (1 - _DECAY), 1.0)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


@dataclass(frozen=True)
class Run:
    """What a training run is given; equal runs write equal weights."""

    cfg: Path
    output: Path
    steps: int
    seed: int
    rate: float
    processes: int
    save_every: int

    @property
    def state(self) -> Path:
        """Where the run saves what it needs to continue."""
        return self.output.with_suffix(".state")

    @property
    def schedule(self) -> dict[str, float]:
        """What a continued run must share with the one before: it decides every step's learning rate and scenes."""
        return {"seed": self.seed, "steps": self.steps, "rate": self.rate, "processes": self.processes}


def emphasis(step: int) -> float:
    """By how much joints count more than empty cells.

    Much at first, or nothing starts; little later, or every doubt becomes a peak.
    """
    return max(20 * 0.5 ** (step / 400), 3.5)


def train(run: Run) -> None:
    """Train, continuing from ``run.state`` where it exists; write the averaged weights to ``run.output``."""
    if run.state.exists():
        state = torch.load(run.state, weights_only=True)
        for name, wanted in run.schedule.items():
            if state.get(name) != wanted:
                raise UserError(
                    f"{run.state} is of a run with --{name} {state.get(name)}, not {wanted}; remove it or choose "
                    f"another --output"
                )
    with tempfile.TemporaryDirectory() as meeting:
        spawn(_train, (run, f"file://{meeting}/meeting"), nprocs=run.processes)


def _train(rank: int, run: Run, meeting: str) -> None:
    """One of the run's processes. Each has one core and its own crops; after every step they average their gradients.

    A process for each core meets the others once a step. Threads meet in every layer, and on a machine that is doing
    other things as well, they mostly wait.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=run.processes)
    torch.manual_seed(run.seed)
    config = loader.load(run.cfg)
    network = HigherHRNet(Architecture.from_extra(config.extra, config.heads))
    _start_small(network, config.heads.joints)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=run.rate, weight_decay=1e-2, fused=True)
    history: list[tuple[float, ...]] = []
    if run.state.exists():
        state = torch.load(run.state, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        averaged, history = state["averaged"], [tuple(row) for row in state["history"]]

    network.train()
    bar = tqdm(None, "training", run.steps, initial=len(history), unit="step", disable=None if rank == 0 else True)
    for step in range(len(history), run.steps):
        _end_with_parent()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, run.steps, run.rate)
        number = step * run.processes + rank
        batch = crops.batch(run.seed, number, frames=step % _FRAMES_EVERY == 0)
        losses = _losses(network, batch, emphasis(step), np.random.default_rng([run.seed, number]))
        optimizer.zero_grad(set_to_none=True)
        tags = float(np.interp(step, _TAGS_RAMP[:2], (1.0, _TAGS_RAMP[2])))
        weights = (*_WEIGHTS[:2], tags * _WEIGHTS[2], tags * _WEIGHTS[3])
        torch.stack([w * loss for w, loss in zip(weights, losses, strict=True)]).sum().backward()
        _share(network, run.processes)
        optimizer.step()
        _average(averaged, network, min(_AVERAGING, (1 + step) / (10 + step)))
        history.append(tuple(float(loss.detach()) for loss in losses))
        if not all(map(math.isfinite, history[-1])):
            raise UserError(f"step {step}: losses {history[-1]}; give a lower --rate")
        bar.update()
        if rank == 0 and ((step + 1) % run.save_every == 0 or step + 1 == run.steps):
            recent = np.mean(history[-run.save_every :], axis=0)
            bar.set_postfix_str(" ".join(f"{n} {v:.4f}" for n, v in zip(_LOSSES, recent, strict=True)))
            if bar.disable:
                print(f"step {step + 1}: {bar.postfix}", flush=True)
            state = {**run.schedule, "network": network.state_dict(), "optimizer": optimizer.state_dict()}
            _save(state | {"averaged": averaged, "history": history}, run.state)
    bar.close()
    if rank == 0:
        network.load_state_dict(averaged)
        _measure_statistics(network, run)
        _save({name: value.contiguous() for name, value in network.state_dict().items()}, run.output)
        plot(history, _losses_of(run.output))
    distributed.barrier()
    distributed.destroy_process_group()


def _end_with_parent() -> None:
    """A killed run's processes would go on, beside the run that continues from the state they write."""
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        raise SystemExit("the training that started this process is gone")


def _share(network: nn.Module, processes: int) -> None:
    """Replace gradients by their means over all processes."""
    if processes == 1:
        return
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    distributed.all_reduce(flat)
    flat /= processes
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view(gradient.shape))


@torch.no_grad()
def _start_small(network: HigherHRNet, joints: int) -> None:
    """Heatmaps begin near zero, where most of every target is; tags do not: equal ones would not push each other."""
    for layer in network.final_layers:
        for parameter in layer.parameters():
            parameter[:joints].mul_(0.1)


def _images(batch: crops.Batch) -> Tensor:
    """uint8 BGR [n, s, s, 3] to normalised RGB [n, 3, s, s] in channels-last memory."""
    rgb = torch.from_numpy(batch.images).flip(-1).float()
    return ((rgb / 255 - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 3, 1, 2)


def _losses(network: nn.Module, batch: crops.Batch, weight: float, rng: np.random.Generator) -> tuple[Tensor, ...]:
    with torch.autocast("cpu", torch.bfloat16):
        output1, output2 = network(_images(batch))
    output1, output2 = output1.float(), output2.float()
    joints = batch.quarter.shape[1]
    people = torch.from_numpy(batch.people)
    jitter = 1.5 * rng.standard_normal(people[..., :2].shape, np.float32)
    pull, push = tag_losses(output1[:, joints:], people, torch.from_numpy(jitter), stride=4)
    quarter = heatmap_loss(output1[:, :joints], torch.from_numpy(batch.quarter), weight, _SIDES)
    return quarter, heatmap_loss(output2, torch.from_numpy(batch.half), weight, _SIDES), pull, push


def _average(averaged: dict[str, Tensor], network: nn.Module, keep: float) -> None:
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            averaged[name].lerp_(value, 1 - keep)
        else:
            averaged[name].copy_(value)


@torch.no_grad()
def _measure_statistics(network: HigherHRNet, run: Run) -> None:
    """Set batch normalisation's means and variances to those of the final weights on frames as the test has them."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.reset_running_stats()
            norm.momentum = None  # an average over all batches
    network.train()
    first = run.steps * run.processes
    for number in tqdm(range(first, first + _STATISTICS_FRAMES), desc="statistics", unit="frame", disable=None):
        network(_images(crops.batch(run.seed, number, frames=True)))
    network.eval()


def _save(content: dict, path: Path) -> None:
    """A file under its final name is whole."""
    partial = path.with_name(path.name + ".tmp")
    torch.save(content, partial)
    partial.replace(path)


def _losses_of(weights: Path) -> Path:
    return weights.with_name(f"{weights.stem}_losses.png")


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
    p.add_argument("--cfg", type=Path, default=_CONFIG, metavar="FILE", help="default: %(default)s")
    p.add_argument("--steps", type=int, default=4000, metavar="N", help="default: %(default)s")
    p.add_argument("--seed", type=int, default=1, metavar="S", help="of scenes and first weights, default: %(default)s")
    p.add_argument("--rate", type=float, default=2e-3, metavar="R", help="peak learning rate, default: %(default)s")
    p.add_argument("--processes", type=int, default=2, metavar="N", help="changes the result, default: %(default)s")
    p.add_argument("--save-every", type=int, default=100, metavar="N", help="steps, default: %(default)s")
    return p


def main(argv: list[str] | None = None) -> int:
    """Train; return the exit status."""
    p = parser()
    args = p.parse_args(argv)
    if min(args.steps, args.processes, args.save_every) < 1 or args.seed < 0:
        p.error("--steps, --processes and --save-every must be at least 1, --seed at least 0")
    started = time.monotonic()
    try:
        if not Run(**vars(args)).state.exists():
            for file in (args.output, _losses_of(args.output)):
                outputs.check(file, "--output", ours=lambda _: False, inputs=[args.cfg], overwrite=None)
        args.output.parent.mkdir(parents=True, exist_ok=True)
        train(Run(**vars(args)))
    except (UserError, OSError, ProcessRaisedException) as e:
        print(f"error: {str(e).strip().splitlines()[-1]}", file=sys.stderr)
        return 1
    size, minutes = args.output.stat().st_size / 1e6, (time.monotonic() - started) / 60
    print(f"{args.output}: {size:.2f} MB after {args.steps} steps, {minutes:.0f} minutes in this run")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
