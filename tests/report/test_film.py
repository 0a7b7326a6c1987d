"""Films of runs: what they show is what the policy does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from rivc.envs import make
from rivc.errors import ConfigError, MissingError, UsageError
from rivc.neurochip import load_backend
from rivc.report.film import film_run
from rivc.report.stage import Stage, action_names, film_task, frame_rate
from rivc.snn_convert import reference
from rivc.snn_convert.program import greedy
from rivc.train.appraise import appraisal_seeds
from rivc.train.evaluate import play
from rivc.train.policy import load_program
from rivc.train.setup import make_tasks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from rivc.train.run import RunFolder
    from rivc.train.worlds import Episode

    MakeRun = Callable[..., RunFolder]
    PlayVideo = Callable[[Path], Any]

TRACKER = {
    "env_id": "test/Tracker-v0",
    "kwargs": {"camera": "ray", "size": 16, "video_size": [64, 64]},
    "net": {"conv": [[4, 3, 2]], "hidden": [8]},
}


def evaluated(folder: RunFolder, seed: int, count: int = 1) -> tuple[Episode, ...]:
    """The same episodes, played without a film by the definition of the program."""
    program = load_program(folder)[1]
    tasks = make_tasks(folder.config(), 1)

    def act(observation: NDArray[np.float64]) -> NDArray[np.int64]:
        return greedy(reference.run(program, program.encode(observation)))

    return play(tasks, act, appraisal_seeds(seed, count)).episodes


def test_cartpole_is_filmed_decision_by_decision(
    tmp_path: Path, make_run: MakeRun, play_video: PlayVideo
) -> None:
    folder = make_run("test/CartPole-v0")
    info = film_run(folder.path, tmp_path / "film.mp4", seed=3)
    (episode,) = evaluated(folder, seed=3)
    assert info.path == tmp_path / "film.mp4"
    assert info.frames == episode.length == 5
    assert info.episode_return == episode.episode_return
    assert len(play_video(info.path).frames) == 5


def test_the_tracker_is_filmed_with_its_world(
    tmp_path: Path, make_run: MakeRun, play_video: PlayVideo
) -> None:
    info = film_run(make_run(**TRACKER).path, tmp_path / "film.mp4")
    video = play_video(info.path)
    assert " 10 fps" in video.stream
    assert video.frames.shape == (info.frames, 544, 832, 3)
    assert info.frames == 3


@pytest.mark.parametrize("settings", [{"env_id": "test/CartPole-v0"}, TRACKER])
def test_films_are_gifs_where_a_gif_is_asked_for(
    tmp_path: Path, make_run: MakeRun, settings: dict[str, Any]
) -> None:
    info = film_run(make_run(**settings).path, tmp_path / "film.gif")
    with Image.open(info.path) as film:
        assert film.format == "GIF"
        assert film.n_frames == info.frames
        assert film.width % 16 == film.height % 16 == 0


def test_a_film_shows_all_episodes_and_tells_their_mean(tmp_path: Path, make_run: MakeRun) -> None:
    folder = make_run("test/Drift-v0")
    info = film_run(folder.path, tmp_path / "film.gif", episodes=2, seed=1)
    assert info.frames == 12
    assert info.episode_return == 9.0


def test_many_joints_are_filmed(tmp_path: Path, make_run: MakeRun) -> None:
    folder = make_run("test/Drift-v0", kwargs={"joints": 4})
    assert film_run(folder.path, tmp_path / "film.gif").frames == 6


def test_another_chip_shows_the_same_film(tmp_path: Path, make_run: MakeRun) -> None:
    folder = make_run("test/Drift-v0")
    films = [
        film_run(folder.path, tmp_path / f"{name}.gif", backend=name)
        for name in ("emulator", "snntorch")
    ]
    assert films[0].episode_return == films[1].episode_return


def test_the_best_program_is_filmed_or_the_latest(make_run: MakeRun) -> None:
    folder, other = make_run("test/Drift-v0"), make_run("test/Drift-v0", seed=1)
    latest, best = (load_program(run, "latest")[1] for run in (folder, other))
    assert load_program(folder)[1].sha256 == latest.sha256
    folder.best.mkdir()
    best.save(folder.best / "program.npz")
    assert load_program(folder)[1].sha256 == best.sha256
    assert load_program(folder, "latest")[1].sha256 == latest.sha256


@pytest.mark.parametrize(
    ("env_id", "view", "reason"),
    [
        ("test/Drift-v0", "broken", "the window is stuck"),
        ("test/Drift-v0", "text", "not uint8"),
    ],
)
def test_a_world_that_cannot_be_drawn_is_left_out_with_one_line(
    tmp_path: Path,
    make_run: MakeRun,
    caplog: pytest.LogCaptureFixture,
    env_id: str,
    view: str,
    reason: str,
) -> None:
    folder = make_run(env_id, kwargs={"view": view})
    assert film_run(folder.path, tmp_path / "film.gif").frames == 6
    (line,) = caplog.messages
    assert reason in line
    assert "second line" not in line


def test_a_task_without_a_view_is_filmed_without_a_word(
    tmp_path: Path, make_run: MakeRun, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_run("test/Unseen-v0")
    film_run(folder.path, tmp_path / "film.gif")
    assert not caplog.messages
    with Image.open(tmp_path / "film.gif") as film:
        assert film.width < 800


def test_a_film_of_less_than_an_episode_is_refused(tmp_path: Path, make_run: MakeRun) -> None:
    with pytest.raises(UsageError, match="at least 1 episode, not 0"):
        film_run(make_run("test/Drift-v0").path, tmp_path / "film.gif", episodes=0)


def test_a_run_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no run at"):
        film_run(tmp_path / "nowhere", tmp_path / "film.gif")


def test_a_run_without_a_program_says_how_to_get_one(tmp_path: Path, make_run: MakeRun) -> None:
    folder = make_run("test/Drift-v0")
    folder.program.unlink()
    with pytest.raises(MissingError, match="rivc resume"):
        film_run(folder.path, tmp_path / "film.gif")


def test_an_unknown_policy_or_chip_is_named(tmp_path: Path, make_run: MakeRun) -> None:
    path = make_run("test/Drift-v0").path
    with pytest.raises(UsageError, match="did you mean 'latest'"):
        film_run(path, tmp_path / "film.gif", policy="lates")
    with pytest.raises(ConfigError, match="did you mean 'emulator'"):
        film_run(path, tmp_path / "film.gif", backend="emulatr")


def test_a_wrong_ending_is_refused_before_anything_is_played(
    tmp_path: Path, make_run: MakeRun
) -> None:
    with pytest.raises(UsageError, match="a film ends in one of"):
        film_run(make_run("test/Drift-v0").path, tmp_path / "film.webm")


def test_moments_add_up_to_the_episode(make_run: MakeRun) -> None:
    folder = make_run("test/Drift-v0")
    program, chip = load_program(folder)[1], load_backend("emulator")
    chip.load(program)
    task, view = film_task(folder.config())
    moments = list(Stage(task, chip, program, view, (5,)).moments())
    assert [moment.step for moment in moments] == [1, 2, 3, 4, 5, 6]
    assert [moment.episode_return for moment in moments] == [1.5, 3.0, 4.5, 6.0, 7.5, 9.0]
    assert [int(moment.world[0, 0, 0]) for moment in moments] == [0, 40, 80, 120, 160, 200]
    for moment in moments:
        assert np.array_equal(moment.readout, reference.run(program, moment.counts[None])[0])
        fired = sum(rates.sum() for rates in moment.rates) * 15
        assert fired == pytest.approx(moment.spike_count)


def test_actions_have_the_names_that_the_task_gives_them(make_run: MakeRun) -> None:
    task, _ = film_task(make_run(**TRACKER).config())
    assert action_names(task) == (("",), task.env.unwrapped.action_names)
    drone = make("rivc/DroneHover-v0", obs_mode="state")
    assert action_names(drone) == (("thrust", "roll", "pitch", "yaw"), ("less", "hold", "more"))


def test_actions_without_names_are_numbered(make_run: MakeRun) -> None:
    task, _ = film_task(make_run("test/Drift-v0").config())
    assert action_names(task) == (("",), ("action 0", "action 1", "action 2"))
    task, _ = film_task(make_run("test/Drift-v0", seed=1, kwargs={"joints": 2}).config())
    assert action_names(task) == (("joint 0", "joint 1"), ("0", "1", "2"))


def test_the_frame_rate_is_the_control_rate(make_run: MakeRun) -> None:
    task, _ = film_task(make_run("test/Drift-v0").config())
    assert frame_rate(task) == 20
