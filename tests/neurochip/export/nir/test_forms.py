"""Both forms of a NIR graph give the integers of the reference."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import h5py
import nir
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rivc.errors import MismatchError
from rivc.neurochip.compare import compare_all
from rivc.neurochip.export import export_program
from rivc.neurochip.export import nir as nir_format
from rivc.neurochip.export.nir import compact, hdf5, limits, reader, unary
from rivc.quant.encoding import InputEncoding
from rivc.snn_convert import Layer, SpikingProgram, reference
from tests.naive import fire
from tests.programs import conv_program, dense_program, random_counts, readout
from tests.strategies import counts_for, programs

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import DrawFn
    from numpy.typing import NDArray

    from rivc.neurochip.compare import Form

BUILDS: dict[str, Callable[[SpikingProgram], nir.NIRGraph]] = {
    "unary": unary.build,
    "compact": compact.build,
}


def forms_of(folder: Path) -> dict[str, Form]:
    """What `read_back` returns, read in this process, which is faster."""
    return {
        name: reader.make_form(hdf5.read(folder / file), file)
        for name, file in nir_format.FORMS.items()
    }


def form_of(graph: nir.NIRGraph) -> Form:
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "graph.nir"
        path.write_bytes(hdf5.dump(graph))
        return reader.make_form(hdf5.read(path), "graph")


def with_readout_bias(
    program: SpikingProgram, change: Callable[[NDArray[Any]], NDArray[Any]]
) -> SpikingProgram:
    *layers, last = program.layers
    return replace(program, layers=(*layers, replace(last, bias=change(last.bias))))


@st.composite
def held(draw: DrawFn) -> SpikingProgram:
    """Programs that a graph can hold; all that is changed is a readout bias beyond float32."""
    program = with_readout_bias(draw(programs()), lambda bias: bias % np.int32(1 << 20))
    assume(not limits.violations(program))
    return program


@pytest.mark.parametrize("form", BUILDS)
@settings(max_examples=25)
@given(data=st.data())
def test_the_reader_gives_the_integers_of_the_reference(form: str, data: st.DataObject) -> None:
    program = data.draw(held())
    counts = data.draw(counts_for(program))
    got = form_of(BUILDS[form](program))(counts)
    np.testing.assert_array_equal(got, reference.run(program, counts))


@settings(max_examples=25)
@given(held())
def test_the_nir_package_finds_that_all_shapes_meet(program: SpikingProgram) -> None:
    for build in BUILDS.values():
        graph = build(program)
        assert graph.check_types()
        assert graph.output_type["output"].tolist() == list(program.shapes[-1])


@given(st.data())
def test_the_kth_neuron_fires_if_the_count_is_k_or_more(data: st.DataObject) -> None:
    number = st.integers(-40, 40)
    layer = Layer(
        "dense",
        np.ones((1, 1), np.int8),
        np.array([data.draw(number)], np.int32),
        np.array([data.draw(st.integers(2, 30))], np.int32),
        weight_bits=2,
        frac_bits=data.draw(st.integers(0, 4)),
        levels=data.draw(st.sampled_from([1, 3, 7])),
    )
    z = data.draw(number)
    assert (z >= unary.least_sums(layer, 40)).sum() == fire(layer, 0, z)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 2, 0), (2, 2, 1, 0)])
@pytest.mark.parametrize("kernel", [(3, 3), (3, 4), (4, 3)])
def test_windows_that_are_not_square_or_padded_on_one_side(
    kernel: tuple[int, int],
    padding: tuple[int, int, int, int],
    stride: int,
    rng: np.random.Generator,
) -> None:
    conv = Layer(
        "conv2d",
        rng.integers(-7, 8, (2, 1, *kernel)).astype(np.int8),
        np.zeros(2, np.int32),
        np.full(2, 900, np.int32),
        weight_bits=4,
        levels=15,
        stride=stride,
        padding=padding,
    )
    encoding = InputEncoding.image((7, 8, 1))
    size = int(np.prod(conv.output_shape(encoding.shape)))
    last = readout(rng.integers(-7, 8, (3, size)).astype(np.int8), np.zeros(3, np.int32))
    program = SpikingProgram(encoding, (conv, Layer("flatten"), last), 1.0, (1, 3), "ideal")
    counts = random_counts(program, rng, 16)
    for build in BUILDS.values():
        got = form_of(build(program))(counts)
        np.testing.assert_array_equal(got, reference.run(program, counts))


def test_biases_at_the_ends_of_int32_are_held(rng: np.random.Generator) -> None:
    program = dense_program()
    hidden, last = program.layers
    ends = np.array([2**31 - 1, -(2**31), 2**31 - 1, -(2**31), 0], np.int32)
    high = np.full(5, 2**31 - 1, np.int32)
    program = replace(program, layers=(replace(hidden, bias=ends, threshold=high), last))
    counts = random_counts(program, rng, 16)
    for build in BUILDS.values():
        got = form_of(build(program))(counts)
        np.testing.assert_array_equal(got, reference.run(program, counts))


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_equal_programs_give_equal_bytes(build: Callable[[SpikingProgram], nir.NIRGraph]) -> None:
    assert hdf5.dump(build(conv_program())) == hdf5.dump(build(conv_program()))


def test_every_file_is_a_form_of_its_own(program: SpikingProgram, folder: Path) -> None:
    counts = random_counts(program, np.random.default_rng(0), 32)
    results = compare_all(nir_format.read_back(folder), counts, reference.run(program, counts))
    assert {name: r.mismatches for name, r in results.items()} == {
        "nir": 0,
        "nir_unary": 0,
        "nir_legacy": 0,
    }


def test_the_program_beside_the_files_is_not_looked_at(tmp_path: Path) -> None:
    export = export_program(dense_program(), tmp_path / "x", format="nir")
    dense_program(seed=9).save(tmp_path / "x" / "program.npz")
    forms = export.forms(tmp_path)
    results = compare_all(forms, export.golden.inputs, export.golden.readout)
    assert not any(result.mismatches for result in results.values())


def test_the_manifest_names_the_files(tmp_path: Path) -> None:
    manifest = export_program(conv_program(), tmp_path / "x", format="nir").manifest
    assert {"model.nir", "model_legacy.nir", "model_compact.nir"} <= set(manifest["files"])


@pytest.mark.parametrize("file", nir_format.FORMS.values())
def test_one_changed_weight_is_seen(program: SpikingProgram, folder: Path, file: str) -> None:
    last = f"layer{len(program.layers) - 1}_"
    with h5py.File(folder / file, "r+") as opened:
        nodes = opened["node/nodes"]
        name = next(n for n in nodes if n.startswith(last) and "weight" in nodes[n])
        nodes[name]["weight"][0] += 1
    counts = random_counts(program, np.random.default_rng(0), 32)
    results = compare_all(forms_of(folder), counts, reference.run(program, counts))
    changed = {name for name, result in results.items() if result.mismatches}
    assert [nir_format.FORMS[name] for name in changed] == [file]


def test_counts_of_another_shape_are_refused(folder: Path) -> None:
    form = forms_of(folder)["nir"]
    with pytest.raises(MismatchError, match=r"model_compact\.nir takes"):
        form(np.zeros((1, 77), np.uint8))


def test_the_legacy_file_knows_no_v_reset(folder: Path) -> None:
    def fields(file: str) -> set[str]:
        with h5py.File(folder / file, "r") as opened:
            return {key for node in opened["node/nodes"].values() for key in node}

    assert fields("model.nir") - fields("model_legacy.nir") == {"v_reset"}


def test_the_metadata_say_whose_graph_it_is(program: SpikingProgram, folder: Path) -> None:
    for file, form in (("model.nir", "unary"), ("model_compact.nir", "compact")):
        about = nir.read(folder / file).metadata
        assert about["form"] == form
        assert about["program_sha256"] == program.sha256
        assert about["readout_scale"] == program.readout_scale
        assert about["action_layout"].tolist() == list(program.action_layout)
        assert about["input_low"].tolist() == list(program.encoding.low)


def test_the_metadata_of_a_neuron_say_how_it_fires(folder: Path, program: SpikingProgram) -> None:
    graph = nir.read(folder / "model_compact.nir")
    neuron, layer = graph.nodes["layer0_neurons"], program.layers[0]
    assert neuron.metadata["reset"] == "subtract"
    assert neuron.metadata["comparator"] == ">"
    assert neuron.metadata["phase"] == 1
    assert neuron.metadata["ticks"] == layer.levels
    assert neuron.metadata["frac_bits"] == layer.frac_bits
    halves = neuron.metadata["initial_membrane"] * 2 % 2
    np.testing.assert_array_equal(halves, 1)  # an odd number of halves: no membrane ends on a tie


@pytest.mark.parametrize("call", ["write(None, Path())", "read_back(Path())"])
def test_without_the_packages_the_remedy_is_named(call: str) -> None:
    code = (
        "import sys; sys.modules |= {'nir': None, 'h5py': None}\n"
        "from pathlib import Path\n"
        "from rivc.errors import MissingError\n"
        "from rivc.neurochip.export.nir import read_back, write\n"
        f"try: {call}\n"
        "except MissingError as error: print(error)"
    )
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "is not installed: pip install 'rivc[nir]'" in answer
