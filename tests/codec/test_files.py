"""What both ends share lies in files of a stated format."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rivc.codec import FeatureCodec, GroupPlan, GroupQuantizer, Recording
from rivc.codec import descriptor as codec_file
from rivc.codec import sgq as groups_file
from rivc.errors import DamagedFileError, UsageError
from tests.codec.frames import features

if TYPE_CHECKING:
    from pathlib import Path

CODES = features(shape=(6, 7, 5))


def test_a_codec_of_another_format_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec_file, "FORMAT_VERSION", 99)
    FeatureCodec.fit(CODES, 4).save(tmp_path / "codec.npz")
    monkeypatch.undo()
    with pytest.raises(DamagedFileError, match="format version 99, this rivc reads 1"):
        FeatureCodec.load(tmp_path / "codec.npz")


def test_groups_of_another_format_say_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups_file, "FORMAT_VERSION", 99)
    GroupQuantizer.fit(CODES, GroupPlan(3, 2, 4), 4).save(tmp_path / "groups.npz")
    monkeypatch.undo()
    with pytest.raises(DamagedFileError, match="format version 99, this rivc reads 1"):
        GroupQuantizer.load(tmp_path / "groups.npz")


@pytest.mark.parametrize("bit_width", [0, 200, 300, -3])
def test_a_recording_of_symbols_that_cannot_be_is_refused(tmp_path: Path, bit_width: int) -> None:
    path = tmp_path / "codes.npz"
    np.savez(path, codes=np.zeros_like(CODES), bit_width=np.int64(bit_width))
    with pytest.raises(DamagedFileError, match=f"symbols of {bit_width} bits"):
        Recording.load(path)


def test_an_array_that_was_changed_is_known_by_the_hash(tmp_path: Path) -> None:
    path = tmp_path / "groups.npz"
    GroupQuantizer.fit(CODES, GroupPlan(3, 2, 4), 4).save(path)
    GroupQuantizer.load(path)
    with np.load(path) as whole:
        members = dict(whole)
    np.savez(path, **{**members, "gain": members["gain"][::-1]})
    with pytest.raises(DamagedFileError, match="hash"):
        GroupQuantizer.load(path)


def test_a_layout_is_refused_by_what_it_has_not_by_what_it_names() -> None:
    codec = FeatureCodec.fit(CODES, 4)
    layout = codec.descriptor.layout
    row = layout.row.copy()
    row[0] = 2**31 - 1  # rows up to there would take sixteen gigabytes
    assert not replace(layout, row=row).is_valid(len(row))
    assert not replace(layout, row=row.clip(max=-1)).is_valid(len(row))


def test_frames_whose_symbols_wrap_are_refused() -> None:
    descriptor = FeatureCodec.fit(CODES, 4).descriptor
    with pytest.raises(UsageError, match="of at most"):
        replace(descriptor, shape=(1, 2**33, 2**31))
