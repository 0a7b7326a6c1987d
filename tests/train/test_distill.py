"""Students: cheaper than their teachers, exact like any run, resumed like any run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from rivc.errors import ConfigError, DivergedError, UsageError
from rivc.nets import build_network
from rivc.neurochip.export.compressed import compress
from rivc.train import Trainer, distill, load_config
from rivc.train.config import overridden
from rivc.train.distill import Distiller, distill_loss, load_teacher, price_weights, sent_layer
from rivc.train.policy import load_policy
from rivc.train.record import read_metrics
from rivc.train.run import RunFolder
from rivc.train.tradeoff import student_config
from tests.train.runs import digest, results, small

if TYPE_CHECKING:
    from rivc.train import Config


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "parent"
    Trainer(small(), run).run()
    return run


def student(parent: Path, steps: int = 300, **prices: Any) -> Config:
    return student_config(RunFolder.open(parent), prices, steps)


def test_a_price_lowers_the_bits_of_counts(parent: Path, tmp_path: Path) -> None:
    Trainer(student(parent, layer=1, rate=100.0), tmp_path / "student").run()
    first, *_, last = (r for r in read_metrics(tmp_path / "student") if "inter_bits" in r)
    assert last["inter_bits"] < 0.8 * first["inter_bits"]
    assert last["conversion_mismatches"] == 0


def test_a_price_lowers_the_bits_of_weights(parent: Path, tmp_path: Path) -> None:
    Trainer(student(parent, weight_rate=5.0), tmp_path / "student").run()
    first, *_, last = (r for r in read_metrics(tmp_path / "student") if "bits_per_weight" in r)
    assert last["bits_per_weight"] < 0.9 * first["bits_per_weight"]
    _, paid = compress(load_policy(RunFolder.open(tmp_path / "student")).program)
    assert paid.entropy == pytest.approx(last["bits_per_weight"], rel=0.1)


def test_a_student_goes_on_as_if_it_had_not_stopped(parent: Path, tmp_path: Path) -> None:
    config = student(parent, 200, layer=1, rate=10.0, weight_rate=0.1)
    config = overridden(config, {"log.every_env_steps": 1})  # the first after the stop has no news
    Trainer(config, tmp_path / "whole").run()
    broken = Trainer(config, tmp_path / "broken")

    def stop(record: dict[str, Any]) -> None:
        broken.stop_requested = record["env_steps"] > 300

    broken.observers.append(stop)
    assert broken.run() is None
    Trainer.resume(tmp_path / "broken").run()
    assert digest(tmp_path / "broken" / "best") == digest(tmp_path / "whole" / "best")
    whole, again = (results(tmp_path / name) for name in ("whole", "broken"))
    newest = max((tmp_path / "whole" / "checkpoints").glob("[0-9]*")).name
    names = [f"{newest}/state.json", f"{newest}/state.safetensors"]
    assert [whole[name] for name in names] == [again[name] for name in names]
    assert undated(tmp_path / "broken") == undated(tmp_path / "whole")


def undated(run: Path) -> list[dict[str, Any]]:
    """The records of a run without what the clock says."""
    return [
        {key: value for key, value in record.items() if not key.endswith("_per_s")}
        for record in read_metrics(run)
    ]


def test_what_has_no_price_is_not_on_record(parent: Path, tmp_path: Path) -> None:
    Trainer(student(parent, 60, layer=1, rate=1.0), tmp_path / "rate").run()
    Trainer(student(parent, 60, weight_rate=1.0), tmp_path / "weights").run()
    rate, weights = (read_metrics(tmp_path / name)[-1] for name in ("rate", "weights"))
    assert {"inter_bits", "bits_per_weight"} & rate.keys() == {"inter_bits"}
    assert {"inter_bits", "bits_per_weight"} & weights.keys() == {"bits_per_weight"}


def test_weights_of_a_centred_readout_have_no_price(tmp_path: Path) -> None:
    Trainer(small(**{"net.readout": "centred", "train.env_steps": 300}), tmp_path / "run").run()
    config = student(tmp_path / "run", 60, weight_rate=1.0)
    with pytest.raises(ConfigError, match="a centred readout have no price"):
        Trainer(config, tmp_path / "student").run()


def test_only_the_last_quarter_of_a_run_chooses_its_best(parent: Path, tmp_path: Path) -> None:
    trainer = Trainer(student(parent, 400, weight_rate=1.0), tmp_path / "student")
    kept: dict[int, bool] = {}

    def look(record: dict[str, Any]) -> None:
        kept[record["env_steps"]] = (tmp_path / "student" / "best").exists()

    trainer.observers.append(look)
    trainer.run()
    start, end = trainer.config.train.warmup_env_steps, trainer.config.train.env_steps
    share = {(env_steps - start) / (end - start): found for env_steps, found in kept.items()}
    before = [found for done, found in share.items() if done < 0.7]
    after = [found for done, found in share.items() if done > 0.9]
    assert before == [False] * len(before) != []
    assert after == [True] * len(after) != []


def test_another_teacher_is_refused_on_resuming(parent: Path, tmp_path: Path) -> None:
    run = Trainer(student(parent, 50, weight_rate=1.0), tmp_path / "student")
    run.run()
    state = run.session.learner.state()
    with pytest.raises(UsageError, match="is no longer that which this run began with"):
        run.session.learner.restore({**state, "teacher_sha256": "other"})


def test_a_loss_that_is_not_finite_changes_nothing(parent: Path, tmp_path: Path) -> None:
    run = Trainer(student(parent, 16, layer=1, rate=1.0), tmp_path / "student")
    run.run()
    session = run.session
    learner, rng = session.learner, session.rng["replay"]
    assert isinstance(learner, Distiller)
    before = leaves_of(learner.state()), rng.bit_generator.state
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distill, "distill_loss", lambda q, *_: q.sum() * torch.nan)
        with pytest.raises(DivergedError):
            learner.update(session.replay, rng, 216)
    assert (leaves_of(learner.state()), rng.bit_generator.state) == before


def leaves_of(state: dict[str, Any]) -> list[tuple[str, Any]]:
    """Every leaf of a state, tensors as bytes."""
    leaves: list[tuple[str, Any]] = []
    for key, value in state.items():
        if isinstance(value, dict):
            leaves += [(f"{key}/{name}", leaf) for name, leaf in leaves_of(value)]
        else:
            each = value if isinstance(value, list) else [value]
            leaves += [
                (key, x.numpy().tobytes() if isinstance(x, torch.Tensor) else x) for x in each
            ]
    return leaves


def test_a_student_begins_as_its_teacher(parent: Path, tmp_path: Path) -> None:
    run = Trainer(student(parent, 8, weight_rate=1.0), tmp_path / "student")
    run.run()
    begun = read_metrics(tmp_path / "student")[0]
    assert begun["updates"] == 0
    net = load_policy(RunFolder.open(parent)).net
    assert torch.equal(run.session.learner._teacher.layers[0].weight, net.layers[0].weight)


def test_equal_values_cost_nothing() -> None:
    q = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    assert float(distill_loss(q, q, 0.1)) == pytest.approx(0, abs=1e-6)
    assert float(distill_loss(q + 7.0, q, 0.1)) == pytest.approx(0, abs=1e-5)  # height is free
    assert float(distill_loss(-q, q, 0.1)) > 0.1


def test_a_weight_of_zero_stays_unless_the_loss_gains_more_than_its_bits() -> None:
    net = build_network("mlp", input_shape=(4,), action_layout=(1, 2), hidden=(8,), seed=0)
    layer, log_step = next(iter(net.chain()))
    with torch.no_grad():
        layer.weight[0, :2] = 0
    layer.weight.grad = torch.zeros_like(layer.weight)
    layer.weight.grad[0, 0], layer.weight.grad[0, 1] = 1e-9, 1e9
    assert price_weights(layer, layer.integers(log_step), 1.0) > 0
    assert layer.weight.grad[0, 0] == 0
    assert layer.weight.grad[0, 1] > 0


def test_momentum_moves_no_weight_that_stays_at_0(parent: Path, tmp_path: Path) -> None:
    run = Trainer(student(parent, 16, weight_rate=1e6), tmp_path / "student")
    run.run()
    learner, session = run.session.learner, run.session
    layer, _ = next(iter(learner.net.chain()))
    with torch.no_grad():
        layer.weight[0] = 0
    learner.update(session.replay, session.rng["replay"], 216)
    assert not layer.weight[0].any()
    assert layer.weight[1:].any()


def test_layers_are_those_of_the_program() -> None:
    net = build_network(
        "conv",
        input_shape=(8, 8, 3),
        action_layout=(1, 2),
        conv=((4, 3, 2), (4, 3, 2)),
        hidden=(8,),
    )
    assert [sent_layer(net, layer) for layer in (None, 1, 2, 4)] == [None, 0, 1, 2]
    for layer in (3, 5, 6):  # a flatten, the readout, none
        with pytest.raises(ConfigError, match=f"distill.layer = {layer} emits no counts"):
            sent_layer(net, layer)
    dense = build_network("mlp", input_shape=(4,), action_layout=(1, 2), hidden=(8,))
    assert sent_layer(dense, 1) == 0


@pytest.mark.parametrize(
    ("prices", "message"),
    [({}, "nothing is priced"), ({"rate": 1.0}, "name it by distill.layer")],
)
def test_prices_must_make_sense(parent: Path, prices: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        student(parent, **prices)


def test_only_a_student_says_whose_it_is(parent: Path) -> None:
    assert "distill" not in (parent / "config.yaml").read_text()
    config = student(parent, weight_rate=1.0)
    assert config.model_dump()["distill"]["parent"] == str(parent)


def test_a_student_with_nothing_to_choose_from_is_refused(parent: Path) -> None:
    net = build_network("mlp", input_shape=(4,), action_layout=(2, 1), hidden=(8,))
    with pytest.raises(ConfigError, match="only one"):
        Distiller(student(parent, weight_rate=1.0), net, load_policy(RunFolder.open(parent)))


def test_a_student_of_another_shape_is_refused(parent: Path, tmp_path: Path) -> None:
    overrides = {"distill.parent": str(parent), "distill.weight_rate": 1.0}
    with pytest.raises(ConfigError, match="differ in net"):
        Trainer(load_config("quickstart", overrides), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_student_finds_its_teacher_from_any_folder(
    parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(parent.parent)
    config = student(Path(parent.name), layer=1, rate=2.0)
    monkeypatch.chdir("/")
    assert load_teacher(config).program == load_policy(RunFolder.open(parent)).program


def test_a_student_s_student_has_its_own_prices(parent: Path, tmp_path: Path) -> None:
    Trainer(student(parent, layer=1, rate=2.0), tmp_path / "student").run()
    grandchild = student(tmp_path / "student", weight_rate=1.0)
    assert (grandchild.distill.layer, grandchild.distill.rate) == (None, 0.0)
