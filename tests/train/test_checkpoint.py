"""Checkpoints: whole or not at all, appended to, equal for equal runs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rivc.errors import DamagedFileError, UsageError
from rivc.train import checkpoint as module
from rivc.train.checkpoint import (
    BLOCK,
    latest_checkpoint,
    load_checkpoint,
    recover,
    require_savable,
    save_checkpoint,
)
from rivc.train.replay import Replay


def grown(replay: Replay, count: int) -> Replay:
    """Add slots, each a transition to the next, observations counting up."""
    for _ in range(count):
        number = replay.head
        slot = replay.open(np.full((1, 3), number % 251, np.uint8))
        replay.close(
            slot, np.array([[number % 3]]), np.array([float(number)]), np.array([False]), slot + 1
        )
    return replay


def state(env_steps: int) -> dict[str, Any]:
    return {
        "env_steps": env_steps,
        "weights": torch.arange(4.0),
        "nested": [{"counts": np.arange(3, dtype=np.uint8), "big": 2**100, "word": "x"}],
    }


def same(ours: Replay, theirs: Replay) -> None:
    assert (ours.head, ours.tail) == (theirs.head, theirs.tail)
    for name, rows in ours.rows(ours.tail, ours.head).items():
        np.testing.assert_array_equal(rows, theirs.rows(ours.tail, ours.head)[name])


@pytest.mark.parametrize("capacity", [100, BLOCK + 7, 3 * BLOCK])
@pytest.mark.parametrize("slots", [50, 2 * BLOCK + 5, 5 * BLOCK])
def test_state_and_replay_come_back_bit_for_bit(tmp_path: Path, capacity: int, slots: int) -> None:
    replay = Replay(capacity, (3,), np.uint8, 1)
    for part in range(3):
        grown(replay, slots // 3)
        path = save_checkpoint(tmp_path, state(part), replay, first_open=replay.head - 1)
    copy = Replay(capacity, (3,), np.uint8, 1)
    restored = load_checkpoint(path, copy)
    same(replay, copy)
    assert torch.equal(restored["weights"], torch.arange(4.0))
    np.testing.assert_array_equal(restored["nested"][0]["counts"], np.arange(3))
    assert restored["nested"][0]["big"] == 2**100


def test_whatever_a_state_holds_comes_back_as_it_was(tmp_path: Path) -> None:
    replay = grown(Replay(8, (3,), np.uint8, 2), 3)
    given = {
        "scalar": np.array(1.5),
        "tensor": torch.tensor(2.0),
        "pair": (1, ("a", None), []),
        "flag": True,
        "empty": np.zeros((0, 3), np.int32),
    }
    path = save_checkpoint(tmp_path, {"env_steps": 1, "state": given}, replay, first_open=2)
    found = load_checkpoint(path, Replay(8, (3,), np.uint8, 2))["state"]
    assert found.keys() == given.keys()
    assert found["scalar"].shape == found["tensor"].shape == ()
    assert (float(found["scalar"]), float(found["tensor"])) == (1.5, 2.0)
    assert found["pair"] == given["pair"]
    assert found["flag"] is True
    assert (found["empty"].shape, found["empty"].dtype) == ((0, 3), np.int32)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({1: 2}, "the key 1 would not come back"),
        ("array:left", "begins as the name of an array"),
        (np.array(["a"]), "an array of <U1"),
        (b"raw", "a bytes"),
        (np.random.default_rng(0), "a Generator"),
    ],
)
def test_what_would_not_come_back_is_refused_by_name(value: Any, told: str) -> None:
    with pytest.raises(UsageError, match=rf"cannot save state/robot/x: .*{told}"):
        require_savable({"robot": {"x": value}})


def test_a_checkpoint_that_was_put_aside_is_not_looked_at(tmp_path: Path) -> None:
    replay = grown(Replay(8, (3,), np.uint8, 2), 3)
    path = save_checkpoint(tmp_path, state(10), replay, first_open=2)
    save_checkpoint(tmp_path, state(20), replay, first_open=2).rename(tmp_path / "000000020.bad")
    assert latest_checkpoint(tmp_path) == path
    save_checkpoint(tmp_path, state(30), replay, first_open=2)
    assert (tmp_path / "000000020.bad").exists()


def test_the_replay_is_appended_to_not_rewritten(tmp_path: Path) -> None:
    replay = grown(Replay(10 * BLOCK, (3,), np.uint8, 1), 2 * BLOCK + 9)
    save_checkpoint(tmp_path, state(1), replay, replay.head)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "replay").iterdir()}
    save_checkpoint(tmp_path, state(2), grown(replay, BLOCK), replay.head)
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "replay").iterdir()}
    assert len(after) == len(before) + 1
    assert before.items() <= after.items()


def test_an_altered_block_of_the_replay_is_told(tmp_path: Path) -> None:
    replay = grown(Replay(3 * BLOCK, (3,), np.uint8, 1), BLOCK + 9)
    path = save_checkpoint(tmp_path, state(1), replay, replay.head)
    (block,) = (tmp_path / "replay").iterdir()
    data = bytearray(block.read_bytes())
    data[-5] ^= 1
    block.write_bytes(data)
    with pytest.raises(DamagedFileError, match=r"was altered.*remove that folder"):
        load_checkpoint(path, Replay(3 * BLOCK, (3,), np.uint8, 1))


def test_the_last_two_are_kept_with_the_blocks_they_need(tmp_path: Path) -> None:
    replay = Replay(2 * BLOCK, (3,), np.uint8, 1)
    for part in range(6):
        save_checkpoint(tmp_path, state(part), grown(replay, BLOCK), replay.head)
    assert sorted(path.name for path in tmp_path.glob("0*")) == ["000000004", "000000005"]
    for path in tmp_path.glob("0*"):
        load_checkpoint(path, Replay(2 * BLOCK, (3,), np.uint8, 1))
    assert len(list((tmp_path / "replay").iterdir())) <= 4


def test_what_a_crash_left_of_a_block_is_removed(tmp_path: Path) -> None:
    replay = grown(Replay(4 * BLOCK, (3,), np.uint8, 1), BLOCK + 9)
    save_checkpoint(tmp_path, state(1), replay, replay.head)
    left = tmp_path / "replay" / ".000001-abc.safetensors.4711.part"
    left.write_bytes(b"half a block")
    save_checkpoint(tmp_path, state(2), replay, replay.head)
    assert not left.exists()


def test_slots_that_may_still_change_are_not_frozen_in_a_block(tmp_path: Path) -> None:
    replay = grown(Replay(4 * BLOCK, (3,), np.uint8, 1), BLOCK)
    save_checkpoint(tmp_path, state(1), replay, first_open=BLOCK - 1)
    assert not list((tmp_path / "replay").iterdir())


@pytest.mark.parametrize("stage", ["_write_blocks", "_write_folder", "_drop_old"])
def test_a_crash_while_writing_leaves_a_whole_checkpoint(
    tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay = grown(Replay(4 * BLOCK, (3,), np.uint8, 1), BLOCK + 3)
    save_checkpoint(tmp_path, state(1), replay, replay.head)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, stage, crash)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, state(2), grown(replay, BLOCK), replay.head)
    path = latest_checkpoint(tmp_path)
    assert path is not None
    load_checkpoint(path, Replay(4 * BLOCK, (3,), np.uint8, 1))


@pytest.mark.parametrize("rename", [1, 2])
def test_a_crash_while_one_takes_the_place_of_another_leaves_a_whole_checkpoint(
    tmp_path: Path, rename: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay = grown(Replay(100, (3,), np.uint8, 1), 9)
    save_checkpoint(tmp_path, state(1), replay, replay.head)
    original, renames = Path.rename, 0

    def crash(path: Path, target: Path) -> Path:
        nonlocal renames
        renames += 1
        if renames == rename:
            raise KeyboardInterrupt
        return original(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", crash)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(tmp_path, state(1), replay, replay.head)
    recover(tmp_path)
    path = latest_checkpoint(tmp_path)
    assert path is not None
    load_checkpoint(path, Replay(100, (3,), np.uint8, 1))
    save_checkpoint(tmp_path, state(1), replay, replay.head)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000000001", "replay"]


def test_what_a_crash_left_aside_is_not_in_the_way(tmp_path: Path) -> None:
    replay = grown(Replay(100, (3,), np.uint8, 1), 9)
    first = save_checkpoint(tmp_path, state(1), replay, replay.head)
    shutil.copytree(first, tmp_path / ".000000001.aside")  # the new one was in its place already
    save_checkpoint(tmp_path, state(1), replay, replay.head)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000000001", "replay"]


@pytest.mark.parametrize("damage", [b"nothing", None])
def test_blocks_of_a_checkpoint_that_was_removed_are_not_used_again(
    tmp_path: Path, damage: bytes | None
) -> None:
    """It may have been removed for its damage, or for a setting that leads elsewhere."""
    replay = grown(Replay(9 * BLOCK, (3,), np.uint8, 1), BLOCK + 3)
    first = save_checkpoint(tmp_path, state(1), replay, replay.head)
    newest = save_checkpoint(tmp_path, state(2), grown(replay, BLOCK), replay.head)
    if damage is not None:
        next((tmp_path / "replay").glob("000001-*")).write_bytes(damage)
    shutil.rmtree(newest)
    other = Replay(9 * BLOCK, (3,), np.uint8, 1)
    load_checkpoint(first, other)
    slots = other.open(np.full((2 * BLOCK, 3), 7, np.uint8))  # not what followed before
    other.close(slots[:-1], slots[:-1, None] % 2, slots[:-1], slots[:-1] < 0, slots[1:])
    last = save_checkpoint(tmp_path, state(3), other, other.head - 1)
    copy = Replay(9 * BLOCK, (3,), np.uint8, 1)
    load_checkpoint(last, copy)
    same(other, copy)


def damage_missing(path: Path) -> None:
    (path / "state.safetensors").unlink()


def damage_cut(path: Path) -> None:
    data = (path / "state.safetensors").read_bytes()
    (path / "state.safetensors").write_bytes(data[: len(data) // 2])


def damage_bit(path: Path) -> None:
    data = bytearray((path / "state.safetensors").read_bytes())
    data[-1] ^= 1
    (path / "state.safetensors").write_bytes(bytes(data))


def damage_json(path: Path) -> None:
    (path / "state.json").write_text("{")


def damage_block(path: Path) -> None:
    next((path.parent / "replay").iterdir()).write_bytes(b"nothing")


@pytest.mark.parametrize(
    "damage", [damage_missing, damage_cut, damage_bit, damage_json, damage_block]
)
def test_damage_is_one_clear_error(tmp_path: Path, damage: Any) -> None:
    replay = grown(Replay(4 * BLOCK, (3,), np.uint8, 1), BLOCK + 3)
    path = save_checkpoint(tmp_path, state(1), replay, replay.head)
    damage(path)
    with pytest.raises(DamagedFileError, match="remove that folder") as caught:
        load_checkpoint(path, Replay(4 * BLOCK, (3,), np.uint8, 1))
    assert "\n" not in str(caught.value)


def test_a_changed_digit_in_the_tree_is_told(tmp_path: Path) -> None:
    replay = grown(Replay(100, (3,), np.uint8, 1), 9)
    path = save_checkpoint(tmp_path, state(1) | {"updates": 7}, replay, replay.head)
    tree = path / "state.json"
    tree.write_text(tree.read_text().replace('"updates": 7', '"updates": 9'))
    with pytest.raises(DamagedFileError, match=r"state\.json was altered"):
        load_checkpoint(path, Replay(100, (3,), np.uint8, 1))
