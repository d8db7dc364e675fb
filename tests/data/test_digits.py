"""The shipped digits are, value for value, the ones the world knows."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tinygrad_sm.data import load_digits

PACKAGE = Path(__file__).parents[2] / "tinygrad_sm"

# Taken from scikit-learn 1.9's copy: `load_digits().data` and `.target`, each as unsigned bytes in C order.
PIXELS_SHA256 = "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3"
LABELS_SHA256 = "8ba4f891220f5e4c9c819638d1602d74b83618f167043c6da52a2a247841ddf0"


def sha256_of_bytes(array):
    as_bytes = array.astype(np.uint8)
    np.testing.assert_array_equal(as_bytes, array)
    return hashlib.sha256(as_bytes.tobytes()).hexdigest()


def test_values_order_and_labels_are_those_of_the_published_set():
    digits = load_digits(scale=False)
    assert sha256_of_bytes(digits.inputs) == PIXELS_SHA256
    assert sha256_of_bytes(digits.targets) == LABELS_SHA256
    assert np.bincount(digits.targets).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_shapes_types_and_names():
    digits = load_digits()
    assert digits.inputs.shape == (1797, 64)
    assert digits.inputs.dtype == np.float32
    assert digits.targets.shape == (1797,)
    assert digits.targets.dtype == np.int64
    assert digits.shape == (8, 8)
    assert digits.class_names == tuple("0123456789")
    assert "Alpaydin" in digits.description


def test_scaling_maps_0_to_16_onto_0_to_1():
    scaled, raw = load_digits().inputs, load_digits(scale=False).inputs
    assert (raw.min(), raw.max()) == (0, 16)
    assert (scaled.min(), scaled.max()) == (0, 1)
    np.testing.assert_array_equal(scaled * 16, raw)


def test_the_file_is_small_and_tells_where_it_comes_from():
    assert (PACKAGE / "data" / "digits.npz").stat().st_size < 100_000
    origin = (PACKAGE / "data" / "digits.txt").read_text(encoding="utf-8")
    for words in ("Alpaydin, E. and Kaynak, C. (1998)", "10.24432/C50P49", "CC BY 4.0", "archive.ics.uci.edu"):
        assert words in origin


def test_the_digits_load_from_inside_a_zip(tmp_path):
    archive = tmp_path / "package.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("location", "display", "errors"):  # what data is allowed to import
            file.write(PACKAGE / f"{name}.py", f"tinygrad_sm/{name}.py")
        file.writestr("tinygrad_sm/__init__.py", "")
        for path in (PACKAGE / "data").glob("*.*"):
            file.write(path, f"tinygrad_sm/data/{path.name}")
    code = f"import sys; sys.path.insert(0, {str(archive)!r}); from tinygrad_sm import data; print(data.__file__)"
    code += "; print(len(data.load_digits()))"
    command = [sys.executable, "-I", "-W", "error", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    place, count = result.stdout.splitlines()
    assert place.startswith(str(archive))
    assert count == "1797"


@pytest.mark.extra
def test_equal_to_scikit_learns_copy():
    datasets = pytest.importorskip("sklearn.datasets")
    theirs, ours = datasets.load_digits(), load_digits(scale=False)
    np.testing.assert_array_equal(ours.inputs, theirs.data)
    np.testing.assert_array_equal(ours.targets, theirs.target)
    np.testing.assert_array_equal(ours.inputs.reshape(-1, *ours.shape), theirs.images)
