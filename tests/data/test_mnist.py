"""IDX files are read strictly; the real test part is read where it lies at hand."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_sm.data import load_mnist
from tinygrad_sm.errors import ArgumentError, DTypeError, FileError

ROOT = Path(__file__).parents[2]
REAL = Path(os.environ.get("TINYGRAD_SM_MNIST") or ROOT.parent / "shared" / "data" / "mnist")
IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def idx(array):
    """An array of bytes as the content of an IDX file."""
    array = np.asarray(array, dtype=np.uint8)
    return b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_part(folder, images, labels, *, prefix="t10k", zipped=False):
    for name, array in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)):
        content = idx(array)
        path = folder / f"{prefix}-{name}{'.gz' if zipped else ''}"
        path.write_bytes(gzip.compress(content) if zipped else content)


@pytest.fixture
def folder(tmp_path):
    """A folder with a test part of three images of 2 x 4 pixels."""
    write_part(tmp_path, np.arange(24).reshape(3, 2, 4) * 10, [7, 0, 9])
    return tmp_path


def test_images_become_rows_and_labels_classes(folder):
    data = load_mnist(folder, part="test")
    assert (data.inputs.dtype, data.targets.dtype) == (np.float32, np.int64)
    np.testing.assert_allclose(data.inputs, np.arange(24).reshape(3, 8) * 10 / 255, rtol=1e-6)
    assert data.targets.tolist() == [7, 0, 9]
    assert data.shape == (2, 4)
    assert data.class_names == tuple("0123456789")


def test_scale_false_keeps_the_bytes(folder):
    data = load_mnist(str(folder), part="test", scale=False)
    assert data.inputs.dtype == np.float32
    np.testing.assert_array_equal(data.inputs, np.arange(24).reshape(3, 8) * 10)


def test_the_training_part_is_the_default(folder):
    write_part(folder, np.zeros((2, 2, 4)), [1, 2], prefix="train")
    assert load_mnist(folder).targets.tolist() == [1, 2]


@given(images=hnp.arrays(np.uint8, st.tuples(*[st.integers(1, 5)] * 3)), zipped=st.booleans(), data=st.data())
def test_whatever_is_written_is_read(tmp_path_factory, images, zipped, data):
    labels = data.draw(hnp.arrays(np.uint8, len(images), elements=st.integers(0, 9)))
    place = tmp_path_factory.mktemp("mnist")
    write_part(place, images, labels, zipped=zipped)
    found = load_mnist(place, part="test", scale=False)
    np.testing.assert_array_equal(found.inputs, images.reshape(len(images), -1))
    np.testing.assert_array_equal(found.targets, labels)


def test_what_a_browser_unpacked_is_read_whatever_its_name(folder):
    (folder / IMAGES).rename(folder / f"{IMAGES}.gz")
    (folder / LABELS).write_bytes(gzip.compress((folder / LABELS).read_bytes()))
    assert load_mnist(folder, part="test").targets.tolist() == [7, 0, 9]


def refused(folder, message, part="test"):
    with pytest.raises(FileError, match=message) as caught:
        load_mnist(folder, part=part)
    assert caught.value.remedy
    return f"{caught.value.message}\n{caught.value.remedy}"


def test_a_missing_part_is_named_file_by_file_and_the_other_part_offered(folder):
    text = refused(folder, "train-images-idx3-ubyte and train-labels-idx1-ubyte .* not found", part="train")
    assert str(folder) in text
    assert "part='test'" in text


def test_a_single_missing_file_is_named_alone(folder):
    (folder / LABELS).unlink()
    text = refused(folder, LABELS)
    assert "images" not in text
    assert "part=" not in text


def test_no_folder_and_a_file_in_its_place(folder):
    refused(folder / "nowhere", "no such folder")
    refused(folder / IMAGES, "no such folder")


@pytest.mark.parametrize("kept", [0, 3, 4, 15, 16, 17, 39])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_truncated_array_is_refused(folder, kept, zipped):
    content = (folder / IMAGES).read_bytes()[:kept]
    (folder / IMAGES).write_bytes(gzip.compress(content) if zipped else content)
    assert str(folder / IMAGES) in refused(folder, "not an IDX file|bytes instead of")


def test_every_truncation_of_a_gzipped_file_is_refused(folder):
    content = gzip.compress((folder / LABELS).read_bytes())
    for kept in range(len(content)):
        (folder / LABELS).write_bytes(content[:kept])
        refused(folder, LABELS)


def test_a_damaged_gzipped_file_is_refused(folder):
    content = bytearray(gzip.compress((folder / LABELS).read_bytes()))
    content[-6] ^= 0xFF
    (folder / LABELS).write_bytes(content)
    refused(folder, "damaged or truncated")


def test_bytes_beyond_the_promised_end_are_refused(folder):
    with (folder / IMAGES).open("ab") as file:
        file.write(b"\x00")
    refused(folder, "41 bytes instead of the 40 its header promises")


@pytest.mark.parametrize(
    "content",
    [
        b"<html><body>Not found</body></html>",
        idx([1, 2, 3]),  # labels under the name of images
        b"\x00\x00\x0d\x03" + idx(np.zeros((3, 2, 4)))[4:],  # floats
        b"\x08\x00\x00\x03" + idx(np.zeros((3, 2, 4)))[4:],
    ],
)
def test_a_foreign_file_is_refused(folder, content):
    (folder / IMAGES).write_bytes(content)
    refused(folder, f"{IMAGES}: not an IDX file of unsigned bytes with 3 axes")


def test_a_header_that_promises_the_moon_is_refused(folder):
    (folder / IMAGES).write_bytes(b"\x00\x00\x08\x03" + b"\xff" * 12 + b"\x00" * 24)
    refused(folder, "40 bytes instead of")


def test_an_empty_array_is_refused(folder):
    write_part(folder, np.zeros((0, 28, 28)), [])
    refused(folder, "holds nothing")


def test_labels_that_do_not_match_are_refused(folder):
    (folder / LABELS).write_bytes(idx([1, 2]))
    refused(folder, f"{LABELS}: 2 labels for the 3 images in {IMAGES}")
    (folder / LABELS).write_bytes(idx([1, 2, 10]))
    refused(folder, "label 10 is not a digit")


@pytest.mark.parametrize("part", ["tests", "validation", None])
def test_an_unknown_part_is_refused(folder, part):
    with pytest.raises(ArgumentError, match="there is no part") as caught:
        load_mnist(folder, part=part)
    assert "'test'" in caught.value.remedy


@pytest.mark.parametrize("place", [None, 3])
def test_what_is_no_path_is_refused(place):
    with pytest.raises(DTypeError, match="a path must be a string"):
        load_mnist(place)


@pytest.mark.skipif(
    not any((REAL / f"{IMAGES}{ending}").is_file() for ending in ("", ".gz")),
    reason=f"the MNIST files are not in {REAL}; point TINYGRAD_SM_MNIST at them",
)
def test_the_real_test_part():
    data = load_mnist(REAL, part="test")
    assert data.inputs.shape == (10_000, 784)
    assert data.shape == (28, 28)
    assert data.targets[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(data.targets).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert (data.inputs.min(), data.inputs.max()) == (0, 1)
    # The mean and the standard deviation that are quoted for this part everywhere.
    assert data.inputs.mean(dtype=np.float64) == pytest.approx(0.1325, abs=5e-5)
    assert data.inputs.std(dtype=np.float64) == pytest.approx(0.3105, abs=5e-5)
