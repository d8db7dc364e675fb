"""The losses against three oracles: PyTorch's numbers, a spelling in plain Python loops, and finite differences.

The numbers were printed once by PyTorch 2.13.0 (CPU, float64), for example
`F.cross_entropy(x, y, weight=w, reduction="none")`, and the gradients by `backward()` on the mean.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75], [-2.0, 3.0, 0.0], [1.0, 1.0, -1.0]])
Y = np.array([2, 0, 1, 1])
IGNORED = np.array([2, -100, 1, 1])
Q = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.1, 0.8, 0.1], [0.0, 0.5, 0.5]])
W = np.array([0.5, 2.0, 1.25])

# Target, options, mean, the loss of each sample, the gradient of the mean.
PYTORCH = {
    "plain": (
        Y,
        {},
        0.34639820428,
        [0.241311296657, 0.330672609407, 0.054985235377, 0.75862367568],
        [
            [0.043822598035, 0.009778143318, -0.053600741353],
            [-0.070389914712, 0.051459150999, 0.018930763713],
            [0.001594365231, -0.013375219362, 0.011780854131],
            [0.117077632708, -0.132922367292, 0.015844734583],
        ],
    ),
    "ignored": (
        IGNORED,
        {},
        0.351640069238,
        [0.241311296657, 0.0, 0.054985235377, 0.75862367568],
        [
            [0.058430130713, 0.013037524424, -0.071467655137],
            [0.0, 0.0, 0.0],
            [0.002125820307, -0.017833625816, 0.015707805508],
            [0.156103510278, -0.177229823056, 0.021126312778],
        ],
    ),
    "weight": (
        Y,
        {"weight": W},
        0.364207521328,
        [0.301639120821, 0.165336304704, 0.109970470754, 1.517247351359],
        [
            [0.038106606987, 0.00850273332, -0.046609340307],
            [-0.024483448596, 0.01789883513, 0.006584613465],
            [0.002218247277, -0.018609000851, 0.016390753574],
            [0.16289061942, -0.184935467536, 0.022044848116],
        ],
    ),
    "weight and ignored": (
        IGNORED,
        {"weight": W},
        0.367401322464,
        [0.301639120821, 0.0, 0.109970470754, 1.517247351359],
        [
            [0.041735807652, 0.009312517445, -0.051048325098],
            [0.0, 0.0, 0.0],
            [0.002429508923, -0.020381286647, 0.017951777724],
            [0.178404011746, -0.202548369206, 0.02414435746],
        ],
    ),
    "a class ignored": (
        Y,
        {"ignore_index": 1},
        0.285991953032,
        [0.241311296657, 0.330672609407, 0.0, 0.0],
        [
            [0.08764519607, 0.019556286635, -0.107201482705],
            [-0.140779829424, 0.102918301999, 0.037861527426],
            [0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0],
        ],
    ),
    "smoothed": (
        Y,
        {"label_smoothing": 0.3},
        0.79639820428,
        [0.691311296657, 0.680672609407, 0.854985235377, 0.95862367568],
        [
            [0.018822598035, -0.015221856682, -0.003600741353],
            [-0.020389914712, 0.026459150999, -0.006069236287],
            [-0.023405634769, 0.036624780638, -0.013219145869],
            [0.092077632708, -0.082922367292, -0.009155265417],
        ],
    ),
    "all at once": (
        IGNORED,
        {"weight": W, "label_smoothing": 0.3},
        0.627770464371,
        [0.976639120821, 0.0, 0.722598792794, 1.596557024331],
        [
            [0.032211998129, -0.02878272065, -0.003429277479],
            [0.0, 0.0, 0.0],
            [-0.007367620355, 0.015244941435, -0.00787732108],
            [0.148809750901, -0.146428344337, -0.002381406564],
        ],
    ),
    "fully smoothed": (
        Y,
        {"label_smoothing": 1.0},
        1.84639820428,
        [1.741311296657, 1.497339276074, 2.721651902044, 1.425290342346],
        [
            [-0.039510735298, -0.073555190016, 0.113065925314],
            [0.096276751954, -0.031874182334, -0.064402569621],
            [-0.081738968103, 0.153291447305, -0.071552479202],
            [0.033744299375, 0.033744299375, -0.06748859875],
        ],
    ),
    "probabilities": (
        Q,
        {},
        1.09639820428,
        [1.441311296657, 0.330672609407, 0.854985235377, 1.75862367568],
        [
            [-0.006177401965, -0.065221856682, 0.071399258647],
            [-0.070389914712, 0.051459150999, 0.018930763713],
            [-0.023405634769, 0.036624780638, -0.013219145869],
            [0.117077632708, -0.007922367292, -0.109155265417],
        ],
    ),
    "probabilities, weight": (
        Q,
        {"weight": W},
        1.410109009637,
        [2.269737468071, 0.165336304704, 0.722598792794, 2.482763472979],
        [
            [0.033064942396, -0.137043960104, 0.103979017708],
            [-0.035194957356, 0.0257295755, 0.009465381856],
            [-0.009670001716, 0.020008985633, -0.010338983917],
            [0.190251153151, -0.059748846849, -0.130502306302],
        ],
    ),
    "probabilities, weight, smoothed": (
        Q,
        {"weight": W, "label_smoothing": 0.3},
        1.637288133351,
        [2.354307963896, 0.77098764182, 1.151438618223, 2.272418309465],
        [
            [0.027078933941, -0.142263968329, 0.115185034388],
            [0.030217311834, -0.012692115525, -0.017525196308],
            [-0.018671114239, 0.052740582682, -0.034069468443],
            [0.164579919471, -0.047920080529, -0.116659838943],
        ],
    ),
}


def close(got, expected, rtol=1e-10):
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=1e-11)


@pytest.mark.parametrize(("target", "options", "mean", "losses", "gradient"), PYTORCH.values(), ids=PYTORCH)
def test_cross_entropy_gives_the_numbers_of_pytorch(target, options, mean, losses, gradient):
    x = Tensor(X, requires_grad=True)
    close(F.cross_entropy(x, target, reduction="none", **options).data, losses)
    close(F.cross_entropy(x, target, reduction="sum", **options).item(), sum(losses))
    loss = F.cross_entropy(x, target, **options)
    close(loss.item(), mean)
    loss.backward()
    close(x.grad, gradient)


def test_gradient_for_probabilities_is_that_of_pytorch():
    q = Tensor(Q, requires_grad=True)
    F.cross_entropy(X, q, weight=W, label_smoothing=0.3).backward()
    expected = [0.152364738458, 1.13445895383, 0.052786846144, 0.028933853323, 0.553235413293, 0.564522133308]
    expected += [0.442311208096, 0.019244832382, 0.668278020239, 0.066379571622, 0.265518286488, 0.603448929055]
    close(q.grad.ravel(), expected)


def test_cross_entropy_of_logits_with_more_axes_is_that_of_pytorch():
    x = Tensor(2 * np.sin(np.arange(12.0)).reshape(2, 3, 2), requires_grad=True)
    y = np.array([[0, 2], [1, -100]])
    losses = F.cross_entropy(x, y, weight=W, label_smoothing=0.2, reduction="none")
    close(losses.data, [[1.183148520589, 4.390049790303], [0.559085625759, 0.0]])
    loss = F.cross_entropy(x, y, weight=W, label_smoothing=0.2)
    close(loss.item(), 1.63527571644)
    loss.backward()
    expected = [-0.092079174521, 0.252810502221, 0.10913389235, 0.028933435593, -0.017054717829, -0.281743937814]
    expected += [0.02576094747, 0.0, -0.023949884584, 0.0, -0.001811062886, 0.0]
    close(x.grad.ravel(), expected)


def test_cross_entropy_of_a_single_sample_is_that_of_pytorch():
    x = Tensor(X[0], requires_grad=True)
    loss = F.cross_entropy(x, 1, weight=W, label_smoothing=0.1)
    close(loss.item(), 3.044762123033)
    loss.backward()
    close(x.grad, [0.160383669101, -0.89568748156, 0.735303812459])


@pytest.mark.parametrize(
    ("reduction", "value", "shares"),
    [
        ("mean", 0.367401322464, [-0.238095238095, -0.380952380952]),
        ("sum", 1.928856942935, [-1.25, -2.0]),
        ("none", [0.301639120821, 0.0, 0.109970470754, 1.517247351359], [-1.25, -2.0]),
    ],
)
def test_nll_loss_gives_the_numbers_of_pytorch(reduction, value, shares):
    x = Tensor(np.log(np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)), requires_grad=True)
    loss = F.nll_loss(x, IGNORED, weight=W, reduction=reduction)
    close(loss.data, value)
    loss.sum().backward()
    close(x.grad, [[0, 0, shares[0]], [0, 0, 0], [0, shares[1], 0], [0, shares[1], 0]])


LOGITS = np.array([[0.5, -1.0, 2.0], [3.0, 0.0, -4.0]])
TARGET = np.array([[1.0, 0.0, 0.25], [0.5, 1.0, 0.0]])


@pytest.mark.parametrize(
    ("options", "mean", "losses", "slope", "target_slope"),
    [
        (
            *({}, 0.779025190465),
            [0.47407698418, 0.313261687518, 1.626928011043, 1.548587351574, 0.69314718056, 0.018149927918],
            [-0.377540668798, 0.26894142137, 0.630797077978, 0.452574126822, -0.5, 0.017986209962],
            [-0.5, 1.0, -2.0, -3.0, 0.0, 4.0],
        ),
        (
            *({"pos_weight": np.array([3.0, 0.5, 1.0])}, 0.887386478741),
            [1.42223095254, 0.313261687518, 1.626928011043, 1.597174703147, 0.34657359028, 0.018149927918],
            [-1.132622006394, 0.26894142137, 0.630797077978, 0.405148253645, -0.25, 0.017986209962],
            [0.44815396836, 0.343369156241, -2.0, -2.902825296853, -0.34657359028, 4.0],
        ),
        (
            *({"pos_weight": np.array([3.0, 0.5, 1.0]), "weight": np.array([[1.0], [0.25]])}, 0.642149201073),
            [1.42223095254, 0.313261687518, 1.626928011043, 0.399293675787, 0.08664339757, 0.004537481979],
            [-1.132622006394, 0.26894142137, 0.630797077978, 0.101287063411, -0.0625, 0.004496552491],
            [0.44815396836, 0.343369156241, -2.0, -0.725706324213, -0.08664339757, 1.0],
        ),
    ],
    ids=["plain", "pos_weight", "both"],
)
def test_binary_cross_entropy_gives_the_numbers_of_pytorch(options, mean, losses, slope, target_slope):
    x, t = Tensor(LOGITS, requires_grad=True), Tensor(TARGET, requires_grad=True)
    each = F.binary_cross_entropy_with_logits(x, t, reduction="none", **options)
    close(each.data.ravel(), losses)
    each.sum().backward()
    close(x.grad.ravel(), slope)
    close(t.grad.ravel(), target_slope)
    x.grad = None
    loss = F.binary_cross_entropy_with_logits(x, t, **options)
    close(loss.item(), mean)
    loss.backward()
    close(x.grad.ravel(), np.divide(slope, 6))


# Sample by sample, in plain Python --------------------------------------------------------------------------------


def log_softmax_by_hand(row):
    top = max(row)
    return [x - top - math.log(sum(math.exp(x - top) for x in row)) for x in row]


def cross_entropy_by_hand(rows, targets, weight, ignore_index, smoothing):
    """Losses, gradients of their sum, and the number that a mean divides by; a target is a label or probabilities."""
    losses, gradients, count = [], [], 0.0
    for row, target in zip(rows, targets, strict=True):
        classes = len(row)
        weights = [1.0] * classes if weight is None else list(weight)
        if isinstance(target, int):
            q = [float(c == target) for c in range(classes)]
            counts = target != ignore_index
            count += weights[target] if counts else 0.0
        else:
            q, counts = list(target), True
            count += 1.0
        q = [(w * ((1 - smoothing) * each + smoothing / classes)) * counts for w, each in zip(weights, q, strict=True)]
        log_p = log_softmax_by_hand(row)
        losses.append(-sum(each * logarithm for each, logarithm in zip(q, log_p, strict=True)))
        gradients.append([math.exp(logarithm) * sum(q) - each for each, logarithm in zip(q, log_p, strict=True)])
    return losses, gradients, count


@st.composite
def problems(draw):
    classes = draw(st.integers(1, 4))
    count = draw(st.integers(1, 5))
    numbers = st.floats(-30, 30)
    rows = [[draw(numbers) for _ in range(classes)] for _ in range(count)]
    ignore_index = draw(st.sampled_from([-100, -1, 0, 7]))
    if draw(st.booleans()):
        labels = st.integers(0, classes - 1)
        if ignore_index < 0:
            labels |= st.just(ignore_index)
        targets = [draw(labels) for _ in range(count)]
    else:
        targets = [[draw(st.floats(0, 1)) for _ in range(classes)] for _ in range(count)]
    weight = draw(st.none() | st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=classes, max_size=classes))
    smoothing = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    return rows, targets, weight, ignore_index, smoothing


@given(problem=problems())
def test_cross_entropy_equals_its_spelling_in_plain_python(problem):
    rows, targets, weight, ignore_index, smoothing = problem
    losses, slopes, count = cross_entropy_by_hand(*problem)
    options = {"ignore_index": ignore_index, "label_smoothing": smoothing}
    options["weight"] = None if weight is None else np.array(weight)
    target = np.array(targets)

    x = Tensor(rows, requires_grad=True)
    each = F.cross_entropy(x, target, reduction="none", **options)
    np.testing.assert_allclose(each.data, losses, rtol=1e-9, atol=1e-9)
    each.backward(np.ones(len(rows)))
    np.testing.assert_allclose(x.grad, slopes, rtol=1e-9, atol=1e-9)

    x.grad = None
    mean = F.cross_entropy(x, target, **options)
    np.testing.assert_allclose(mean.item(), sum(losses) / (count or 1), rtol=1e-9, atol=1e-9)
    mean.backward()
    np.testing.assert_allclose(x.grad, np.divide(slopes, count or 1), rtol=1e-9, atol=1e-9)


@given(problem=problems(), reduction=st.sampled_from(["mean", "sum", "none"]))
def test_class_axis_is_the_second_one(problem, reduction):
    """Logits (N, C, A, B) are the same as the (N * A * B, C) that they become with the class axis last."""
    rows, targets, weight, ignore_index, smoothing = problem
    options = {"ignore_index": ignore_index, "label_smoothing": smoothing, "reduction": reduction}
    options["weight"] = None if weight is None else np.array(weight)
    grid = np.array(rows * 6).reshape(3, 2, len(rows), -1)
    target = np.array(targets * 6).reshape(3, 2, len(rows), *np.shape(targets)[1:])
    expected = F.cross_entropy(grid.reshape(-1, grid.shape[-1]), target.reshape(-1, *np.shape(targets)[1:]), **options)
    moved = np.moveaxis(target, -1, 1) if target.ndim == 4 else target
    got = F.cross_entropy(np.moveaxis(grid, -1, 1), moved, **options)
    assert np.shape(got) == (target.shape[:3] if reduction == "none" else ())
    np.testing.assert_allclose(np.ravel(got), np.ravel(expected), rtol=1e-12, atol=1e-12)


# Types ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [Y.tolist(), Y.astype(np.uint8), Y.astype(np.int8), Tensor(Y)], ids=type)
def test_labels_of_any_integer_type(labels):
    x = Tensor(X, requires_grad=True)
    F.cross_entropy(x, labels).backward()
    expected = Tensor(X, requires_grad=True)
    F.cross_entropy(expected, Y).backward()
    np.testing.assert_array_equal(x.grad, expected.grad)
    F.nll_loss(tg.log_softmax(x), labels, weight=W).backward()


@pytest.mark.parametrize("target", [[0, 1, 1], [False, True, True], np.array([0, 1, 1], np.uint8), [0.0, 1.0, 1.0]])
def test_targets_take_the_type_of_the_logits(target):
    for loss in (F.binary_cross_entropy_with_logits, F.mse_loss):
        x = Tensor(np.array([0.5, -1.0, 2.0], np.float32), requires_grad=True)
        out = loss(x, target)
        assert out.dtype == np.float32
        np.testing.assert_allclose(out.item(), loss(x.data.astype(float), np.array([0.0, 1.0, 1.0])), rtol=1e-6)
        out.backward()
        assert x.grad.dtype == np.float32


def test_float64_targets_and_weights_do_not_widen_a_float32_loss():
    x = Tensor(X.astype(np.float32), requires_grad=True)
    assert F.cross_entropy(x, Q).dtype == np.float32
    assert F.cross_entropy(x, Y, weight=W, label_smoothing=0.1).dtype == np.float32
    assert F.nll_loss(x, Y, weight=W).dtype == np.float32
    assert F.mse_loss(x, X + 1).dtype == np.float32
    assert F.binary_cross_entropy_with_logits(x, Q, weight=W, pos_weight=W).dtype == np.float32


def test_whole_numbers_as_logits_are_not_rounded():
    logits = np.array([[1, 2, 3]])
    expected = F.cross_entropy(logits.astype(float), np.array([0]), weight=W, label_smoothing=0.1)
    assert F.cross_entropy(logits, np.array([0]), weight=W, label_smoothing=0.1) == expected
    assert F.mse_loss(np.array([1, 2]), np.array([1.5, 2.5])) == 0.25


# What is refused --------------------------------------------------------------------------------------------------


def refused(kind, message, remedy, f, *args, **kwargs):
    with pytest.raises(kind, match=message) as caught:
        f(*args, **kwargs)
    assert remedy in caught.value.remedy
    assert f.name in caught.value.message
    return caught.value


TargetError, ShapeError, ArgumentError = tg.errors.TargetError, tg.errors.ShapeError, tg.errors.ArgumentError


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss], ids=lambda f: f.name)
@pytest.mark.parametrize(
    ("target", "message", "remedy"),
    [
        (np.array([0, 1, 2, 3]), r"class 3 at position 3, but logits \(4, 3\) have classes 0 to 2", "from 0"),
        (np.array([0, -1, 2, 1]), r"class -1 at position 1", "ignore_index"),
        (np.array([[0], [1], [2], [0]]), r"target \(4, 1\) int64 does not fit logits \(4, 3\)", "target[..., 0]"),
        (np.array([0.0, 1.0, 2.0, 0.0]), r"target \(4,\) float64", "target.astype(int)"),
        (np.array([True, False, True, True]), r"target \(4,\) bool", "target.astype(int)"),
        (np.eye(4, 3, dtype=int), r"target \(4, 3\) int64", "target.astype(float)"),
        (np.array([0, 1, 2]), r"target \(3,\) int64", "shape (4,)"),
        (np.zeros((1, 4), int), r"target \(1, 4\) int64", "shape (4,)"),
        (1, r"target \(\) int64", "shape (4,)"),
    ],
)
def test_labels_that_do_not_fit_are_refused(loss, target, message, remedy):
    error = refused(TargetError, message, remedy, loss, Tensor(X, requires_grad=True), target)
    assert "cross_entropy" in error.location.source_line or "f(*args" in error.location.source_line


def test_label_out_of_range_among_several_axes_is_named_with_its_place():
    target = np.zeros((2, 2), int)
    target[1, 0] = 5
    refused(TargetError, r"class 5 at position \(1, 0\)", "", F.cross_entropy, np.zeros((2, 3, 2)), target)


def test_classes_that_stand_last_in_sequences_are_told_where_they_belong():
    remedy = "classes stand on axis 1: pass logits.reshape(-1, 3) and target.reshape(-1)"
    refused(TargetError, r"target \(2, 5\)", remedy, F.cross_entropy, np.zeros((2, 5, 3)), np.zeros((2, 5), int))


def test_label_out_of_range_is_refused_in_every_path():
    bad = np.array([0, 1, 2, 3])
    for options in ({}, {"weight": W}, {"label_smoothing": 0.1}, {"ignore_index": 0}, {"reduction": "none"}):
        refused(TargetError, "class 3 at position 3", "", F.cross_entropy, X, bad, **options)
    F.cross_entropy(X, bad, ignore_index=3)


def test_floating_targets_that_are_not_like_the_logits_are_refused():
    refused(TargetError, r"target \(3, 4\) float64", "probabilities (4, 3)", F.cross_entropy, X, Q.T)
    refused(TargetError, r"target \(4, 3\) float64", "", F.nll_loss, X, Q)


def test_weight_that_does_not_fit_the_classes_is_refused():
    for weight in (np.ones(4), np.ones((3, 1)), np.array(1.0)):
        refused(ShapeError, "weight .* for 3 classes", "shape (3,)", F.cross_entropy, X, Y, weight=weight)
        refused(ShapeError, "weight .* for 3 classes", "shape (3,)", F.nll_loss, X, Y, weight=weight)


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, math.nan])
def test_smoothing_outside_of_zero_to_one_is_refused(smoothing):
    refused(ArgumentError, f"label_smoothing={smoothing}", "", F.cross_entropy, X, Y, label_smoothing=smoothing)


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss, F.mse_loss, F.binary_cross_entropy_with_logits])
@pytest.mark.parametrize("reduction", ["average", None, "Mean"])
def test_unknown_reduction_is_refused(loss, reduction):
    target = Y if loss in (F.cross_entropy, F.nll_loss) else Q
    refused(ArgumentError, f"reduction={reduction!r}", '"mean", "sum" or "none"', loss, X, target, reduction=reduction)


@pytest.mark.parametrize("loss", [F.mse_loss, F.binary_cross_entropy_with_logits], ids=lambda f: f.name)
@pytest.mark.parametrize(("one", "other"), [((4,), (4, 1)), ((4, 1), (4,)), ((2, 3), (3,)), ((3,), ()), ((2,), (3,))])
def test_losses_do_not_broadcast(loss, one, other):
    message = f"{one} and target {other} differ".replace("(", r"\(").replace(")", r"\)")
    refused(ShapeError, message, "reshape", loss, Tensor(np.ones(one), requires_grad=True), np.ones(other))


@pytest.mark.parametrize(
    ("loss", "before", "message"),
    [
        (F.cross_entropy, tg.softmax, "cross_entropy applies log_softmax itself"),
        (F.cross_entropy, tg.sigmoid, "cross_entropy expects logits"),
        (F.nll_loss, tg.softmax, "nll_loss expects log-probabilities"),
    ],
)
def test_probabilities_handed_to_a_loss_that_wants_logits_draw_a_warning_at_the_users_line(loss, before, message):
    with pytest.warns(UserWarning, match=message) as caught:
        loss(before(Tensor(X, requires_grad=True)), Y)
    assert [(warning.filename, warning.category) for warning in caught] == [(__file__, UserWarning)]


def test_sigmoid_before_binary_cross_entropy_draws_a_warning():
    with pytest.warns(UserWarning, match="applies the sigmoid itself"):
        F.binary_cross_entropy_with_logits(tg.sigmoid(Tensor(X, requires_grad=True)), Q)


def test_right_order_draws_no_warning():
    x = Tensor(X, requires_grad=True)
    F.nll_loss(tg.log_softmax(x), Y)
    F.cross_entropy(tg.relu(x), Y)
    F.mse_loss(tg.softmax(x), Q)
