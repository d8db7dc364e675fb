"""A Dataset holds what it was given, in one form, and cannot be written to."""

import copy
import dataclasses
import pickle
import warnings

import numpy as np
import pytest

from tinygrad_sm.data import Dataset, load_digits
from tinygrad_sm.errors import ArgumentError, DTypeError, ShapeError, TargetError

# --- the container


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, np.uint8, np.bool_])
def test_inputs_become_float32(dtype):
    data = Dataset(np.array([[0, 1], [1, 0]], dtype=dtype), [0, 1])
    assert data.inputs.dtype == np.float32
    assert data.inputs.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.uint64, np.bool_])
def test_integer_targets_are_classes_named_by_their_number(dtype):
    data = Dataset([[1.0], [2.0], [3.0]], np.array([0, 1, 1], dtype=dtype))
    assert data.is_classification
    assert data.targets.dtype == np.int64
    assert data.targets.tolist() == [0, 1, 1]
    assert data.class_names == ("0", "1")


def test_float_targets_are_columns_to_predict():
    one = Dataset([[1.0], [2.0]], [0.5, 1.5])
    assert not one.is_classification
    assert one.class_names == ()
    assert one.targets.dtype == np.float32
    assert one.targets.tolist() == [[0.5], [1.5]]
    assert Dataset([[1.0], [2.0]], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).targets.shape == (2, 3)


def test_images_are_laid_out_as_rows_and_their_shape_is_remembered():
    images = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    data = Dataset(images, [0, 1])
    assert data.inputs.shape == (2, 12)
    assert data.shape == (3, 4)
    np.testing.assert_array_equal(data.inputs.reshape(-1, *data.shape), images)
    assert Dataset(data.inputs, [0, 1], shape=[2, 6]).shape == (2, 6)


def test_names_are_plain_strings():
    names, targets = np.unique(["yes", "no"], return_inverse=True)
    data = Dataset([[1.0], [2.0]], targets, class_names=names, feature_names=np.array(["size"]))
    assert [type(name) for name in (*data.class_names, *data.feature_names)] == [str] * 3


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda a: np.repeat(a, 2, axis=0)[::2], lambda a: a[::-1][::-1]])
def test_any_memory_layout_gives_contiguous_inputs(layout):
    array = layout(np.arange(12, dtype=np.float32).reshape(4, 3))
    data = Dataset(array, [0, 1, 0, 1])
    assert data.inputs.flags.c_contiguous
    np.testing.assert_array_equal(data.inputs, np.arange(12).reshape(4, 3))


def test_nothing_about_it_can_be_changed():
    inputs = np.ones((2, 3), dtype=np.float32)
    data = Dataset(inputs, [0, 1])
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.inputs = inputs
    for array in (data.inputs, data.targets):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    assert inputs.flags.writeable


def test_arrays_of_the_right_type_are_not_copied():
    inputs, targets = np.ones((2, 3), dtype=np.float32), np.array([0, 1])
    data = Dataset(inputs, targets)
    assert np.shares_memory(data.inputs, inputs)
    assert np.shares_memory(data.targets, targets)
    assert np.shares_memory(data.take(slice(1, 2)).inputs, inputs)


def test_replace_gives_a_changed_copy():
    data = Dataset([[0.0, 4.0], [2.0, 8.0]], [0, 1], ("no", "yes"), ("a", "b"))
    centred = dataclasses.replace(data, inputs=data.inputs - data.inputs.mean(axis=0))
    assert centred.inputs.tolist() == [[-1, -2], [1, 2]]
    assert (centred.class_names, centred.feature_names) == (data.class_names, data.feature_names)


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy, lambda data: pickle.loads(pickle.dumps(data))])
def test_copies_hold_the_same(copier):
    data = Dataset([[1.0], [2.0], [3.0]], [0, 1, 1], ("no", "yes"))
    again = copier(data)
    np.testing.assert_array_equal(again.inputs, data.inputs)
    np.testing.assert_array_equal(again.targets, data.targets)
    assert again.class_names == data.class_names


def test_repr_tells_size_shape_and_kind():
    assert repr(load_digits()) == "<Dataset: 1797 examples of shape (8, 8), 10 classes>"
    assert repr(Dataset([[1.0]], [2.0])) == "<Dataset: 1 examples of shape (1,), 1 to predict>"


@pytest.mark.parametrize("indices", [slice(1, 4, 2), np.array([1, 3]), np.array([False, True, False, True, False])])
def test_take_keeps_rows_together(indices):
    data = Dataset(np.arange(5).reshape(5, 1), [4, 3, 2, 1, 0])
    part = data.take(indices)
    assert part.inputs.ravel().tolist() == [1, 3]
    assert part.targets.tolist() == [3, 1]
    assert part.class_names == data.class_names


# --- what it refuses


@pytest.mark.parametrize(
    ("inputs", "targets", "options", "error", "message"),
    [
        (1.0, [0], {}, ShapeError, "single value"),
        ([1.0, 2.0], [0, 1], {}, ShapeError, "reshape\\(-1, 1\\)"),
        ([[1.0, 2.0], [3.0]], [0, 1], {}, ShapeError, "differ in length"),
        (np.empty((0, 3)), [], {}, ShapeError, "empty"),
        (np.empty((3, 0)), [0, 1, 2], {}, ShapeError, "empty"),
        ([["a"], ["b"]], [0, 1], {}, DTypeError, "not real numbers"),
        ([[1j], [2j]], [0, 1], {}, DTypeError, "not real numbers"),
        ([[None], [1]], [0, 1], {}, DTypeError, "not real numbers"),
        ([[0.0, 1.0], [2.0, np.nan]], [0, 1], {}, ArgumentError, r"inputs\[1, 1\] = nan"),
        ([[1e300]], [0], {}, ArgumentError, r"inputs\[0, 0\] = 1e\+300"),
        ([[1.0]], [np.inf], {}, ArgumentError, r"targets\[0, 0\] = inf|targets\[0\] = inf"),
        ([[1.0], [2.0]], [0], {}, ShapeError, "2 examples but 1 targets"),
        ([[1.0], [2.0]], [], {}, ShapeError, "2 examples but 0 targets"),
        ([[1.0]], 0, {}, ShapeError, "single value"),
        ([[1.0]], [[0]], {}, TargetError, r"must have shape \(1,\), got \(1, 1\)"),
        ([[1.0], [2.0]], [[0, 1], [1, 0]], {}, TargetError, "argmax"),
        ([[1.0]], ["cat"], {}, TargetError, "np.unique"),
        ([[1.0]], [1j], {}, TargetError, "must be integers"),
        ([[1.0]], [0.0], {"class_names": ("a",)}, TargetError, "must be integers, not float64"),
        ([[1.0]], [-1], {}, TargetError, "got -1"),
        ([[1.0]], [2], {"class_names": ("a", "b")}, TargetError, r"0\.\.1, got 2"),
        ([[1.0]], [19991231], {}, TargetError, "got 19991231"),
        ([[1.0]], [0], {"feature_names": ("a", "b")}, ShapeError, "2 feature_names for 1 features"),
        ([[1.0, 2.0]], [0], {"shape": (3,)}, ShapeError, r"shape \(3,\) cannot be made from 2"),
    ],
)
def test_bad_data_is_refused_with_a_remedy(inputs, targets, options, error, message):
    with pytest.raises(error, match=message) as caught:
        Dataset(inputs, targets, **options)
    assert caught.value.remedy


def test_too_large_a_number_gives_our_error_and_no_warning():
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        with pytest.raises(ArgumentError, match="not a finite float32 number"):
            Dataset([[1e39]], [0])
    assert given == []
