"""Contractions against loops over single numbers, and what their calls refuse."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_sm as tg
from tinygrad_sm import Tensor
from tinygrad_sm.errors import ArgumentError, ShapeError, UnsupportedError


def by_loops(explicit, arrays):
    """Value and gradients of an explicit einsum, the cotangent being 1, 2, 3, ..., number by number."""
    inputs, output = explicit.split("->")
    terms = inputs.split(",")
    lengths = {}
    for term, array in zip(terms, arrays, strict=True):
        for letter, n in zip(term, array.shape, strict=True):
            lengths[letter] = n if lengths.get(letter, 1) == 1 else lengths[letter]
    out = np.zeros([lengths[letter] for letter in output])
    cotangent = np.arange(1.0, out.size + 1).reshape(out.shape)
    slopes = [np.zeros(array.shape) for array in arrays]
    for values in itertools.product(*map(range, lengths.values())):
        at = dict(zip(lengths, values, strict=True))
        where = tuple(at[letter] for letter in output)
        places = [
            tuple(at[letter] if n > 1 else 0 for letter, n in zip(term, array.shape, strict=True))
            for term, array in zip(terms, arrays, strict=True)
        ]
        factors = [array[place] for array, place in zip(arrays, places, strict=True)]
        out[where] += np.prod(factors)
        for i, place in enumerate(places):
            slopes[i][place] += cotangent[where] * np.prod([*factors[:i], *factors[i + 1 :]])
    return out, cotangent, slopes


def check(call, explicit, shapes):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in shapes]
    expected, cotangent, slopes = by_loops(explicit, arrays)
    leaves = [Tensor(array, requires_grad=True) for array in arrays]
    out = call(*leaves)
    assert isinstance(out, Tensor)
    assert out.shape == expected.shape
    np.testing.assert_allclose(out.data, expected, rtol=1e-12, atol=1e-13)
    out.backward(cotangent)
    for leaf, slope in zip(leaves, slopes, strict=True):
        np.testing.assert_allclose(leaf.grad, slope, rtol=1e-12, atol=1e-13)
    return arrays


# Subscripts, what they mean when all is written, and shapes.
EINSUMS = [
    ("ij,jk->ik", "ij,jk->ik", [(2, 3), (3, 4)]),
    ("ij,jk", "ij,jk->ik", [(2, 3), (3, 4)]),
    (" i j , j ", "ij,j->i", [(2, 3), (3,)]),
    ("ba", "ba->ab", [(2, 3)]),
    ("bA", "bA->Ab", [(2, 3)]),
    ("ij->", "ij->", [(2, 3)]),
    ("ij->j", "ij->j", [(2, 3)]),
    ("ii", "ii->", [(3, 3)]),
    ("ii->i", "ii->i", [(3, 3)]),
    ("iji->j", "iji->j", [(2, 3, 2)]),
    ("iii->i", "iii->i", [(2, 2, 2)]),
    ("ijij->ji", "ijij->ji", [(2, 3, 2, 3)]),
    ("ii,ij,j->", "ii,ij,j->", [(2, 2), (2, 3), (3,)]),
    ("i,j->ij", "i,j->ij", [(2,), (3,)]),
    ("i,i->i", "i,i->i", [(3,), (3,)]),
    ("ij,ij", "ij,ij->", [(2, 3), (2, 3)]),
    ("ij,kl->jk", "ij,kl->jk", [(2, 3), (2, 2)]),
    ("ij,jk,kl->il", "ij,jk,kl->il", [(2, 3), (3, 2), (2, 2)]),
    ("bqd,bkd->bqk", "bqd,bkd->bqk", [(2, 3, 2), (2, 4, 2)]),
    (",->", ",->", [(), ()]),
    ("i,->i", "i,->i", [(2,), ()]),
    ("...->...", "a->a", [(2,)]),
    ("...,...", ",->", [(), ()]),
    ("...i->...", "abi->ab", [(2, 2, 3)]),
    ("...ij,...jk", "aij,ajk->aik", [(2, 2, 3), (2, 3, 2)]),
    ("...ij,...jk", "aij,bajk->baik", [(1, 2, 3), (2, 3, 3, 1)]),
    ("i...,i...", "iab,iab->ab", [(2, 1, 3), (2, 4, 1)]),
    ("ii...,...i->...i", "iia,ai->ai", [(2, 2, 3), (1, 2)]),
    ("ij,jk", "ij,jk->ik", [(2, 1), (3, 4)]),
    ("ij,j->i", "ij,j->i", [(2, 3), (1,)]),
    ("ii,i->i", "ii,i->i", [(1, 1), (3,)]),
    ("ij,jk->ik", "ij,jk->ik", [(2, 0), (0, 3)]),
    ("i->", "i->", [(0,)]),
]


@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize(("subscripts", "explicit", "shapes"), EINSUMS, ids=[f"{s}-{t}" for s, _, t in EINSUMS])
def test_einsum(subscripts, explicit, shapes, optimize):
    check(lambda *leaves: np.einsum(subscripts, *leaves, optimize=optimize), explicit, shapes)
    arrays = check(lambda *leaves: tg.einsum(subscripts, *leaves, optimize=optimize), explicit, shapes)
    if not optimize and all(array.size for array in arrays):
        assert tg.gradcheck(lambda *leaves: tg.einsum(subscripts, *leaves), arrays, order=2)


@given(st.data())
def test_einsum_of_any_letters(data):
    terms = data.draw(st.lists(st.text("abc", max_size=3), min_size=1, max_size=3))
    used = sorted(set("".join(terms)))
    output = "".join(data.draw(st.permutations(used)))[: data.draw(st.integers(0, len(used)))]
    lengths = {letter: data.draw(st.integers(1, 3), label=letter) for letter in used}
    shapes = []
    for term in terms:
        narrow = data.draw(st.sets(st.sampled_from(used))) if term else ()  # axes of length 1, stretched
        shapes.append(tuple(1 if letter in narrow else lengths[letter] for letter in term))
    explicit = f"{','.join(terms)}->{output}"
    check(lambda *leaves: tg.einsum(explicit, *leaves, optimize=data.draw(st.booleans())), explicit, shapes)


def test_einsum_is_one_node_of_the_tape_under_its_name():
    x, w = Tensor(np.ones((2, 3)), requires_grad=True), np.ones((3, 4))
    node = tg.einsum("ij,jk->ik", x, w).tape()[-1]
    assert (node.name, node.kwargs) == ("einsum", {"subscripts": "ij,jk->ik", "optimize": True})
    assert [value.shape for value in node.args] == [(2, 3), (3, 4)]
    assert tg.einsum([x, w], "ij,jk->ik").tape()[-1].kwargs == node.kwargs


def test_einsum_of_the_same_tensor_twice_and_to_the_third_order():
    x = Tensor([2.0, 3.0], requires_grad=True)
    slope = tg.gradients(tg.einsum("i,i,i->", x, x, x), x, create_graph=True)
    second = tg.gradients(slope.sum(), x, create_graph=True)
    third = tg.gradients(second.sum(), x)
    assert [slope.data.tolist(), second.data.tolist(), third.data.tolist()] == [[12, 27], [12, 18], [6, 6]]


def test_gradient_of_a_diagonal_is_zero_beside_it_whatever_is_infinite():
    x = Tensor(np.ones((2, 2)), requires_grad=True)
    with np.errstate(invalid="ignore"):
        tg.einsum("ii,i->", x, [np.inf, 1.0]).backward()
    assert x.grad.tolist() == [[np.inf, 0], [0, 1]]


def test_gradient_of_the_trace_is_the_identity():
    x = Tensor(np.ones((3, 3)), requires_grad=True)
    tg.einsum("ii", x).backward()
    assert x.grad.tolist() == np.eye(3).tolist()


def test_einsum_keeps_types():
    x = Tensor(np.ones((2, 2), np.float32), requires_grad=True)
    y = Tensor(np.ones(2), requires_grad=True)
    assert tg.einsum("ij,j", x, np.ones(2, np.float32)).dtype == np.float32
    out = tg.einsum("ij,j,j", x, y, [1, 2])
    assert out.dtype == np.float64
    out.backward([1.0, 10.0])
    assert (x.grad.dtype, y.grad.dtype) == (np.float32, np.float64)
    assert (x.grad.tolist(), y.grad.tolist()) == ([[1, 2], [10, 20]], [11, 22])


def test_einsum_of_one_operand_is_no_view_of_it():
    x = Tensor(np.eye(2), requires_grad=True)
    assert not np.shares_memory(tg.einsum("ij->ji", x).data, x.data)


@pytest.mark.parametrize(
    ("subscripts", "shapes", "kind", "message"),
    [
        ("ij,jk", [(2, 3), (4, 5)], ShapeError, "'j' has length 3 in operand 0 (2, 3), 4 in operand 1 (4, 5)"),
        ("ij,jk", [(2, 3)], ArgumentError, "operands named by 'ij,jk': 2, given: 1"),
        ("ij", [(2, 3), (3,)], ArgumentError, "operands named by 'ij': 1, given: 2"),
        ("ijk", [(2, 3)], ShapeError, "operand 0 of shape (2, 3) has 2 axes, and 'ijk' names 3"),
        ("i,j", [(2,), (2, 3)], ShapeError, "operand 1 of shape (2, 3) has 2 axes, and 'j' names 1"),
        ("ii", [(1, 3)], ShapeError, "'i' has length 1 in operand 0 (1, 3), 3 in operand 0 (1, 3)"),
        ("...i,...i", [(2, 3), (4, 3)], ShapeError, "'...' has length 2 in operand 0 (2, 3), 4 in operand 1"),
        ("ij->iz", [(2, 3)], ArgumentError, "'z' of the result occurs in no operand in 'ij->iz'"),
        ("ij->ii", [(2, 3)], ArgumentError, "'i' of the result occurs more than once in 'ij->ii'"),
        ("...i->i", [(2, 3)], ShapeError, "the result of '...i->i' lacks the axes of '...'"),
        ("i1", [(2, 3)], ArgumentError, "'1' in the subscripts 'i1'"),
    ],
)
@pytest.mark.parametrize("optimize", [False, True])
def test_subscripts_that_do_not_fit(subscripts, shapes, kind, message, optimize):
    arrays = [Tensor(np.ones(shape), requires_grad=True) for shape in shapes]
    with pytest.raises(kind) as caught:
        tg.einsum(subscripts, *arrays, optimize=optimize)
    assert caught.value.message.startswith("einsum: ")
    assert message in caught.value.message
    assert caught.value.location.filename == __file__


def test_what_tensors_do_not_take_of_numpys_einsum():
    x = Tensor(np.ones((2, 2)), requires_grad=True)
    for name, value in {"out": np.ones(2), "order": "C", "dtype": float, "casting": "safe"}.items():
        with pytest.raises(UnsupportedError, match=rf"np\.einsum: tensors do not take {name}="):
            np.einsum("ii->i", x, **{name: value})
    for call in (lambda: np.einsum(x, [0, 0]), lambda: np.einsum(x, [0, 1], x, [1, 2], [0, 2])):
        with pytest.raises(UnsupportedError, match="axes given as lists") as caught:
            call()
        assert "'ij,jk->ik'" in caught.value.remedy
    assert np.einsum("ii->i", x, out=None, optimize=False).data.tolist() == [1, 1]


# tensordot, dot, inner, outer, vdot and kron as sums that are written out.
OTHERS = [
    (lambda x, y: np.tensordot(x, y), "ijk,jkl->il", [(2, 3, 2), (3, 2, 2)]),
    (lambda x, y: np.tensordot(x, y, 0), "ij,k->ijk", [(2, 3), (2,)]),
    (lambda x, y: np.tensordot(x, y, axes=1), "ij,jkl->ikl", [(2, 3), (3, 2, 2)]),
    (lambda x, y: np.tensordot(x, y, 2), "ij,ij->", [(2, 3), (2, 3)]),
    (lambda x, y: np.tensordot(x, y, (0, -1)), "jik,lj->ikl", [(2, 3, 2), (4, 2)]),
    (lambda x, y: np.tensordot(x, y, ([2, 0], [0, 1])), "kij,jkl->il", [(2, 3, 4), (4, 2, 3)]),
    (lambda x, y: tg.tensordot(x, y, [[-1, 0, 1], [1, 0, 2]]), "kij,kjil->l", [(2, 3, 4), (2, 4, 3, 2)]),
    (lambda x, y: np.tensordot(x, y, ([], [])), ",->", [(), ()]),
    (lambda x, y: np.dot(x, y), ",->", [(), ()]),
    (lambda x, y: np.dot(x, y), "ij,->ij", [(2, 3), ()]),
    (lambda x, y: np.dot(x, y), "i,i->", [(3,), (3,)]),
    (lambda x, y: np.dot(x, y), "ij,j->i", [(2, 3), (3,)]),
    (lambda x, y: np.dot(x, y), "j,ijk->ik", [(3,), (2, 3, 2)]),
    (lambda x, y: np.dot(x, y), "ij,kjl->ikl", [(2, 3), (2, 3, 4)]),
    (lambda x, y: x.dot(y), "aij,kjl->aikl", [(2, 2, 3), (2, 3, 2)]),
    (lambda x, y: np.dot(x, y), "ij,jk->ik", [(2, 0), (0, 3)]),
    (lambda x, y: np.inner(x, y), ",ij->ij", [(), (2, 3)]),
    (lambda x, y: np.inner(x, y), "i,i->", [(3,), (3,)]),
    (lambda x, y: np.inner(x, y), "aij,kj->aik", [(2, 2, 3), (4, 3)]),
    (lambda x, y: np.outer(x, y), "i,j->ij", [(2,), (3,)]),
    (lambda x, y: np.outer(np.reshape(x, (2, 2)), np.reshape(y, (3, 1))), "i,j->ij", [(4,), (3,)]),
    (lambda x, y: np.vdot(x, y), "i,i->", [(3,), (3,)]),
    (lambda x, y: np.vdot(np.reshape(x, (2, 3)), np.reshape(y, (3, 2))), "i,i->", [(6,), (6,)]),
    (lambda x, y: np.reshape(np.kron(x, y), (2, 2, 3, 4)), "ac,bd->abcd", [(2, 3), (2, 4)]),
    (lambda x, y: np.reshape(np.kron(x, y), (2, 2, 4)), "c,bd->bcd", [(2,), (2, 4)]),
    (lambda x, y: np.reshape(np.kron(x, y), (2, 2, 3, 2, 1)), "ace,bd->acbed", [(2, 2, 2), (3, 1)]),
    (lambda x, y: np.kron(x, y), ",i->i", [(), (2,)]),
    (lambda x, y: np.kron(x, y), ",->", [(), ()]),
]


@pytest.mark.parametrize(("call", "explicit", "shapes"), OTHERS, ids=[f"{i}-{e}" for i, (_, e, _) in enumerate(OTHERS)])
def test_other_contractions(call, explicit, shapes):
    arrays = check(call, explicit, shapes)
    if all(array.size for array in arrays):
        assert tg.gradcheck(call, arrays, order=2)


@pytest.mark.parametrize("f", [tg.dot, tg.inner, tg.outer, tg.vdot, tg.kron], ids=lambda f: f.name)
def test_contraction_of_a_tensor_with_itself(f):
    x = Tensor([2.0, 3.0], requires_grad=True)
    f(x, x).sum().backward()
    assert x.grad.tolist() == ([4, 6] if f(x, x).ndim == 0 else [10, 10])


def test_contractions_of_shapes_that_do_not_fit():
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    for call in (
        lambda: np.dot(x, np.ones(2)),
        lambda: np.inner(x, np.ones(2)),
        lambda: np.vdot(x, np.ones(2)),
        lambda: np.tensordot(x, np.ones((2, 3))[:, :2]),
    ):
        with pytest.raises(ShapeError, match=r"x \(2, 3\) float64, y \(2") as caught:
            call()
        assert "must" in caught.value.remedy


def test_out_of_other_contractions_is_refused():
    x = Tensor(np.ones(2), requires_grad=True)
    for call in (lambda: np.dot(x, x, out=np.ones(())), lambda: np.outer(x, x, out=np.ones((2, 2)))):
        with pytest.raises(UnsupportedError, match="tensors do not take out="):
            call()
