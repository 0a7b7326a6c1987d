"""A row of a ladder that sends maps of groups of channels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rivc.codec import FeatureCodec, GroupPlan, GroupQuantizer
from rivc.errors import ConfigError, DamagedFileError, MissingError, RivcError
from rivc.split.folder import SplitFolder
from rivc.split.halves import cut, from_planes, to_planes
from rivc.split.ladder import Ladder, Point, Row
from tests.programs import conv_program

if TYPE_CHECKING:
    from pathlib import Path

SPLIT = cut(conv_program(), 1)
COUNTS = np.random.default_rng(0).integers(0, 4, (30, *SPLIT.shape), dtype=np.uint8)
PLANES = np.stack([to_planes(one) for one in COUNTS])
GROUPS = GroupQuantizer.fit(PLANES, GroupPlan(2, 2, 2), 2)
CODEC = FeatureCodec.fit(GROUPS.reduce(PLANES), 2)
ROW = Row(Point(2, 2), CODEC, 0.0, 0, groups=GROUPS)


def ladder_of(row: Row) -> Ladder:
    return Ladder(SPLIT.shape, 2, (0, 1, 2), (row,))


def test_a_row_sends_maps_and_restores_counts() -> None:
    ladder = ladder_of(ROW)
    ladder.warm_up()
    maps = [ladder.reduce(0, one) for one in COUNTS[:2]]
    assert maps[0].shape == (2, *SPLIT.shape[:2])
    packet = CODEC.encode(maps[1], maps[0])
    back = ladder.decode(0, packet, maps[0])
    wanted = GROUPS.restore(GROUPS.reduce(PLANES[1]))
    assert np.array_equal(ladder.restore(0, back), from_planes(wanted, SPLIT.shape))


@pytest.mark.parametrize(
    "row", [replace(ROW, point=Point(1, 2)), replace(ROW, point=Point(2, 3))], ids=["bits", "maps"]
)
def test_groups_go_with_their_point(row: Row) -> None:
    with pytest.raises(ConfigError, match="2 groups"):
        ladder_of(row)


def test_groups_of_other_frames_are_refused() -> None:
    other = GroupQuantizer.fit(PLANES[..., 1:], GroupPlan(2, 2, 2), 2)
    with pytest.raises(ConfigError, match="2 groups"):
        ladder_of(replace(ROW, groups=other))


def test_a_packet_of_other_maps_is_refused() -> None:
    three = FeatureCodec.fit(PLANES, 2)
    with pytest.raises(ConfigError, match="a codec of 2 bits and frames"):
        ladder_of(replace(ROW, codec=three))
    ladder = ladder_of(ROW)
    with pytest.raises(RivcError):
        ladder.decode(0, three.encode(PLANES[0]), None)


def test_groups_lie_in_the_folder_and_count_for_its_identity(tmp_path: Path) -> None:
    folder = SplitFolder(SPLIT, ladder_of(ROW))
    folder.save(tmp_path / "split")
    back = SplitFolder.load(tmp_path / "split")
    assert back.identity == folder.identity
    assert np.array_equal(back.ladder.reduce(0, COUNTS[0]), folder.ladder.reduce(0, COUNTS[0]))
    other = GroupQuantizer.fit(PLANES[:9], GroupPlan(2, 2, 2), 2)
    other.save(tmp_path / "split" / "groups0.npz")
    with pytest.raises(DamagedFileError, match="altered"):
        SplitFolder.load(tmp_path / "split")
    (tmp_path / "split" / "groups0.npz").unlink()
    with pytest.raises(MissingError, match="group quantizer"):
        SplitFolder.load(tmp_path / "split")
