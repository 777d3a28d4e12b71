"""Plain PyTorch augmentation with the transforms of ADA, to measure ours against.

Written for this comparison from the paper (arXiv:2006.06676): images are padded as far as the maps
of the batch reach, enlarged and reduced by strided convolutions and sampled by `grid_sample`, as
most re-implementations do it. It takes the draws of ours, and gives the same images as long as no
map reaches farther than an image is wide, which is as far as reflecting padding goes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.augmentation.draws import COLUMNS
from pipeline.augmentation.filtering import band_filters
from pipeline.augmentation.resampling import SYM6
from pipeline.config import PIPELINES
from pipeline.config.augmentation import PipelineName

TAPS = torch.tensor(SYM6) / sum(SYM6)
DELAY = round(32 * float(TAPS @ torch.arange(12.0))) / 32
"""Where the filter has its centre of mass."""


class Sample(torch.autograd.Function):
    """Bilinear samples; PyTorch's own have no second derivative."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(images, grid)
        return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        images, grid = ctx.saved_tensors
        return Spread.apply(gradient, images, grid), None


class Spread(torch.autograd.Function):
    """The transpose of `Sample`."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        backward = torch.ops.aten.grid_sampler_2d_backward
        return backward(gradient, images, grid, 0, 0, False, (True, False))[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return Sample.apply(gradient, grid), None, None


class Augmentation:
    """The transforms of a pipeline under given draws.

    Args:
        draws: Uniforms, normals, gates and noise `(batch, height, width, channels)`.
        p: Probability of each transform.
        pipeline: Which transforms.
    """

    def __init__(
        self, draws: tuple[Tensor, Tensor, Tensor, Tensor | None], p: float, pipeline: PipelineName
    ) -> None:
        self.numbers, self.noise, self.p = draws[:3], draws[3], p
        self.transforms = PIPELINES[pipeline]

    def __call__(self, images: Tensor) -> Tensor:
        """`(batch, channels, size, size)` → same."""
        if "xflip" in self.transforms:
            images = self.turned(images)
        if {"xint", "scale"} & {*self.transforms}:
            images = self.warped(images, *self.maps(images.shape[-1]))
        if "hue" in self.transforms:
            images = self.recoloured(images)
        if "imgfilter" in self.transforms:
            images = self.filtered(images)
        if "noise" in self.transforms:
            assert self.noise is not None
            deviation = self.applied("noise", 0.1 * self.drawn("noise", 1).abs(), 0.0)
            images = images + self.noise.movedim(-1, 1) * deviation[..., None, None]
        if "cutout" in self.transforms:
            images = self.cut(images)
        return images

    def drawn(self, transform: str, kind: int) -> Tensor:
        names = list(COLUMNS)
        first = sum(COLUMNS[name][kind] for name in names[: names.index(transform)])
        return self.numbers[kind][:, first : first + COLUMNS[transform][kind]]

    def applied(self, transform: str, value: Tensor, otherwise: float) -> Tensor:
        if transform not in self.transforms:
            return torch.full_like(value, otherwise)
        p = 1 - math.sqrt(1 - self.p) if transform == "rotate" else self.p
        return torch.where(self.drawn(transform, 2) < p, value, otherwise)

    def turned(self, images: Tensor) -> Tensor:
        flip = self.applied("xflip", (2 * self.drawn("xflip", 0)).floor(), 0.0)[..., None, None]
        turn = self.applied("rotate90", (4 * self.drawn("rotate90", 0)).floor(), 0.0)
        turn = turn[..., None, None]
        images = torch.where(flip == 1, images.flip(-1), images)
        turns = [torch.rot90(images, quarters, (2, 3)) for quarters in range(4)]
        for quarters in (1, 2, 3):
            images = torch.where(turn == quarters, turns[quarters], images)
        return images

    def maps(self, size: int) -> tuple[Tensor, Tensor]:
        """Where each pixel comes from, from the centre: `(batch, 2, 2)` and `(batch, 2)`."""
        scale = self.applied("scale", 2 ** (0.2 * self.drawn("scale", 1)), 1.0)
        aniso = self.applied("aniso", 2 ** (0.2 * self.drawn("aniso", 1)), 1.0)
        angle = self.applied("rotate", math.pi * (2 * self.drawn("rotate", 0) - 1), 0.0)
        shift = self.applied("xfrac", 0.125 * size * self.drawn("xfrac", 1), 0.0)
        pixels = torch.round((2 * self.drawn("xint", 0) - 1) * 0.125 * size)
        pixels = self.applied("xint", pixels, 0.0)
        cosine, sine = angle.cos(), angle.sin()
        turns = torch.stack([cosine, -sine, sine, cosine], -1).reshape(-1, 2, 2, 2)
        stretch = torch.diag_embed(torch.cat([1 / (scale * aniso), aniso / scale], 1))
        linear = turns[:, 0] @ stretch @ turns[:, 1]
        return linear, -(linear @ shift[..., None])[..., 0] - pixels

    def warped(self, images: Tensor, linear: Tensor, offset: Tensor) -> Tensor:
        size, channels = images.shape[-1], images.shape[1]
        low, high = (math.ceil(min(max(reach, 0), size - 1)) for reach in self.margins(size))
        images = F.pad(images, [low, high, low, high], mode="reflect")
        taps = TAPS.expand(channels, 1, 12)
        images = F.conv_transpose2d(images, 2 * taps[..., None], stride=(2, 1), groups=channels)
        images = F.conv_transpose2d(images, 2 * taps[..., None, :], stride=(1, 2), groups=channels)
        # Positions in fine pixels, of which a pixel's first lies `DELAY` before it.
        steps = torch.arange(2 * size + 10) - DELAY - (size - 1)
        down, right = torch.meshgrid(steps, steps, indexing="ij")
        centred = torch.stack([right, down], -1) @ linear.mT[:, None] + 2 * offset[:, None, None]
        fine = centred + (size - 1) + 2 * low + DELAY
        images = Sample.apply(images, (2 * fine + 1) / images.shape[-1] - 1)
        images = F.conv2d(images, taps[..., None], stride=(2, 1), groups=channels)
        return F.conv2d(images, taps[..., None, :], stride=(1, 2), groups=channels)

    def margins(self, size: int) -> tuple[float, float]:
        """How far before and behind an image the batch reaches, in pixels."""
        before, behind = self.reach(size)
        return float(before.max()), float(behind.max())

    def reach(self, size: int) -> tuple[Tensor, Tensor]:
        """How far before and behind an image each map reaches, in pixels, `(batch,)`."""
        linear, offset = self.maps(size)
        corner = linear.abs().sum(-1) * ((size - 1) / 2 + 6)
        before = (corner - offset).amax(1) - (size - 1) / 2
        behind = (corner + offset).amax(1) - (size - 1) / 2
        return before, behind

    def recoloured(self, images: Tensor) -> Tensor:
        batch, channels = images.shape[:2]
        eye = torch.eye(4).expand(batch, 4, 4)
        grey = torch.tensor([1.0, 1, 1, 0]) / math.sqrt(3)
        grey = torch.outer(grey, grey)
        cross = torch.zeros(4, 4)
        cross[:3, :3] = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
        brightness = self.applied("brightness", 0.2 * self.drawn("brightness", 1), 0.0)
        shift = torch.zeros(4, 4)
        shift[:3, 3] = 1
        contrast = self.applied("contrast", 2 ** (0.5 * self.drawn("contrast", 1)), 1.0)
        flip = self.applied("lumaflip", (2 * self.drawn("lumaflip", 0)).floor(), 0.0)
        hue = self.applied("hue", math.pi * (2 * self.drawn("hue", 0) - 1), 0.0)
        saturation = self.applied("saturation", 2 ** self.drawn("saturation", 1), 1.0)
        rest = torch.diag(torch.tensor([1.0, 1, 1, 0])) - grey
        last = eye - torch.diag(torch.tensor([1.0, 1, 1, 0]))
        matrix = eye + brightness[..., None] * shift
        matrix = (contrast[..., None] * (eye - last) + last) @ matrix
        matrix = (eye - 2 * flip[..., None] * grey) @ matrix
        turn = hue.cos()[..., None] * rest + hue.sin()[..., None] * cross
        matrix = (grey + turn + last) @ matrix
        matrix = (grey + saturation[..., None] * rest + last) @ matrix
        flat = images.reshape(batch, channels, -1)
        if channels == 1:
            mean = matrix[:, :3].mean(1, keepdim=True)
            flat = flat * mean[..., :3].sum(2, keepdim=True) + mean[..., 3:]
        else:
            flat = matrix[:, :3, :3] @ flat + matrix[:, :3, 3:]
        return flat.reshape(images.shape)

    def filtered(self, images: Tensor) -> Tensor:
        batch, channels, size, _ = images.shape
        factors = self.applied("imgfilter", 2 ** self.drawn("imgfilter", 1), 1.0)
        power = torch.tensor([10.0, 1, 1, 1]) / 13
        gains = torch.ones(batch, 4)
        for band in range(4):
            one = torch.ones(batch, 4)
            one[:, band] = factors[:, band]
            gains = gains * one / (power * one**2).sum(1, keepdim=True).sqrt()
        taps = (gains @ torch.tensor(band_filters(), dtype=torch.float32)).repeat_interleave(
            channels, 0
        )[:, None]
        images = F.pad(images, [21] * 4, mode="reflect").reshape(1, -1, size + 42, size + 42)
        images = F.conv2d(images, taps[..., None], groups=batch * channels)
        images = F.conv2d(images, taps[..., None, :], groups=batch * channels)
        return images.reshape(batch, channels, size, size)

    def cut(self, images: Tensor) -> Tensor:
        centres = self.drawn("cutout", 0)[..., None]
        side = self.applied("cutout", torch.full((len(images), 1), 0.5), 0.0)[..., None]
        size = images.shape[-1]
        inside = ((torch.arange(size) + 0.5) / size - centres).abs() < side / 2
        cut = inside[:, 1, :, None] & inside[:, 0, None, :]
        return images * (~cut)[:, None]


def make_step(
    augmentation: Augmentation, images: Tensor, weights: Tensor, order: int
) -> Callable[[], float]:
    """Images, with order 1 and their gradient, with order 2 and that of the gradient's square."""

    def step() -> float:
        if order == 0:
            with torch.no_grad():
                return float(augmentation(images)[0, 0, 0, 0])
        points = images.requires_grad_()
        looked_at = torch.tanh(augmentation(points))
        score = (weights.requires_grad_() * looked_at).sum()
        (gradient,) = torch.autograd.grad(score, points, create_graph=order > 1)
        if order > 1:
            (gradient,) = torch.autograd.grad(gradient.square().sum(), weights)
        return float(gradient[0, 0, 0, 0])

    return step
