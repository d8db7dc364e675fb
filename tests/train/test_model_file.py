"""A saved model predicts what the model did, and says everything that its user has to know."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_sm import nn
from tinygrad_sm.engine.tape import no_grad
from tinygrad_sm.errors import ArgumentError, FileError, ShapeError
from tinygrad_sm.nn.activations import ACTIVATIONS
from tinygrad_sm.randomness import default_generator
from tinygrad_sm.train import Scaling, load_model, save_model
from tinygrad_sm.train.model_file import config_of, feature_names

RNG = np.random.default_rng(0)
X = RNG.normal(5, 3, size=(20, 4)).astype(np.float32)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [[4, 3], [4, 8, 3], [4, 6, 5, 3]])
@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_a_model_comes_back_as_it_was(sizes, activation, dropout, tmp_path):
    model = nn.MLP(sizes, activation, dropout=dropout, generator=RNG)
    save_model(tmp_path / "m.npz", model)
    saved = load_model(tmp_path / "m.npz")
    # Without a hidden layer there is no activation to remember.
    assert repr(saved.model) == repr(model)
    model.eval()
    with no_grad():
        expected = model(X).data
    np.testing.assert_array_equal(saved.outputs(X), expected)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(saved.model.state_dict()[name], value)


def test_everything_that_belongs_to_it_comes_back(tmp_path):
    inputs, targets = Scaling.measured(X), Scaling.divisor(2)
    save_model(
        tmp_path / "m.npz",
        nn.MLP([4, 3]),
        class_names=("eins", "zwei", "drei"),
        feature_names=("a", "b", "c", "ä"),
        shape=(2, 2),
        inputs=inputs,
        targets=targets,
        notes={"seed": 3},
    )
    saved = load_model(tmp_path / "m.npz")
    assert saved.class_names == ("eins", "zwei", "drei")
    assert saved.feature_names == saved.columns == ("a", "b", "c", "ä")
    assert saved.shape == (2, 2)
    assert saved.notes == {"seed": 3}
    np.testing.assert_array_equal(saved.inputs.mean, inputs.mean)
    np.testing.assert_array_equal(saved.inputs.std, inputs.std)
    np.testing.assert_array_equal(saved.targets.std, targets.std)


def test_the_file_says_how_linear_weights_lie(tmp_path):
    save_model(tmp_path / "m.npz", nn.MLP([4, 3]))
    with np.load(tmp_path / "m.npz") as arrays:
        header = json.loads(arrays["header"].item())
        assert "(in_features, out_features)" in header["linear_weights"]
        assert arrays["model/0.weight"].shape == (4, 3)


def test_predictions_scale_the_inputs_and_undo_the_targets(tmp_path):
    model = nn.MLP([4, 1], generator=RNG)
    save_model(
        tmp_path / "m.npz", model, inputs=Scaling.measured(X), targets=Scaling(np.array([100.0]), np.array([20.0]))
    )
    x = (X - X.mean(axis=0)) / X.std(axis=0)
    by_hand = 100 + 20 * (x @ model[0].weight.data + model[0].bias.data)
    np.testing.assert_allclose(load_model(tmp_path / "m.npz").predict(X), by_hand, rtol=1e-4)


def test_predictions_are_classes_where_there_are_names(tmp_path):
    model = nn.MLP([4, 3], generator=RNG)
    save_model(tmp_path / "m.npz", model, class_names="abc", inputs=Scaling.divisor(10))
    saved = load_model(tmp_path / "m.npz")
    scores = (X / 10) @ model[0].weight.data + model[0].bias.data
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(saved.predict_proba(X), p, rtol=1e-4)
    np.testing.assert_array_equal(saved.predict(X), p.argmax(axis=1))


def test_loading_draws_nothing_from_the_default_generator(tmp_path):
    save_model(tmp_path / "m.npz", nn.MLP([4, 3]))
    before = default_generator().bit_generator.state
    load_model(tmp_path / "m.npz")
    assert default_generator().bit_generator.state == before


def test_inputs_of_the_wrong_width(tmp_path):
    save_model(tmp_path / "m.npz", nn.MLP([4, 3]))
    for x in (np.ones((2, 5)), np.ones(4)):
        with pytest.raises(ShapeError, match=r"needed \(N, 4\)"):
            load_model(tmp_path / "m.npz").predict(x)


def test_only_an_mlp_can_be_written(tmp_path):
    with pytest.raises(ArgumentError, match="a Sequential is not an MLP"):
        save_model(tmp_path / "m.npz", nn.Sequential(nn.Linear(2, 2)))
    assert list(tmp_path.iterdir()) == []


def tampered(path, change):
    """A model file whose header somebody edited."""
    save_model(path, nn.MLP([4, 8, 3]), class_names="abc", inputs=Scaling.divisor(2))
    with np.load(path) as arrays:
        entries = dict(arrays)
    header = json.loads(entries["header"].item())
    change(header, entries)
    entries["header"] = np.array(json.dumps(header))
    with path.open("wb") as file:
        np.savez(file, **entries)
    return path


def widen(header, entries):
    header["model"]["sizes"] = [4, 9, 3]


def forget_model(header, entries):
    del header["model"]


def other_type(header, entries):
    header["model"]["type"] = "Transformer"


def other_activation(header, entries):
    header["model"]["activation"] = "swoosh"


def more_arguments(header, entries):
    header["model"]["depth"] = 3


def forget_names(header, entries):
    del header["class_names"]


def nonsense(header, entries):
    header["model"] = "MLP"


def forget_std(header, entries):
    del entries["inputs/std"]
    del header["arrays"]["inputs/std"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (widen, "another shape"),
        (forget_model, "incomplete"),
        (other_type, "holds a Transformer, not an MLP"),
        (other_activation, "unknown activation 'swoosh'"),
        (more_arguments, "incomplete"),
        (forget_names, "incomplete"),
        (nonsense, "incomplete"),
        (forget_std, "incomplete"),
    ],
)
def test_a_header_that_makes_no_sense(change, words, tmp_path):
    path = tampered(tmp_path / "m.npz", change)
    with pytest.raises(FileError, match=words) as error:
        load_model(path)
    assert str(path) in error.value.message
    assert error.value.remedy


def test_the_arguments_of_an_mlp_can_be_told_from_its_layers():
    assert config_of(nn.MLP([2, 5, 4, 3], "elu", dropout=0.5)) == {
        "sizes": [2, 5, 4, 3],
        "activation": "elu",
        "dropout": 0.5,
    }


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(2, 20), st.integers(1, 4)), elements=st.floats(-1e4, 1e4, width=32))
)
def test_scaling_gives_mean_0_and_deviation_1_and_can_be_undone(values):
    scaling = Scaling.measured(values)
    scaled = scaling.apply(values)
    assert scaled.dtype == np.float32
    spread = values.std(axis=0, dtype=np.float64)
    apart = spread > 1e-3 * np.abs(values).max(initial=1e-6)  # else float32 has too few digits to tell
    np.testing.assert_allclose(scaled.std(axis=0, dtype=np.float64)[apart], 1, atol=1e-2)
    np.testing.assert_allclose(scaled.mean(axis=0, dtype=np.float64)[apart], 0, atol=1e-2)
    np.testing.assert_allclose(scaling.undo(scaled), values, rtol=1e-4, atol=1e-2)
    assert np.isfinite(scaled).all()


def test_pictures_of_pixels_have_names_for_their_columns():
    names = feature_names((8, 8))
    assert (len(names), names[0], names[9], names[63]) == (64, "pixel_0_0", "pixel_1_1", "pixel_7_7")
    assert feature_names((3,)) == ("feature_0", "feature_1", "feature_2")
