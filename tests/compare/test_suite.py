"""Suites: which jobs they are, and what is told of one that is wrong."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from rivc.compare.job import Job
from rivc.compare.judge import opened
from rivc.compare.suite import SUITES, load_suite, slug
from rivc.errors import ConfigError, MissingError
from rivc.train import config_names
from tests.compare.conftest import TINY

if TYPE_CHECKING:
    from pathlib import Path

    from rivc.compare.suite import Suite


def write(path: Path, **changes: Any) -> Path:
    """A suite that differs from the tiny one."""
    path.write_text(yaml.safe_dump({**yaml.safe_load(TINY), **changes}, sort_keys=False))
    return path


def changed(tmp_path: Path, **changes: Any) -> Suite:
    return load_suite(write(tmp_path / "changed.yaml", **changes))


def test_jobs_are_the_product_seed_by_seed(tmp_path: Path) -> None:
    jobs = changed(tmp_path, bit_widths=[2, 4], seeds=2).jobs()
    names = [job.name for job in jobs]
    assert names[:4] == [
        "cartpole/all-2bit/seed0",
        "cartpole/all-4bit/seed0",
        "cartpole/none-2bit/seed0",
        "cartpole/none-4bit/seed0",
    ]
    assert len(set(names)) == len(names) == 8
    assert [job.config.seed for job in jobs] == [0] * 4 + [1] * 4


def test_a_job_has_the_settings_of_its_place(tiny: Suite, tmp_path: Path) -> None:
    every, none = (job.config for job in tiny.jobs())
    assert (every.quant.weight_bits, every.quant.activation_bits) == (2, 2)
    assert every.train.env_steps == 240
    assert every.quant.enabled
    assert every.train.gap_coef > 0
    assert not none.quant.enabled
    assert none.train.gap_coef == none.train.margin_coef == 0
    ternary = changed(tmp_path, bit_widths=[1], weight_bits={1: 2}).jobs()[0].config.quant
    assert (ternary.weight_bits, ternary.activation_bits) == (2, 1)


def test_what_is_excluded_is_no_job(tmp_path: Path) -> None:
    exclude = [{"variant": "none", "bit_width": [3, 4]}, {"seed": 1, "bit_width": 2}]
    jobs = changed(tmp_path, bit_widths=[2, 3, 4], seeds=2, exclude=exclude).jobs()
    places = Counter((job.variant, job.bit_width) for job in jobs)
    assert places == {("all", 2): 1, ("all", 3): 2, ("all", 4): 2, ("none", 2): 1}


def test_a_peer_trains_once_for_all_widths(tmp_path: Path) -> None:
    variants = {"all": {}, "DQN": {"peer": "sb3", "train.batch_size": 8}}
    exclude = [{"variant": "DQN", "bit_width": 4}]
    jobs = changed(tmp_path, variants=variants, bit_widths=[1, 2, 4], exclude=exclude).jobs()
    [peer] = [job for job in jobs if job.peer]
    assert (peer.bit_width, peer.config.train.batch_size) == (32, 8)
    assert [width.activations for width in peer.widths] == [1, 2]


def test_a_task_may_have_seeds_of_its_own(tmp_path: Path) -> None:
    tasks = yaml.safe_load(TINY)["tasks"]
    tasks["cartpole"]["seeds"] = 3
    assert len(changed(tmp_path, tasks=tasks).jobs()) == 6


def test_a_job_comes_back_from_its_file(tiny: Suite, tmp_path: Path) -> None:
    for job in tiny.jobs():
        job.save(tmp_path)
        assert Job.load(tmp_path) == job
        assert Job.load(tmp_path).hash == job.hash


def test_hashes_tell_training_from_evaluation(tiny: Suite, tmp_path: Path) -> None:
    job, other = tiny.jobs()
    assert job.training_hash != other.training_hash
    again = changed(tmp_path, evaluation={"episodes": 3, "states": 32}).jobs()[0]
    assert again.training_hash == job.training_hash
    assert again.folder(tmp_path) == job.folder(tmp_path)
    assert again.hash != job.hash


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"taks": {}}, "unknown key 'taks'; did you mean 'tasks'?"),
        ({"tasks": {"a": {"confg": "quickstart"}}}, "did you mean 'tasks.a.config'?"),
        ({"tasks": {"a": {"config": "quickstart", "random": 0}}}, "tasks.a.solved: Field required"),
        (
            {"tasks": {"a": {"config": "quickstart", "random": 1, "solved": 1}}},
            "random and solved are both 1.0",
        ),
        (
            {"tasks": {"a": {"config": "quickstart", "random": 0, "solved": float("nan")}}},
            "tasks.a.solved: Input should be a finite number",
        ),
        (
            {"tasks": {"all": {"config": "quickstart", "random": 0, "solved": 1}}},
            "tasks.all: it is the name of all tasks together",
        ),
        ({"tasks": {}}, "tasks: Dictionary should have at least 1 item"),
        ({"variants": {"a b": {}, "A-b": {}}}, "variants 'a b' and 'A-b' are too alike"),
        ({"variants": {"../up": {}}}, "variants.../up"),
        ({"variants": {"a": {"peer": "rllib"}}}, "Input should be 'sb3'"),
        ({"variants": {"a": 3}}, "variants.a"),
        ({"bit_widths": [9]}, "bit_widths.0"),
        ({"seeds": 0}, "seeds: Input should be greater than 0"),
        ({"exclude": [{"variant": "non"}]}, "no variant 'non'; did you mean 'none'?"),
        (
            {"effects": {"gap": {"variants": "all", "against": ["non"]}}},
            "effects.gap: no variant 'non'; did you mean 'none'?",
        ),
        (
            {"effects": {"gap": {"variants": ["al"], "against": "none"}}},
            "effects.gap: no variant 'al'; did you mean 'all'?",
        ),
        ({"effects": {"gap": {"variants": ["all", "none"], "against": "none"}}}, "be as many"),
        ({"effects": {"gap": {"variants": "all", "against": "all"}}}, "each named once"),
        (
            {"effects": {"gap": {"variants": "all", "agains": "none"}}},
            "did you mean 'effects.gap.against'",
        ),
        ({"exclude": [{"task": "cart"}]}, "no task 'cart'; did you mean 'cartpole'?"),
        ({"exclude": [{"bits": 2}]}, "unknown key 'exclude.0.bits'"),
        ({"evaluation": {"episode": 3}}, "did you mean 'evaluation.episodes'?"),
    ],
)
def test_a_suite_that_is_wrong_is_told_in_one_line(
    changes: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        changed(tmp_path, **changes)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"variants": {"a": {"train.gap_cof": 0}}},
            "task 'cartpole', variant 'a': quickstart: unknown key 'train.gap_cof'; did you mean",
        ),
        ({"variants": {"a": {"train.gap_coef": 2}}}, "train.gap_coef: Input should be less than"),
        ({"variants": {"a": {"eval.every_env_steps": 70}}}, "a multiple of log.every_env_steps"),
        ({"variants": {"a": {"train": {"gap_coef": 0}}}}, "train is a section; write its settings"),
        (
            {"variants": {"a": {"quant.activation_bits": 3}}},
            "quant.activation_bits is 3 where the suite says 2 bits; list it under bit_widths",
        ),
        (
            {
                "tasks": {name: yaml.safe_load(TINY)["tasks"]["cartpole"] for name in ("a", "a-b")},
                "variants": {"b-c": {}, "c": {}},
            },
            "'b-c' of task 'a' and 'c' of task 'a-b' are the same job",
        ),
        ({"exclude": [{"bit_width": 2}]}, "suite 'changed' has 0 jobs"),
        ({"seeds": 10**7}, "has 20,000,000 jobs, not 1..100,000"),
    ],
)
def test_a_job_that_is_wrong_is_told_before_anything_runs(
    changes: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        changed(tmp_path, name="changed", **changes).jobs()
    assert says in str(caught.value)


def test_a_suite_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(MissingError, match=r"no suite 'smok'; shipped: .*did you mean 'smoke'"):
        load_suite("smok")


@pytest.mark.parametrize("name", SUITES.names())
def test_every_shipped_suite_resolves(name: str) -> None:
    jobs = load_suite(name).jobs()
    assert len({job.hash for job in jobs}) == len(jobs)
    assert len({job.training_hash for job in jobs}) == len(jobs)


def test_the_ablation_is_the_one_that_was_planned() -> None:
    jobs = load_suite("ablation").jobs()
    seeds = Counter((job.task, job.variant, job.bit_width) for job in jobs)
    assert {task: n for (task, *_), n in seeds.items()} == {
        "cartpole": 10,
        "pan servo": 5,
        "tracker": 5,
        "arm reach": 5,
    }
    variants = Counter(width for task, _, width in seeds if task == "cartpole")
    assert variants == {1: 10, 2: 12, 3: 2, 4: 16, 8: 2}


def test_suites_are_no_configurations() -> None:
    assert not {"smoke", "ablation", "peers", "suites"} & set(config_names())


@pytest.mark.parametrize("name", ["No gap", "a_b", "x.y", "1 bit (ternary)"])
def test_slugs_stay_within_their_folder(name: str) -> None:
    assert slug(name)
    assert not {"/", " ", ".."} & {slug(name), *slug(name)}


@pytest.mark.parametrize(
    ("forms", "told"),
    [
        ("{2 ticks: {backend: spiking}}", "one must be 'chip'"),
        ("{chip: {}, fpnn: {}}", "'fpnn' is the network"),
    ],
)
def test_a_form_that_nothing_could_be_said_of_is_told(
    tiny_file: Path, forms: str, told: str
) -> None:
    text = tiny_file.read_text().replace("states: 32}", f"states: 32, forms: {forms}}}")
    tiny_file.write_text(text)
    with pytest.raises(ConfigError, match=told):
        load_suite(tiny_file)


def test_a_chip_that_is_not_there_is_told_before_anything_is_trained(tiny_file: Path) -> None:
    text = tiny_file.read_text()
    tiny_file.write_text(text.replace("32}", "32, forms: {chip: {backend: emulatr}}}"))
    with (
        pytest.raises(ConfigError, match=r"evaluation.forms.chip: .*did you mean .emulator."),
        opened(load_suite(tiny_file).evaluation),
    ):
        pass
