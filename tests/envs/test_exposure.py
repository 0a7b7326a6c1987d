"""Too much light is found."""

from __future__ import annotations

import pytest

from rivc.envs.exposure import expose
from rivc.envs.tracker import VisualTracker


@pytest.mark.parametrize(("level", "end"), [(0.0, "black"), (9.0, "white")])
def test_a_scene_that_is_too_dark_or_too_bright_is_not_ok(
    monkeypatch: pytest.MonkeyPatch, level: float, end: str
) -> None:
    begin = VisualTracker._begin

    def paint(env: VisualTracker) -> object:
        env.model.geom_rgba[:, :3] = level
        env.model.mat_rgba[:, :3] = level
        return begin(env)

    monkeypatch.setattr(VisualTracker, "_begin", paint)
    exposure = expose("rivc/VisualTracker-v0", "ray")
    assert not exposure.ok
    assert getattr(exposure, end) > 0.05
