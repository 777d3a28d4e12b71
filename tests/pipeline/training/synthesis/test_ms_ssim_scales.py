from __future__ import annotations

import pytest

from pipeline.training.synthesis.ms_ssim_scales import WEIGHTS, scale_weights, window_of


@pytest.mark.parametrize(
    ("side", "scales"), [(4, 1), (16, 1), (21, 1), (22, 2), (64, 3), (128, 4), (256, 5), (1024, 5)]
)
def test_scales_are_halved_as_long_as_the_window_has_room(side: int, scales: int) -> None:
    weights = scale_weights(side)
    assert len(weights) == scales
    assert sum(weights) == pytest.approx(1)
    assert weights[-1] / weights[0] == pytest.approx(WEIGHTS[scales - 1] / WEIGHTS[0])
    assert side / 2 ** (scales - 1) >= window_of(side)
