"""rivc in the command line of rl-zoo3, in processes of its own, for it patches Gymnasium."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from rivc.errors import DivergedError, MissingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("stable_baselines3", reason="pip install 'rivc[sb3]'")

from rivc import zoo
from rivc.sb3 import RIVC
from rivc.sb3.zoo import ZooRIVC
from rivc.train.config import Config, overridden

with_zoo = pytest.mark.skipif(find_spec("rl_zoo3") is None, reason="pip install 'rivc[zoo]'")
TINY = ("-params", "hidden:[8]", "learning_starts:64", "batch_size:8", "n_envs:2")
SHORT = ("-n", "200", "--eval-episodes", "1")


def in_zoo(folder: Path, verb: str, *options: str) -> str:
    """What a verb of rl-zoo3 says about CartPole-v1."""
    done = subprocess.run(
        [sys.executable, "-m", "rivc.zoo", verb, "--env", "CartPole-v1", "-f", "logs", *options],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


class Lowest:
    """A trial of Optuna that always takes the lowest value, or the first choice."""

    def suggest_float(self, _: str, low: float, *__: Any, **___: Any) -> float:
        return low

    def suggest_int(self, _: str, low: int, *__: Any, **___: Any) -> int:
        return low

    def suggest_categorical(self, _: str, choices: list[str]) -> str:
        return choices[0]


def test_what_a_trial_chooses_are_settings_of_rivc() -> None:
    overridden(Config(), zoo.sampled(Lowest(), 0, 1, {}))


def test_the_choices_of_a_finished_trial_come_back_from_text() -> None:
    found = zoo.converted({"a": "[64, 64]", "b": "0.25", "c": 3})
    assert found == {"a": [64, 64], "b": 0.25, "c": 3}


def test_its_hyperparameters_are_the_defaults() -> None:
    given = dict(zoo.hyperparams["default"])
    assert (given.pop("n_envs"), given.pop("n_timesteps")) == (8, 30_000)
    assert RIVC(env="CartPole-v1", **given).config.train == Config().train


def test_a_trial_that_diverges_is_one_that_the_search_prunes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def diverge(*_: Any, **__: Any) -> None:
        raise DivergedError("no longer finite")

    monkeypatch.setattr(RIVC, "learn", diverge)
    with pytest.raises(ValueError, match="no longer finite"):
        ZooRIVC("MlpPolicy", "CartPole-v1", hidden=[8]).learn(10)


def test_a_missing_zoo_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "find_spec", lambda _: None)
    with pytest.raises(MissingError, match=r"pip install 'rivc\[zoo\]'"):
        zoo.register()


ZOO = {
    "__init__.py": "ALGOS, RAN = {'dqn': object}, []",
    "hyperparams_opt.py": "HYPERPARAMS_SAMPLER, HYPERPARAMS_CONVERTER = {}, {}",
    **dict.fromkeys(
        ("train.py", "enjoy.py", "record_video.py"),
        "import sys, rl_zoo3; rl_zoo3.RAN.append((__name__, __spec__.name, sys.argv[1:]))",
    ),
}
"""What of rl-zoo3 is touched; a verb notes how it was run."""


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A package in the place of rl-zoo3, installed or not."""

    def present() -> list[str]:
        return [name for name in sys.modules if name.partition(".")[0] == "rl_zoo3"]

    (tmp_path / "rl_zoo3").mkdir()
    for name, text in ZOO.items():
        (tmp_path / "rl_zoo3" / name).write_text(text)
    for name in present():
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    yield import_module("rl_zoo3")
    for name in present():
        del sys.modules[name]


def test_it_is_one_more_algorithm_of_the_zoo_and_can_be_searched(stub: Any) -> None:
    zoo.register()
    search = import_module("rl_zoo3.hyperparams_opt")
    algos, sampler, converter = (
        stub.ALGOS,
        search.HYPERPARAMS_SAMPLER,
        search.HYPERPARAMS_CONVERTER,
    )
    assert algos == {"dqn": object, "rivc": ZooRIVC}
    assert sampler == {"rivc": zoo.sampled}
    assert converter == {"rivc": zoo.converted}


@pytest.mark.parametrize(
    ("verb", "given"),
    [
        ("train", ["--algo", "rivc", "--conf-file", "rivc.zoo"]),
        ("enjoy", ["--algo", "rivc"]),
        ("record_video", ["--algo", "rivc"]),
    ],
)
def test_a_verb_is_a_module_of_the_zoo_and_options_of_the_user_come_last(
    stub: Any, monkeypatch: pytest.MonkeyPatch, verb: str, given: list[str]
) -> None:
    own = ["--env", "CartPole-v1", "--conf-file", "mine.yml"]
    monkeypatch.setattr(sys, "argv", ["zoo", verb, *own])
    zoo.main()
    [ran] = stub.RAN
    assert ran == ("__main__", f"rl_zoo3.{verb}", [*given, *own])
    assert stub.ALGOS["rivc"] is ZooRIVC
    assert import_module("rivc.zoo").hyperparams  # what --conf-file names


@pytest.mark.parametrize("options", [[], ["--env", "CartPole-v1"], ["plot_train"]])
def test_another_verb_is_told_in_one_line(
    stub: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["zoo", *options])
    with pytest.raises(SystemExit) as stopped:
        zoo.main()
    assert stopped.value.code == UsageError.exit_code
    told = f"rivc: rivc.zoo has no {(options or [''])[0]!r}; known: train, enjoy, record_video\n"
    assert capsys.readouterr().err == told
    assert not stub.RAN


def test_a_missing_library_is_told_in_one_line() -> None:
    code = "import sys; sys.modules['stable_baselines3'] = sys.modules['rl_zoo3'] = None; "
    code += "sys.argv[0] = 'zoo'; import runpy; runpy.run_module('rivc.zoo', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == MissingError.exit_code
    assert done.stderr.startswith("rivc: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@with_zoo
def test_it_trains_evaluates_saves_goes_on_and_plays(tmp_path: Path) -> None:
    """With normalized observations, processes, checkpoints, and a seed of 32 bits as zoo draws."""
    how = ("--seed", "4000000000", "--eval-freq", "100", "--save-freq", "100")
    said = in_zoo(tmp_path, "train", *SHORT, *how, "--vec-env", "subproc", *TINY, "normalize:True")
    assert "Normalizing input and reward" in said
    assert "Eval num_timesteps=200" in said
    run = tmp_path / "logs" / "rivc" / "CartPole-v1_1"
    files = ["CartPole-v1.zip", "best_model.zip", "rl_model_100_steps.zip", "evaluations.npz"]
    assert all((run / file).exists() for file in files)
    assert "Mean reward" in in_zoo(tmp_path, "enjoy", "--no-render", "-n", "600")
    trained = RIVC.load(run / "CartPole-v1.zip")
    assert trained.config.seed == 4_000_000_000 - 2**31
    on = ("-i", str(run / "CartPole-v1.zip"), "--eval-freq", "-1")
    assert "Loading saved VecNormalize" in in_zoo(tmp_path, "train", *SHORT, *on, *TINY)
    again = RIVC.load(run.with_name("CartPole-v1_2") / "CartPole-v1.zip")
    assert again.program.encoding == trained.program.encoding
    assert again.learner.updates > 0


@pytest.mark.slow
@with_zoo
@pytest.mark.skipif(find_spec("pandas") is None, reason="rl-zoo3 writes its report with pandas")
def test_its_settings_can_be_searched_and_taken_from_the_study(tmp_path: Path) -> None:
    study = ("--storage", "sqlite:///study.db", "--study-name", "first", "--seed", "1")
    search = ("-optimize", "--n-trials", "2", "--n-evaluations", "1", "--no-optim-plots")
    assert "Best trial" in in_zoo(tmp_path, "train", *SHORT, *study, *search, *TINY)
    assert len(list((tmp_path / "logs" / "rivc").glob("report_*.csv"))) == 1
    taken = ("--trial-id", "1", "--eval-freq", "-1")
    said = in_zoo(tmp_path, "train", *SHORT, *study, *taken, "-params", "hidden:[8]")
    assert "Loading from Optuna study" in said
    assert "'train.gap_coef'" in said


@pytest.mark.slow
@with_zoo
def test_pictures_keep_their_channels_last_whatever_the_zoo_wraps(tmp_path: Path) -> None:
    task = ("--env", "rivc/PanServo-v0", "--gym-packages", "rivc.envs")
    net = ("-params", "config:'pan_servo'", "conv:[[4,3,3]]", "hidden:[8]", "learning_starts:64")
    said = in_zoo(tmp_path, "train", *SHORT, *task, "--eval-freq", "20", *net)
    assert "VecTransposeImage" in said
    assert "Eval num_timesteps" in said
    assert "Mean reward" in in_zoo(tmp_path, "enjoy", *task, "--no-render", "-n", "300")
