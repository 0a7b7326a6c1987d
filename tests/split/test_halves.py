"""Two halves in a row are the uncut program."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivc.errors import ConfigError, QuantError
from rivc.neurochip import load_backend
from rivc.snn_convert import SpikingProgram, reference
from rivc.split.folder import SplitFolder
from rivc.split.halves import Split, cut, cuts, from_planes, to_planes
from tests.programs import conv_program, dense_program, random_counts
from tests.split.parts import lossless
from tests.strategies import counts_for, programs


@settings(max_examples=80)
@given(programs(), st.data())
def test_halves_in_a_row_are_the_uncut_program_at_every_cut(
    program: SpikingProgram, data: st.DataObject
) -> None:
    x = data.draw(counts_for(program))
    whole, emitted = reference.run(program, x), reference.trace(program, x)
    for layer in cuts(program):
        split = cut(program, layer)
        counts = split.counts(reference.run(split.edge, x))
        assert np.array_equal(counts, emitted[layer - 1])
        sent = np.stack([from_planes(to_planes(c), split.shape) for c in counts])
        assert np.array_equal(reference.run(split.server, sent), whole)


@pytest.mark.parametrize("name", ["emulator", "spiking", "snntorch"])
def test_every_chip_runs_both_halves_unchanged(
    name: str, program: SpikingProgram, rng: np.random.Generator
) -> None:
    x = random_counts(program, rng, 9)
    edge, server = load_backend(name), load_backend(name)
    for layer in cuts(program):
        split = cut(program, layer)
        edge.load(split.edge)
        server.load(split.server)
        counts = split.counts(edge.infer(x).readout)
        assert np.array_equal(server.infer(counts).readout, reference.run(program, x))


def test_halves_survive_the_disk(tmp_path: object, program: SpikingProgram) -> None:
    for layer in cuts(program):
        split = cut(program, layer)
        for half in (split.edge, split.server):
            half.save(f"{tmp_path}/half.npz")
            assert SpikingProgram.load(f"{tmp_path}/half.npz") == half


def test_a_cut_where_no_counts_are_emitted_names_those_that_can_be() -> None:
    program = conv_program()
    assert cuts(program) == (1, 2, 4)
    for layer in (-1, 0, 3, 5, 9):
        with pytest.raises(ConfigError, match=r"4 \(dense \(5,\)\)"):
            cut(program, layer)
    with pytest.raises(ConfigError, match="no layer of this program"):
        cut(cut(dense_program(), 1).server, 1)


def test_a_count_that_cannot_be_is_told_of() -> None:
    split: Split = cut(dense_program(), 1)
    for wrong in (-1, 16):
        with pytest.raises(QuantError, match=r"0\.\.15"):
            split.counts(np.full((1, 1, 5), wrong, np.int64))


def test_too_many_features_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rivc.split.halves.MAX_FEATURES", 4)
    with pytest.raises(ConfigError, match="cut at a later layer"):
        cut(dense_program(), 1)


def test_halves_of_two_cuts_are_no_split() -> None:
    one, other = (cut(conv_program(), layer) for layer in (1, 4))
    with pytest.raises(ConfigError, match="counts to a server that takes"):
        Split(one.edge, other.server, 1)


def test_a_readout_that_answers_cannot_hold_is_told_before_a_robot_asks() -> None:
    *layers, last = conv_program().layers
    bias = np.full_like(last.bias, 2**31 - 1)
    program = replace(conv_program(), layers=(*layers, replace(last, bias=bias)))
    with pytest.raises(ConfigError, match="may take 33 bits, of which an answer has 32"):
        SplitFolder(cut(program, 1), lossless(cut(program, 1)))
