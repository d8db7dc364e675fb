"""Attention: masks of every kind, rows that may attend to nothing, heads, the transformer block, positions."""

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, errors, nn, optim

attend = F.scaled_dot_product_attention


def rng(seed=0):
    return np.random.default_rng(seed)


def normal(*shape, seed=0):
    return rng(seed).standard_normal(shape)


def by_loops(query, key, value, allowed=None, added=None, scale=None):
    """Attention of one head, (L, E), (S, E) and (S, V), one query after another."""
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    out = np.zeros((len(query), value.shape[-1]))
    for i, q in enumerate(query):
        scores = [scale * float(q @ k) + (0 if added is None else added[i, j]) for j, k in enumerate(key)]
        keys = [j for j in range(len(key)) if allowed is None or allowed[i, j]]
        top = max((scores[j] for j in keys), default=0)
        total = sum(np.exp(scores[j] - top) for j in keys)
        for j in keys:
            out[i] += np.exp(scores[j] - top) / total * value[j]
    return out


def test_values_are_averages_by_how_well_keys_fit():
    q, k, v = normal(2, 3, 4), normal(2, 5, 4, seed=1), normal(2, 5, 6, seed=2)
    allowed = rng(3).random((3, 5)) < 0.5
    added = normal(3, 5, seed=4)
    for i in range(2):
        np.testing.assert_allclose(attend(q, k, v)[i], by_loops(q[i], k[i], v[i]))
        np.testing.assert_allclose(attend(q, k, v, scale=0.3)[i], by_loops(q[i], k[i], v[i], scale=0.3))
        np.testing.assert_allclose(attend(q, k, v, allowed)[i], by_loops(q[i], k[i], v[i], allowed))
        np.testing.assert_allclose(attend(q, k, v, added)[i], by_loops(q[i], k[i], v[i], added=added))
        causal = np.array([[j <= row for j in range(5)] for row in range(3)])
        np.testing.assert_allclose(attend(q, k, v, is_causal=True)[i], by_loops(q[i], k[i], v[i], causal))


MASKS = {
    "none": {},
    "boolean": {"attn_mask": np.array([[True, False, True], [False, True, True]])},
    "floating": {"attn_mask": np.array([[0.5, -1.0, 0.0], [2.0, 0.0, -np.inf]])},
    "causal": {"is_causal": True},
    "nothing to attend to": {"attn_mask": np.array([[False, False, False], [False, True, True]])},
}


@pytest.mark.parametrize("options", MASKS.values(), ids=MASKS)
def test_derivatives_to_second_order(options):
    arrays = [normal(2, 2, 4), normal(2, 3, 4, seed=1), normal(2, 3, 2, seed=2)]
    assert tg.gradcheck(lambda q, k, v: attend(q, k, v, **options), arrays, order=2)


@pytest.mark.parametrize("kind", ["boolean", "floating"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_query_that_may_attend_to_nothing_gives_zeros_and_no_gradient(kind, dtype):
    allowed = np.array([[False, False], [True, False]])
    mask = allowed if kind == "boolean" else np.where(allowed, 0, -np.inf).astype(dtype)
    q, k, v = (Tensor(normal(2, 3, seed=i).astype(dtype), requires_grad=True) for i in range(3))
    out = attend(q, k, v, mask)
    np.testing.assert_array_equal(out.data[0], 0)
    np.testing.assert_allclose(out.data[1], v.data[0], rtol=1e-6)
    out.sum().backward()
    np.testing.assert_array_equal(q.grad, 0)
    np.testing.assert_array_equal(k.grad, 0)
    np.testing.assert_allclose(v.grad, [[1, 1, 1], [0, 0, 0]], rtol=1e-6)
    assert out.dtype == q.grad.dtype == dtype


def test_a_mask_of_64_bits_leaves_scores_of_32_as_they_are():
    q = normal(2, 3).astype(np.float32)
    assert attend(q, q, q, np.zeros((2, 2))).dtype == np.float32


def test_scores_that_are_huge_neither_overflow_nor_blur():
    q, k = np.array([[1e4, 0.0]]), np.array([[1e4, 0.0], [0.0, 1e4]])
    np.testing.assert_array_equal(attend(q, k, np.eye(2)), [[1.0, 0.0]])


def test_no_value_from_the_future_has_an_influence():
    q, k, v = (Tensor(normal(4, 3, seed=i), requires_grad=True) for i in range(3))
    attend(q, k, v, is_causal=True)[1].sum().backward()
    assert np.abs(v.grad[:2]).min() > 0
    np.testing.assert_array_equal(v.grad[2:], 0)
    np.testing.assert_array_equal(k.grad[2:], 0)


def test_a_mask_broadcasts_over_heads_and_batches():
    q, k, v = normal(2, 3, 4, 5), normal(2, 3, 6, 5, seed=1), normal(2, 3, 6, 5, seed=2)
    padded = rng(3).random((2, 1, 1, 6)) < 0.6
    expected = attend(q, k, v, np.broadcast_to(padded, (2, 3, 4, 6)))
    np.testing.assert_array_equal(attend(q, k, v, padded), expected)


def test_dropout_drops_weights_by_its_generator():
    q, k, v = np.zeros((1, 2)), np.zeros((1000, 2)), np.ones((1000, 1))
    out = attend(q, k, v, dropout_p=0.5, generator=rng())
    assert 0.8 < out.item() < 1.2
    assert out.item() != 1.0
    np.testing.assert_array_equal(out, attend(q, k, v, dropout_p=0.5, generator=rng()))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda q: attend(q, q, q, np.ones((3, 2), bool)), r"attn_mask \(3, 2\) does not broadcast to .* \(2, 3, 3\)"),
        (lambda q: attend(q, q, q, np.ones((5, 2, 3, 3), bool)), r"attn_mask \(5, 2, 3, 3\) does not broadcast"),
        (lambda q: attend(q, q, q, np.ones((3, 3), int)), "neither booleans nor floats"),
        (lambda q: attend(q, q, q, np.ones((3, 3), bool), is_causal=True), "attn_mask and is_causal"),
        (lambda q: attend(q, q[..., :2], q), "do not fit each other"),
        (lambda q: attend(q, q, q[:, :2]), "do not fit each other"),
        (lambda q: attend(q[0, 0], q, q), "do not fit each other"),
        (
            lambda q: attend(q, np.ones((5, 3, 4)), np.ones((5, 3, 4))),
            r"query .* key \(5, 3, 4\) .* do not fit each other",
        ),
        (lambda q: nn.MultiHeadAttention(4, 3), "3 heads of 4 features"),
        (lambda q: nn.MultiHeadAttention(4, 0), "MultiHeadAttention: num_heads=0"),
        (lambda q: nn.MultiHeadAttention(4, 2, dropout=1.5), "p=1.5"),
        (lambda q: nn.MultiHeadAttention(6, 2)(q), r"query \(2, 3, 4\) for embed_dim=6"),
        (lambda q: nn.MultiHeadAttention(4, 2)(q, q[..., :2]), "key"),
        (lambda q: nn.PositionalEncoding(4, max_length=2)(q), r"x \(2, 3, 4\) for up to 2 positions"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_remedy(call, said):
    with pytest.raises(errors.TinygradError, match=said) as caught:
        call(normal(2, 3, 4))
    assert caught.value.remedy


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"attn_mask": np.eye(3, dtype=bool)}])
def test_heads_attend_each_in_its_share_of_the_features(options):
    layer = nn.MultiHeadAttention(6, 2, dtype=np.float64, generator=rng())
    x = normal(4, 3, 6)
    allowed = options.get("attn_mask", np.tri(3, dtype=bool) if options else None)
    q, k, v = (x @ p.weight.data + p.bias.data for p in (layer.q_proj, layer.k_proj, layer.v_proj))
    heads = [[by_loops(q[n, :, s], k[n, :, s], v[n, :, s], allowed) for s in (slice(3), slice(3, 6))] for n in range(4)]
    expected = np.concatenate(np.array(heads).swapaxes(0, 1), axis=-1) @ layer.out_proj.weight.data
    np.testing.assert_allclose(layer(x, **options).data, expected + layer.out_proj.bias.data)


def test_attention_to_another_sequence():
    layer = nn.MultiHeadAttention(4, 2, bias=False, generator=rng())
    x, y = normal(5, 3, 4).astype(np.float32), normal(5, 7, 4, seed=1).astype(np.float32)
    assert layer(x, y).shape == (5, 3, 4)
    np.testing.assert_array_equal(layer(x, y).data, layer(x, y, y).data)
    assert layer(x[0], y[0]).shape == (3, 4)  # without a batch
    assert len(list(layer.parameters())) == 4
    assert repr(layer).startswith("MultiHeadAttention")


def test_order_matters_to_attention_by_positions_alone():
    """A block without a mask permutes its output as its input; positions make the difference."""
    block, x = nn.TransformerBlock(8, 2, generator=rng(), dtype=np.float64), normal(5, 8)
    order = [3, 1, 4, 0, 2]
    np.testing.assert_allclose(block(x[order]).data, block(x).data[order])
    placed = nn.PositionalEncoding(8)
    assert not np.allclose(block(placed(x[order])).data, block(placed(x)).data[order])


def test_positions_are_sines_and_cosines():
    for features in (4, 5):
        table = nn.PositionalEncoding(features, 7)(np.zeros((7, features)))
        for p, i in np.ndindex(7, features):
            angle = p / 10000 ** ((i - i % 2) / features)
            np.testing.assert_allclose(table[p, i], np.cos(angle) if i % 2 else np.sin(angle), atol=1e-12)
    assert nn.PositionalEncoding(4)(np.zeros((2, 4), np.float32)).dtype == np.float32
    assert list(nn.PositionalEncoding(4).state_dict()) == []


def test_gradients_of_a_block_equal_finite_differences():
    block = nn.TransformerBlock(4, 2, hidden=5, generator=rng(), dtype=np.float64)
    assert tg.gradcheck(lambda x: block(x, is_causal=True), [normal(2, 3, 4)])
    block(normal(2, 3, 4)).sum().backward()
    assert all(p.grad is not None for p in block.parameters())


def test_dropout_of_a_block_is_off_in_evaluation():
    block = nn.TransformerBlock(4, 2, dropout=0.5, generator=rng())
    x = normal(2, 3, 4).astype(np.float32)
    assert not np.array_equal(block(x).data, block(x).data)
    np.testing.assert_array_equal(block.eval()(x).data, block(x).data)


def test_a_block_learns_to_pick_the_first_of_a_sequence():
    """Which no position can tell from itself: it has to look there."""
    x = rng().integers(4, size=(64, 6))
    one_hot = np.eye(8, dtype=np.float32)[x]
    model = nn.Sequential(nn.PositionalEncoding(8), nn.TransformerBlock(8, 2, generator=rng(1)), nn.Linear(8, 4))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(80):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(one_hot)[:, -1], x[:, 0])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 < 1 < losses[0]


BACKENDS = ["numpy", pytest.param("numba", marks=[pytest.mark.slow, pytest.mark.extra])]


@pytest.mark.parametrize("backend", BACKENDS)
def test_compiled_steps_are_the_eager_ones(backend):
    def make():
        model = nn.Sequential(
            nn.TransformerBlock(8, 2, dropout=0.25, generator=rng()), nn.Linear(8, 3, generator=rng(1))
        )
        return model, optim.SGD(model.parameters(), lr=0.1)  # Adam would blow up the rounding of biases of keys

    (eager, optimizer), (compiled, other) = make(), make()
    step = tg.compile_step(lambda x, y: F.cross_entropy(compiled(x).mean(axis=1), y), other, backend=backend)
    for seed in range(4):
        x, y = normal(4, 5, 8, seed=seed).astype(np.float32), rng(seed).integers(3, size=4)
        optimizer.zero_grad()
        loss = F.cross_entropy(eager(x).mean(axis=1), y)
        loss.backward()
        optimizer.step()
        np.testing.assert_allclose(float(step(x, y)), loss.item(), rtol=1e-5)
    for name, value in eager.state_dict().items():
        np.testing.assert_allclose(compiled.state_dict()[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
