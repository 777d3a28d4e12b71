"""A plain PyTorch ProGAN training step, to measure ours against: eager, unfused, float32.

Written for this comparison from the paper (arXiv:1710.10196): the same networks, losses, optimizer
and average as ours, each operation by itself, as most re-implementations do it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCH = 16
DECAY = 0.999


class Equalized(nn.Module):
    """A convolution or dense layer with weights scaled at run time."""

    def __init__(self, shape: tuple[int, ...], gain: float = math.sqrt(2)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(shape[0]))
        self.scale = gain / math.sqrt(math.prod(shape[1:]))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        if weight.ndim == 2:
            return F.linear(x, weight, self.bias)
        return F.conv2d(x, weight, self.bias, padding=weight.shape[-1] // 2)


class PixelNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


class MinibatchStd(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        group = x.reshape(4, -1, *x.shape[1:])
        deviation = (group.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
        maps = deviation.reshape(1, -1, 1, 1, 1).expand(4, -1, 1, *x.shape[2:])
        return torch.cat([x, maps.reshape(x.shape[0], 1, *x.shape[2:])], dim=1)


def generator(resolution: int, width: int, channels: int) -> nn.Module:
    def conv() -> list[nn.Module]:
        return [Equalized((width, width, 3, 3)), nn.LeakyReLU(0.2), PixelNorm()]

    modules: list[nn.Module] = [
        PixelNorm(),
        Equalized((width * 16, width), gain=math.sqrt(2) / 4),
        nn.Unflatten(1, (width, 4, 4)),
        nn.LeakyReLU(0.2),
        PixelNorm(),
        *conv(),
    ]
    for _ in range(int(math.log2(resolution)) - 2):
        modules += [nn.Upsample(scale_factor=2, mode="nearest"), *conv(), *conv()]
    return nn.Sequential(*modules, Equalized((channels, width, 1, 1), gain=1.0))


def discriminator(resolution: int, width: int, channels: int) -> nn.Module:
    modules: list[nn.Module] = [Equalized((width, channels, 1, 1)), nn.LeakyReLU(0.2)]
    for _ in range(int(math.log2(resolution)) - 2):
        for _ in range(2):
            modules += [Equalized((width, width, 3, 3)), nn.LeakyReLU(0.2)]
        modules.append(nn.AvgPool2d(2))
    return nn.Sequential(
        *modules,
        MinibatchStd(),
        Equalized((width, width + 1, 3, 3)),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        Equalized((width, width * 16)),
        nn.LeakyReLU(0.2),
        Equalized((1, width), gain=1.0),
    )


def make_step(resolution: int, width: int, channels: int = 1) -> Callable[[], None]:
    """A function that does one full training step on random images."""
    torch.manual_seed(0)
    g, d = generator(resolution, width, channels), discriminator(resolution, width, channels)
    average = copy.deepcopy(g)
    adam_g, adam_d = (
        torch.optim.Adam(m.parameters(), lr=0.001, betas=(0.0, 0.99), eps=1e-8) for m in (g, d)
    )
    reals = torch.rand(BATCH, channels, resolution, resolution) * 2 - 1

    def step() -> None:
        with torch.no_grad():
            fakes = g(torch.randn(BATCH, width))
        real_scores, fake_scores = d(reals), d(fakes)
        mixed = torch.lerp(reals, fakes, torch.rand(BATCH, 1, 1, 1)).requires_grad_()
        (gradient,) = torch.autograd.grad(d(mixed).sum(), mixed, create_graph=True)
        penalty = (gradient.square().sum(dim=(1, 2, 3)).sqrt() - 1).square()
        loss = fake_scores - real_scores + 0.001 * real_scores.square()
        adam_d.zero_grad()
        (loss.mean() + 10 * penalty.mean()).backward()
        adam_d.step()

        adam_g.zero_grad()
        (-d(g(torch.randn(BATCH, width))).mean()).backward()
        adam_g.step()
        with torch.no_grad():
            for target, source in zip(average.parameters(), g.parameters(), strict=True):
                target.lerp_(source, 1 - DECAY)

    return step
