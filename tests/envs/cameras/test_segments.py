"""Names become classes, spread over the levels of a byte."""

from __future__ import annotations

import mujoco
import pytest

from rivc.envs.cameras.segments import segment_levels
from rivc.errors import ConfigError

MODEL = mujoco.MjModel.from_xml_string("""
<mujoco>
  <worldbody>
    <geom name="floor" type="plane" size="1 1 1"/>
    <geom name="rock_0" type="sphere" size=".1"/>
    <body name="arm">
      <geom type="sphere" size=".1"/>
      <body name="hand">
        <geom name="palm" type="sphere" size=".1"/>
        <body><geom name="finger" type="sphere" size=".1"/></body>
      </body>
    </body>
    <body name="ghost"><geom type="sphere" size=".1" group="3"/></body>
  </worldbody>
</mujoco>
""")  # geoms: floor, rock, upper arm, palm, finger, ghost


@pytest.mark.parametrize(
    ("names", "levels"),
    [
        (("floor",), [0, 255, 0, 0, 0, 0, 0]),
        (("arm",), [0, 0, 0, 255, 255, 255, 0]),
        (("arm", "palm"), [0, 0, 0, 128, 255, 128, 0]),
        (("floor", "arm", "hand"), [0, 85, 0, 170, 255, 255, 0]),
        (("floor", "rock"), [0, 128, 255, 0, 0, 0, 0]),
        (("hand", "arm"), [0, 0, 0, 255, 255, 255, 0]),
        ((), [0, 0, 0, 128, 255, 255, 0]),
    ],
)
def test_levels_are_spread_evenly_and_later_names_win(
    names: tuple[str, ...], levels: list[int]
) -> None:
    assert segment_levels(MODEL, names).tolist() == levels


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(ConfigError, match="segments: 'fing' names neither a geom nor a body"):
        segment_levels(MODEL, ("fing",))


def test_a_model_without_bodies_is_all_background() -> None:
    model = mujoco.MjModel.from_xml_string("<mujoco/>")
    assert segment_levels(model, ()).tolist() == [0]
