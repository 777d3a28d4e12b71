"""Keras layers for ProGAN, StyleGAN and StyleGAN2, in pure `keras.ops` for every Keras backend.

The networks in `pipeline/families/` are made of these layers.
"""

from layers.adain import AdaIN
from layers.bias import Bias
from layers.equalized import EqualizedConv2D, EqualizedDense
from layers.learned_constant import LearnedConstant
from layers.minibatch_std import MinibatchStd
from layers.modulated import ModulatedConv2D
from layers.noise import FixedNoise, Noise
from layers.pixel_norm import PixelNorm
from layers.resample import BoxDown2D, NearestUp2D
from layers.truncation import Truncation
from layers.upfirdn import Blur, FIRDown2D, FIRUp2D
from layers.weighted_sum import WeightedSum

__all__ = [
    "AdaIN",
    "Bias",
    "Blur",
    "BoxDown2D",
    "EqualizedConv2D",
    "EqualizedDense",
    "FIRDown2D",
    "FIRUp2D",
    "FixedNoise",
    "LearnedConstant",
    "MinibatchStd",
    "ModulatedConv2D",
    "NearestUp2D",
    "Noise",
    "PixelNorm",
    "Truncation",
    "WeightedSum",
]
