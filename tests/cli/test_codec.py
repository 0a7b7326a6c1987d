"""`rivc codec`: counts of a run or of a file, to packets and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rivc.cli.codec import _decoded
from rivc.codec import FeatureCodec, Recording
from rivc.errors import UsageError
from rivc.snn_convert import storage
from tests.codec.frames import features

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Call = Callable[..., Result]


@pytest.fixture
def codes(tmp_path: Path) -> Path:
    """A file of counts: two episodes."""
    starts = np.zeros(24, np.bool_)
    starts[[0, 12]] = True
    Recording(features(), starts, 4).save(tmp_path / "codes.npz")
    return tmp_path / "codes.npz"


@pytest.fixture
def codec(codes: Path, rivc: Call, tmp_path: Path) -> Path:
    """A codec fitted to them."""
    assert rivc("codec", "fit", codes, "--out", tmp_path / "codec.npz").exit_code == 0
    return tmp_path / "codec.npz"


@pytest.mark.parametrize("words", [("--layer", 1), ("--policy", "best"), ("--record", "r.npz")])
def test_what_is_recorded_is_not_recorded_again(
    codes: Path, rivc: Call, tmp_path: Path, words: tuple[object, ...]
) -> None:
    result = rivc("codec", "fit", codes, "--out", tmp_path / "codec.npz", *words)
    assert result.exit_code == 2
    assert "leave out --layer, --policy and --record" in result.stderr


def test_no_packets_are_no_counts(codec: Path, rivc: Call, tmp_path: Path) -> None:
    (tmp_path / "empty.rvf").touch()
    result = rivc("codec", "decode", codec, tmp_path / "empty.rvf", "--out", tmp_path / "o.npz")
    assert result.exit_code == 2
    assert "holds no packets" in result.stderr


@pytest.mark.parametrize("options", [[], ["--intra"], ["--profile", "packed"]])
def test_counts_come_back(
    codes: Path, codec: Path, options: list[str], rivc: Call, tmp_path: Path
) -> None:
    stream, again = tmp_path / "codes.rvf", tmp_path / "again.npz"
    facts = json.loads(
        rivc("codec", "encode", codec, codes, *options, "--out", stream, "--json").stdout
    )
    assert facts["frames"] == 24
    assert facts["bytes"] == stream.stat().st_size
    result = rivc("codec", "decode", codec, stream, "--out", again)
    assert result.exit_code == 0, result.stderr
    found, wanted = Recording.load(again), Recording.load(codes)
    np.testing.assert_array_equal(found.codes, wanted.codes)
    if not options:
        np.testing.assert_array_equal(found.starts, wanted.starts)


def test_info_tells_codecs_and_packets(
    codes: Path, codec: Path, rivc: Call, tmp_path: Path
) -> None:
    facts = json.loads(rivc("codec", "info", codec, "--json").stdout)
    assert facts["shape"] == [6, 7, 5]
    assert set(facts["models"]) == {"rans-intra", "rans-inter"}
    rivc("codec", "encode", codec, codes, "--out", tmp_path / "codes.rvf")
    stream = json.loads(rivc("codec", "info", tmp_path / "codes.rvf", "--json").stdout)
    assert stream["descriptor_ids"] == [facts["descriptor_id"]]
    assert sum(stream["profiles"].values()) == stream["frames"] == 24


def test_a_layer_of_a_run_is_recorded(trained: Path, rivc: Call, tmp_path: Path) -> None:
    words = ["codec", "fit", trained, "--layer", 1, "--episodes", 1]
    result = rivc(*words, "--record", tmp_path / "r.npz", "--out", tmp_path / "c.npz", "--json")
    assert result.exit_code == 0, result.stderr
    recording = Recording.load(tmp_path / "r.npz")
    assert recording.codes.shape[1:] == (16, 1, 1)
    assert json.loads(result.stdout)["frames"] == len(recording.codes)
    assert recording.starts.sum() == 1


def test_wrong_input_is_one_line_and_exit_2(
    trained: Path, codes: Path, codec: Path, rivc: Call, tmp_path: Path
) -> None:
    out, other = tmp_path / "out", tmp_path / "other.npy"
    np.save(other, np.zeros((3, 2, 2, 2), np.uint8))
    for words in (
        ["fit", trained],
        ["fit", trained, "--layer", 9],
        ["fit", tmp_path / "none.npz"],
        ["fit", codec],
        ["fit", codes, "--profile", "gzip"],
        ["encode", codes, codes],
        ["encode", codec, other],
        ["decode", codec, codes],
        ["decode", codec, tmp_path / "none.rvf"],
    ):
        result = rivc("codec", *words, "--out", out)
        assert result.exit_code == 2, words
        assert len(result.stderr.strip().splitlines()) == 1
        assert not out.exists()


def test_packets_of_more_counts_than_a_file_has_are_refused(
    codes: Path, codec: Path, rivc: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, coder = tmp_path / "codes.rvf", FeatureCodec.load(codec)
    rivc("codec", "encode", codec, codes, "--out", stream)
    monkeypatch.setattr(storage, "MAX_BYTES", 24 * coder.descriptor.symbols)
    assert len(_decoded(coder, stream).codes) == 24
    monkeypatch.setattr(storage, "MAX_BYTES", 24 * coder.descriptor.symbols - 1)
    with pytest.raises(UsageError, match="more than 23 frames"):
        _decoded(coder, stream)


def test_where_nothing_can_be_written_is_told_before_the_work(
    trained: Path, rivc: Call, tmp_path: Path
) -> None:
    words, record = ["codec", "fit", trained, "--layer", 1], tmp_path / "record.npz"
    for out in (tmp_path / "none" / "codec.npz", tmp_path):
        result = rivc(*words, "--record", record, "--out", out)
        assert (result.exit_code, "cannot write" in result.stderr) == (2, True)
        assert not record.exists()


def test_a_damaged_packet_is_exit_2(codes: Path, codec: Path, rivc: Call, tmp_path: Path) -> None:
    stream = tmp_path / "codes.rvf"
    rivc("codec", "encode", codec, codes, "--out", stream)
    data = bytearray(stream.read_bytes())
    data[200] ^= 1
    stream.write_bytes(data)
    result = rivc("codec", "decode", codec, stream, "--out", tmp_path / "again.npz")
    assert result.exit_code == 2
    assert "checksum" in result.stderr
