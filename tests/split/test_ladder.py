"""What a row keeps, and what comes of it."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivc.codec import Recording
from rivc.errors import ConfigError, DamagedFileError, MissingError, QuantError, UsageError
from rivc.split.folder import SplitFolder
from rivc.split.halves import cut, to_planes
from rivc.split.ladder import Ladder, Point, coarse, fit_ladder, importance
from rivc.train import ladders, load_config
from tests.programs import conv_program, dense_program
from tests.split.parts import infer_of, ladder_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SPLIT = cut(conv_program(), 1)  # counts [4, 3, 3] of 2 bits
POINTS = (Point(2, 3), Point(1, 3), Point(1, 2, 2))


def recording(frames: int = 24) -> Recording:
    rng = np.random.default_rng(0)
    codes = rng.binomial(3, 0.2, (frames, 3, 4, 3)).astype(np.uint8)
    return Recording(codes, np.arange(frames) == 0, 2)


def fitted() -> Ladder:
    return fit_ladder(SPLIT, recording(), POINTS, (2, 0, 1))


@given(st.integers(1, 8), st.data())
def test_rounding_is_to_the_nearest_and_silence_stays_silence(
    bit_width: int, data: st.DataObject
) -> None:
    kept = data.draw(st.integers(1, bit_width))
    counts = np.arange(1 << bit_width, dtype=np.uint8)
    codes, step = coarse(counts, bit_width, kept), 1 << (bit_width - kept)
    assert codes[0] == 0
    assert codes.max() < 1 << kept
    error = codes.astype(int) * step - counts
    is_capped = codes == (1 << kept) - 1
    assert (np.abs(error) <= step / 2)[~is_capped].all()
    assert (np.diff(codes.astype(int)) >= 0).all()
    if kept == bit_width:
        assert (codes == counts).all()


def test_the_first_row_of_everything_loses_nothing() -> None:
    ladder = ladder_of(SPLIT, Point(2, 3))
    counts = np.random.default_rng(0).integers(0, 4, SPLIT.shape, dtype=np.uint8)
    assert np.array_equal(ladder.restore(0, ladder.reduce(0, counts)), counts)


def test_channels_go_by_their_order() -> None:
    ladder = Ladder(SPLIT.shape, 2, (2, 0, 1), ladder_of(SPLIT, Point(2, 1)).rows)
    counts = np.random.default_rng(0).integers(0, 4, SPLIT.shape, dtype=np.uint8)
    restored = ladder.restore(0, ladder.reduce(0, counts))
    assert np.array_equal(restored[..., 2], counts[..., 2])
    assert not restored[..., :2].any()


def test_the_important_channel_is_the_one_that_the_readout_hears() -> None:
    split = cut(dense_program(), 1)
    counts = np.random.default_rng(0).integers(0, 16, (100, 5), dtype=np.uint8)
    weight = np.abs(split.server.layers[0].weight.astype(int)).sum(0) * counts[:64].sum(0)
    assert importance(split, counts, infer_of(split))[0] == int(weight.argmax())


def test_a_packet_that_holds_something_else_is_refused() -> None:
    ladder = ladder_of(SPLIT, Point(2, 3), Point(1, 3))
    rows = (ladder.rows[0], ladder.rows[0].__class__(Point(1, 3), ladder.rows[0].codec, 1.0, 1))
    other = Ladder(SPLIT.shape, 2, (0, 1, 2), rows)
    packet = rows[0].codec.encode(to_planes(np.full(SPLIT.shape, 3, np.uint8)))
    with pytest.raises(QuantError, match="row 1"):
        other.decode(1, packet, None)


@pytest.mark.parametrize(
    "point", [Point(0, 3), Point(3, 3), Point(2, 4), Point(2, 0), Point(2, 3, 0)]
)
def test_a_row_of_what_there_is_not_is_refused(point: Point) -> None:
    with pytest.raises(ConfigError):
        Ladder(SPLIT.shape, 2, (0, 1, 2), ladder_of(SPLIT, Point(2, 3)).rows[:0])
    with pytest.raises(ConfigError, match="are possible"):
        fit_ladder(SPLIT, recording(), [point])


@pytest.mark.parametrize("order", [(0, 1, 7), (0, 0, 1), (0, 1)])
def test_an_order_of_other_channels_is_refused(order: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"names each of 0\.\.2 once"):
        fit_ladder(SPLIT, recording(), POINTS, order)


def test_a_row_that_skips_is_measured_against_what_it_sent_before() -> None:
    """Every second frame is silent, and a row that skips sends no other."""
    whole = recording()
    whole.codes[::2] = 0
    every, second = fit_ladder(SPLIT, whole, [Point(2, 3), Point(2, 3, 2)]).rows
    sent = [None, *whole.codes[12::2]]
    sizes = [len(second.codec.encode(frame, previous)) for previous, frame in pairwise(sent)]
    assert second.mean_bytes == np.mean(sizes) < every.mean_bytes


def test_too_short_a_recording_is_refused() -> None:
    with pytest.raises(ConfigError, match="fewer than 4"):
        fit_ladder(SPLIT, recording(3), POINTS)


def test_rows_of_the_same_codes_share_a_codec_and_fewer_bits_take_fewer_bytes() -> None:
    ladder = fit_ladder(SPLIT, recording(), (Point(2, 3), Point(2, 3, 2), Point(1, 1)))
    assert ladder.rows[0].codec is ladder.rows[1].codec
    assert ladder.rows[2].mean_bytes < ladder.rows[0].mean_bytes
    assert all(row.mean_bytes <= row.p95_bytes for row in ladder.rows)


def test_no_episode_of_a_row_begins_with_what_was_held_in_another_and_the_best_row_comes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A row that skips every other frame, on episodes of three: each begins with a frame.

    Each row returns more than those before it; the one that loses nothing stays the first.
    """
    asked: list[int] = []

    def infer(counts: NDArray[np.uint8]) -> NDArray[np.int64]:
        asked.append(len(asked))
        return infer_of(SPLIT)(counts)

    def three_steps(_: object, act: Any, seeds: list[int]) -> Any:
        for _ in seeds:
            for _ in range(3):
                act(np.zeros((1, *SPLIT.edge.encoding.shape), np.uint8))
        return SimpleNamespace(return_mean=float(len(asked)))

    monkeypatch.setattr(ladders, "play", three_steps)
    folder: Any = SimpleNamespace(config=lambda: load_config("quickstart"))
    ladder = ladder_of(SPLIT, Point(2, 3), Point(2, 3, 2), Point(1, 3, 2))
    plan = ladders.LadderPlan(row_episodes=4)
    measured = ladders._measured(folder, SPLIT, ladder, infer, plan, lambda _: None)
    assert len(asked) == 4 * 3 + 4 * 2 + 4 * 2
    assert [row.point for row in measured.rows] == [Point(2, 3), Point(1, 3, 2), Point(2, 3, 2)]


def test_a_folder_survives_the_disk(tmp_path: Path) -> None:
    whole = SplitFolder(SPLIT, fitted(), "seed: 0\n")
    whole.save(tmp_path / "split")
    again = SplitFolder.load(tmp_path / "split")
    assert again.identity == whole.identity
    assert (again.split, again.config) == (whole.split, whole.config)
    assert [row.point for row in again.ladder.rows] == list(POINTS)
    counts = np.ones(SPLIT.shape, np.uint8)
    for i, row in enumerate(whole.ladder.rows):
        packet = row.codec.encode(whole.ladder.reduce(i, counts))
        planes = again.ladder.decode(i, packet, None)
        assert np.array_equal(planes, whole.ladder.reduce(i, counts))


def test_of_a_split_that_was_there_before_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    SplitFolder(SPLIT, fitted(), "seed: 0\n").save(tmp_path)
    assert (tmp_path / "codec2.npz").exists()
    SplitFolder(SPLIT, fit_ladder(SPLIT, recording(), POINTS[:1])).save(tmp_path)
    assert SplitFolder.load(tmp_path).config == ""
    names = {"codec0.npz", "edge.npz", "notes.txt", "server.npz", "split.json"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_files_of_something_else_stay_where_a_split_is_saved(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    folder = SplitFolder(SPLIT, fitted())
    for _ in range(2):
        folder.save(tmp_path)
        assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_run_is_not_made_a_split(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("of a run")
    with pytest.raises(UsageError, match=r"is no split, and its 'config\.yaml' would be lost"):
        SplitFolder(SPLIT, fitted()).save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    assert (tmp_path / "config.yaml").read_text() == "of a run"


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("split.json", b"{}", ConfigError),
        ("split.json", b"\xff", DamagedFileError),
        ("edge.npz", b"", DamagedFileError),
        ("codec0.npz", b"PK", DamagedFileError),
        ("codec1.npz", None, MissingError),
        ("config.yaml", b"\xff\xfe", DamagedFileError),
    ],
)
def test_a_folder_that_was_altered_is_told_of(
    tmp_path: Path, name: str, content: bytes | None, error: type[Exception]
) -> None:
    SplitFolder(SPLIT, fitted()).save(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error):
        SplitFolder.load(tmp_path)


def test_parts_of_two_folders_do_not_make_one(tmp_path: Path) -> None:
    SplitFolder(SPLIT, fitted()).save(tmp_path / "one")
    other = cut(conv_program(seed=2), 1)
    SplitFolder(other, fitted()).save(tmp_path / "other")
    (tmp_path / "one" / "server.npz").write_bytes((tmp_path / "other" / "server.npz").read_bytes())
    with pytest.raises(DamagedFileError, match="altered"):
        SplitFolder.load(tmp_path / "one")


def test_nothing_there_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="rivc split fit"):
        SplitFolder.load(tmp_path)
