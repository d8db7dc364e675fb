"""The layered layout: nothing overlaps, arrows point down, and the shape of the graph decides, not chance."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_sm.debug.pictures.layout import GAP, layered


def overlaps(a, b, sizes, corners):
    """Whether two boxes share a point."""
    (ax, ay), (bx, by) = corners[a], corners[b]
    (aw, ah), (bw, bh) = sizes[a], sizes[b]
    return ax < bx + bw and bx < ax + aw and ay < by + bh and by < ay + ah


def passes_through(route, box, sizes, corners):
    """Whether one of the straight pieces of a route has a point within a box."""
    (x, y), (width, height) = corners[box], sizes[box]
    for (x0, y0), (x1, y1) in itertools.pairwise(route):
        if x < max(x0, x1) and min(x0, x1) < x + width and y < max(y0, y1) and min(y0, y1) < y + height:
            return True
    return False


def check(sizes, arrows, layout):
    """What holds for every layout."""
    boxes = range(len(sizes))
    assert not any(overlaps(a, b, sizes, layout.corners) for a, b in itertools.combinations(boxes, 2))
    for (x, y), (width, height) in zip(layout.corners, sizes, strict=True):
        assert x >= -0.1
        assert y >= 0
        assert x + width <= layout.width + 0.1
        assert y + height <= layout.height + 0.1
    for (source, target), route in zip(arrows, layout.routes, strict=True):
        assert all(y1 >= y0 for (_, y0), (_, y1) in itertools.pairwise(route))
        (start_x, start_y), (end_x, end_y) = route[0], route[-1]
        assert end_y > start_y
        assert start_y == layout.corners[source][1] + sizes[source][1]
        assert end_y == layout.corners[target][1]
        assert layout.corners[source][0] < start_x < layout.corners[source][0] + sizes[source][0]
        assert layout.corners[target][0] < end_x < layout.corners[target][0] + sizes[target][0]
        assert not any(passes_through(route, box, sizes, layout.corners) for box in boxes)


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 14))
    size = st.tuples(st.integers(40, 300), st.integers(20, 120))
    sizes = draw(st.lists(size, min_size=count, max_size=count))
    possible = list(itertools.combinations(range(count), 2)) or [None]
    arrows = draw(st.lists(st.sampled_from(possible), max_size=24)) if count > 1 else []
    return sizes, arrows


@given(graphs())
def test_boxes_stand_apart_and_arrows_lead_down_between_them(graph):
    sizes, arrows = graph
    check(sizes, arrows, layered(sizes, arrows))


@given(graphs())
def test_the_same_graph_is_laid_out_the_same_again(graph):
    first, second = layered(*graph), layered(*graph)
    assert (first.corners, first.routes) == (second.corners, second.routes)


def test_nothing_takes_no_room():
    layout = layered([], [])
    assert (layout.corners, layout.routes, layout.width, layout.height) == ([], [], 0, 0)


def test_a_chain_falls_straight_down():
    sizes = [(60 + 10 * (i % 3), 20) for i in range(30)]
    layout = layered(sizes, list(itertools.pairwise(range(30))))
    assert {x + width / 2 for (x, _), (width, _) in zip(layout.corners, sizes, strict=True)} == {40.0}


def test_a_leaf_stands_just_above_its_reader_and_not_at_the_top():
    sizes = [(60, 20)] * 6  # a chain 0-1-2-4-5, and leaf 3 that 4 reads
    layout = layered(sizes, [(0, 1), (1, 2), (2, 4), (3, 4), (4, 5)])
    tops = [y for _, y in layout.corners]
    assert tops[3] == tops[2] < tops[4]


def test_a_chain_with_leaves_at_its_side_does_not_lean():
    arrows, chain = [], [0]
    for i in range(1, 40, 2):  # a leaf for each box of the chain
        arrows += [(chain[-1], i + 1), (i, i + 1)]
        chain.append(i + 1)
    sizes = [(100, 40)] * 41
    layout = layered(sizes, arrows)
    check(sizes, arrows, layout)
    middles = [layout.corners[box][0] for box in chain[2:]]
    assert max(middles) - min(middles) < 30


def test_two_pairs_in_crossed_order_are_uncrossed():
    layout = layered([(60, 20)] * 4, [(0, 3), (1, 2)])
    left = [layout.corners[box][0] for box in range(4)]
    assert (left[0] < left[1]) == (left[3] < left[2])


def test_operands_stand_in_their_order_from_left_to_right():
    layout = layered([(60, 20)] * 5, [(0, 4), (1, 4), (2, 4), (3, 4)])
    left = [x for x, _ in layout.corners[:4]]
    assert left == sorted(left)
    assert [b - a for a, b in itertools.pairwise(left)] == [60 + GAP] * 3
    ends = [route[-1][0] for route in layout.routes]
    assert ends == sorted(ends)


def test_a_value_that_many_read_has_one_line_with_branches():
    chain = [(i, i + 1) for i in range(1, 20)]
    shared = [(0, i) for i in range(2, 21)]
    layout = layered([(60, 20)] * 21, [*chain, *shared])
    legs = {(x, y) for route in layout.routes[len(chain) :] for x, y in route[1:-2]}
    by_height = [y for _, y in legs]
    assert len(by_height) == len(set(by_height))


@pytest.mark.parametrize("count", [400])
def test_as_many_boxes_as_a_picture_may_have_with_a_leaf_that_all_read(count):
    arrows = [pair for i in range(1, count) for pair in ((i - 1, i), (0, i))]
    sizes = [(100, 40)] * count
    layout = layered(sizes, arrows)
    tops = [y for _, y in layout.corners]
    assert tops == sorted(set(tops))
