"""`rivc stress`."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from rivc.envs import GlStatus, gl_status
from rivc.envs.disturb import FAMILIES
from rivc.report.robustness import chart, markdown, rows
from rivc.train.evaluate import Score
from rivc.train.stress import CONDITIONS, SEEN, Robustness
from rivc.train.worlds import Episode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from click.testing import Result

    Call = Callable[..., Result]

TRACKER = """\
env: {id: rivc/VisualTracker-v0, count: 1, kwargs: {camera: ray, obs_mode: MODE}}
net: {conv: CONV, hidden: [8]}
train: {env_steps: 60, warmup_env_steps: 40, batch_size: 8}
eval: {every_env_steps: 1000, episodes: 1}
checkpoint: {every_env_steps: 1000}
"""
VARIANTS = {"rgb": "[[4, 3, 4]]", "state": "[]"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An almost untrained run for pictures and one for states."""
    from click.testing import CliRunner

    from rivc.cli.main import cli

    folder, made = tmp_path_factory.mktemp("stress"), {}
    for mode, conv in VARIANTS.items():
        config, made[mode] = folder / f"{mode}.yaml", folder / mode
        config.write_text(TRACKER.replace("MODE", mode).replace("CONV", conv))
        result = CliRunner().invoke(cli, ["train", str(config), "--run", str(made[mode])])
        assert result.exit_code == 0, result.stderr
    return made


def test_runs_stand_side_by_side_with_their_bit_width(
    runs: dict[str, Path], rivc: Call, tmp_path: Path
) -> None:
    words = ("--episodes", 1, "--out", tmp_path / "new", "--json")
    result = rivc("stress", runs["rgb"], runs["state"], *words)
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["difficulty"] == 0.5
    seen, felt = (found["conditions"] for found in facts["runs"])
    assert list(seen) == list(CONDITIONS)
    assert list(felt) == [name for name in CONDITIONS if name not in SEEN]
    assert seen["nominal"]["share_of_nominal"] == 1
    assert (seen["other_renderer"] is None) == (gl_status().backend is None)
    text = (tmp_path / "new" / "robustness.md").read_text()
    assert "| disturbance | rgb (4 bits) | state (4 bits) |" in text
    assert len([line for line in text.splitlines() if line.startswith("|")]) == len(CONDITIONS) + 2
    with Image.open(tmp_path / "new" / "robustness.png") as picture:
        assert picture.format == "PNG"


def test_the_other_renderer_is_no_ray_camera_where_rays_draw_already(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from rivc.train import stress
    from rivc.train.config import load_config

    config = load_config("tracker", {"env.kwargs.camera": "auto"})
    for backend, other in (("egl", "ray"), (None, "gl")):
        monkeypatch.setattr(stress, "gl_status", lambda backend=backend: GlStatus(backend))
        changed = stress._under(config, stress.RENDERER, 0.5)
        assert changed.env.kwargs["camera"] == other


@pytest.mark.parametrize("family", ["light", "sensor_noise", "all"])
def test_a_condition_is_that_disturbance_and_no_other(family: str) -> None:
    from rivc.train import stress
    from rivc.train.config import load_config

    trained_with = {"env.kwargs.disturbances": "all", "env.kwargs.difficulty": 0.8}
    config = load_config("tracker", {**trained_with, "env.kwargs.camera": "ray"})
    kept = {key: config.env.kwargs[key] for key in config.env.kwargs.keys() - {"disturbances"}}
    under = {
        name: stress._under(config, name, 0.5).env.kwargs
        for name in (stress.NOMINAL, stress.RENDERER, family)
    }
    assert under[stress.NOMINAL] == {**kept, "disturbances": None}
    assert under[stress.RENDERER] == {**kept, "disturbances": None, "camera": "gl"}
    assert under[family] == {**kept, "disturbances": family, "difficulty": 0.5}


def never(*_: object, **__: object) -> None:
    raise AssertionError("it played before it looked")


def test_all_runs_and_the_folder_are_looked_at_before_anything_is_played(
    runs: dict[str, Path],
    trained: Path,
    rivc: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rivc.train.stress.play", never)
    result = rivc("stress", runs["state"], trained)
    assert (result.exit_code, "CartPole-v1 knows no disturbances" in result.stderr) == (2, True)
    (tmp_path / "file").write_text("")
    result = rivc("stress", runs["state"], "--out", tmp_path / "file" / "below")
    assert (result.exit_code, "cannot write" in result.stderr) == (2, True)


def test_what_cannot_be_written_after_all_is_on_the_screen(
    runs: dict[str, Path], rivc: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("rivc.snn_convert.storage.write_atomically", full)
    result = rivc("stress", runs["state"], "--episodes", 1, "--out", tmp_path)
    assert result.exit_code == 2
    assert "dropped frames" in result.stdout
    assert "no space left" in result.stderr


def test_the_bar_is_as_long_as_what_is_played_and_names_the_run(
    runs: dict[str, Path], rivc: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    totals, told = [], []

    @contextmanager
    def counted(_: str, total: int) -> Iterator[Callable[[str], None]]:
        totals.append(total)
        yield told.append

    monkeypatch.setattr("rivc.cli.stress.counted", counted)
    assert rivc("stress", runs["state"], "--episodes", 1).exit_code == 0
    assert totals == [len(told)] == [len(CONDITIONS) - len(SEEN)]
    assert told[0] == f"{runs['state']}: nominal"


def test_the_same_request_gives_the_same_answer(runs: dict[str, Path], rivc: Call) -> None:
    words = ("stress", runs["state"], "--episodes", 2, "--difficulty", 1)
    first, second = rivc(*words), rivc(*words)
    assert first.exit_code == 0
    assert first.stdout == second.stdout
    assert "dropped frames" in first.stdout


def test_at_difficulty_zero_nothing_is_lost(runs: dict[str, Path], rivc: Call) -> None:
    words = ("--episodes", 2, "--difficulty", 0, "--json")
    conditions = json.loads(rivc("stress", runs["state"], *words).stdout)["runs"][0]["conditions"]
    assert all(score == conditions["nominal"] for score in conditions.values())


def test_a_task_without_disturbances_is_refused_in_one_line(trained: Path, rivc: Call) -> None:
    result = rivc("stress", trained)
    assert result.exit_code == 2
    assert result.stderr == (
        "rivc: CartPole-v1 knows no disturbances; only the MuJoCo tasks of rivc do, `rivc envs` "
        "lists them\n"
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--difficulty", 2), "2.0 is not in the range 0<=x<=1"),
        (("--episodes", 0), "0 is not in the range x>=1"),
        (("--policy", "newest"), "'newest' is not one of"),
    ],
)
def test_a_wrong_option_is_named(
    words: tuple[object, ...], says: str, trained: Path, rivc: Call
) -> None:
    result = rivc("stress", trained, *words)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_named(
    runs: dict[str, Path], rivc: Call, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    words = ("--episodes", 1, "--out", tmp_path / "file" / "below")
    result = rivc("stress", runs["state"], *words)
    assert result.exit_code == 2
    assert "cannot write" in result.stderr


def made(**returns: float | None) -> Robustness:
    scores = {
        name: None if value is None else Score((Episode(value, 10, True),))
        for name, value in returns.items()
    }
    return Robustness("run", 4, "rivc/Task-v0", "best", "0" * 64, scores)


def test_shares_are_of_the_nominal_return() -> None:
    found = made(nominal=200, light=150, other_renderer=None)
    assert found.share("light") == 0.75
    assert found.share("other_renderer") is None
    assert found.share("mass") is None
    assert made(nominal=-5, light=-6).share("light") is None


def test_a_cell_says_return_share_and_success() -> None:
    found = made(nominal=200, light=150, other_renderer=None)
    assert rows([found, made(nominal=100)]) == [
        ["nominal", "200.0 ± 0.0, 100%", "100.0 ± 0.0, 100%"],
        ["light", "150.0 ± 0.0, 75%, 100%", ""],
        ["other renderer", "no OpenGL here", ""],
    ]
    assert "| light | 150.0 ± 0.0, 75%, 100% |" in markdown([found], "title")


def test_a_bar_is_as_long_as_its_share() -> None:
    shares = {"light": 0, "mass": 50, "all": 100}
    pixels = np.asarray(chart([made(nominal=100, **shares)], "title"))
    lengths = [(row == (255, 176, 59)).all(1).sum() for row in pixels]
    assert max(lengths) == pytest.approx(520 / 1.1, abs=2)
    assert sorted(set(lengths))[-2] == pytest.approx(520 / 2.2, abs=2)


def test_every_family_is_a_condition() -> None:
    assert set(FAMILIES) < set(CONDITIONS)
    assert set(SEEN) < set(CONDITIONS)
