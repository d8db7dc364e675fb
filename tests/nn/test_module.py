"""Modules: what they find among their attributes and by which names, their state, and the path of the one that runs."""

import copy
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, errors, nn, no_grad, optim
from tinygrad_sm.nn.module import changes, observers

ROW = np.array([[1.0, -2.0]], np.float32)


class Scale(nn.Module):
    """One number, and no call of super().__init__()."""

    def __init__(self, factor=2.0):
        self.factor = nn.Parameter([factor], dtype=np.float32)

    def forward(self, x):
        return x * self.factor


class Block(nn.Module):
    """Parameters and modules in turn, in attributes, lists, tuples and dicts."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(np.zeros(2))
        self.encoder = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
        self.rate = 0.5
        self.stages = [Scale(1.0), nn.ReLU(), (Scale(2.0), nn.Parameter([3.0]))]
        self.heads = {"left": Scale(3.0), "right": nn.Parameter([4.0])}
        self.last = nn.Parameter([5.0])

    def forward(self, x):
        x = self.encoder(x + self.shift) * self.last * self.stages[2][1] * self.heads["right"]
        return self.heads["left"](self.stages[2][0](self.stages[0](x)))


NAMES = [
    *("shift", "encoder.0.weight", "encoder.0.bias", "encoder.2.weight", "encoder.2.bias"),
    *("stages.0.factor", "stages.2.0.factor", "stages.2.1", "heads.left.factor", "heads.right", "last"),
]


class Outer(nn.Module):
    """Two levels of ownership above a Linear."""

    def __init__(self):
        self.block = Block()
        self.head = nn.Linear(2, 1)

    def forward(self, x):
        return self.head(self.block(x) + 1)


# What a module finds, in which order, by which names.


def test_parameters_come_in_the_order_in_which_attributes_were_set():
    block = Block()
    assert [name for name, _ in block.named_parameters()] == NAMES
    assert list(block.state_dict()) == NAMES
    assert [p.name for p in block.parameters()] == NAMES
    assert all(isinstance(p, nn.Parameter) for p in block.parameters())


def test_names_grow_with_the_owners_and_are_told_from_where_one_asks():
    outer = Outer()
    assert [name for name, _ in outer.named_parameters()] == [
        *(f"block.{name}" for name in NAMES),
        *("head.weight", "head.bias"),
    ]
    assert [p.name for p in outer.parameters()] == [name for name, _ in outer.named_parameters()]
    assert [name for name, _ in outer.block.named_parameters()] == NAMES
    assert outer.block.last.name == "block.last"  # asking a part does not rename it


def test_a_parameter_that_is_set_again_moves_to_no_other_place():
    block = Block()
    block.shift = nn.Parameter(np.ones(2))
    assert [name for name, _ in block.named_parameters()] == NAMES
    assert block.state_dict()["shift"].tolist() == [1.0, 1.0]
    block.shift = None
    assert [name for name, _ in block.named_parameters()] == NAMES[1:]
    del block.last
    assert [name for name, _ in block.named_parameters()] == NAMES[1:-1]


def test_a_list_that_grows_after_it_was_set_is_found_and_named():
    class Growing(nn.Module):
        def __init__(self):
            self.layers = []
            for _ in range(2):
                self.layers.append(nn.Linear(2, 2))

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    model = Growing()
    names = ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"]
    assert [p.name for p in model.parameters()] == names
    assert list(model.state_dict()) == names
    assert paths(model(ROW)) == ["layers.0.Linear", "layers.1.Linear"]
    owner = nn.Sequential(Growing())
    assert [p.name for p in owner.parameters()] == [f"0.{name}" for name in names]


def test_the_name_that_a_user_gave_is_kept():
    class Named(nn.Module):
        def __init__(self):
            self.w = nn.Parameter([1.0], name="slope")
            self.b = nn.Parameter([1.0])

    model = nn.Sequential(Named())
    assert [(name, p.name) for name, p in model.named_parameters()] == [("0.w", "slope"), ("0.b", "0.b")]
    assert list(model.state_dict()) == ["0.w", "0.b"]


def test_shared_weights_are_found_once_and_get_both_gradients():
    class Tied(nn.Module):
        def __init__(self):
            self.down = nn.Linear(2, 2, bias=False)
            self.up = nn.Linear(2, 2, bias=False)
            self.up.weight = self.down.weight
            self.again = [self.down]

        def forward(self, x):
            return self.up(self.down(x))

    tied = Tied()
    assert [(name, p.name) for name, p in tied.named_parameters()] == [("down.weight", "down.weight")]
    assert list(tied.state_dict()) == ["down.weight"]
    assert [type(m).__name__ for m in tied.modules()] == ["Tied", "Linear", "Linear"]
    tied(ROW).sum().backward()
    W, ones = tied.down.weight.data, np.ones((1, 2))
    expected = ROW.T @ (ones @ W.T) + (ROW @ W).T @ ones  # of x W W, once for each W
    np.testing.assert_allclose(tied.down.weight.grad, expected, rtol=1e-5)


def test_a_module_that_is_used_twice_is_applied_twice_and_counted_once():
    layer = nn.Linear(2, 2)
    model = nn.Sequential(layer, nn.ReLU(), layer)
    assert len(list(model.parameters())) == 2
    assert list(model.state_dict()) == ["0.weight", "0.bias"]
    assert len(model) == 3
    assert len(list(model.modules())) == 3
    np.testing.assert_array_equal(model(ROW).data, layer(F.relu(layer(ROW))).data)


def test_a_part_that_knows_its_owner_is_walked_once():
    class Part(nn.Module):
        def __init__(self, owner):
            self.owner = owner
            self.weight = nn.Parameter([1.0])

    class Whole(nn.Module):
        def __init__(self):
            self.first = nn.Parameter([0.0])
            self.part = Part(self)

    for whole in (Whole(), copy.deepcopy(Whole())):
        assert [name for name, _ in whole.named_parameters()] == ["first", "part.weight"]
        assert [type(m).__name__ for m in whole.modules()] == ["Whole", "Part"]
        assert whole.eval().part.training is False
        assert "..." in repr(whole)

    first, second = nn.Module(), nn.Module()
    first.others, second.others = [], []
    first.others.append(second)
    second.others.append(first)
    assert list(first.modules()) == [first, second]
    assert list(second.modules()) == [second, first]


def test_children_are_the_modules_directly_below():
    block = Block()
    kinds = [type(child).__name__ for child in block.children()]
    assert kinds == ["Sequential", "Scale", "ReLU", "Scale", "Scale"]
    assert [type(m).__name__ for m in block.modules()] == [
        "Block",
        "Sequential",
        "Linear",
        "Tanh",
        "Linear",
        *kinds[1:],
    ]


def test_plain_tensors_and_other_values_are_no_parameters():
    class Odd(nn.Module):
        def __init__(self):
            self.constant = Tensor([1.0], requires_grad=True)
            self.numbers = [1, "two", None, {"three": 3}]

    assert list(Odd().named_parameters()) == []
    assert Odd().state_dict() == {}


@given(
    st.recursive(
        st.just("p"), lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("abc"), below)
    )
)
def test_nested_containers_are_walked_depth_first(shape):
    made = []

    def build(shape):
        if shape == "p":
            made.append(nn.Parameter([0.0]))
            return made[-1]
        if isinstance(shape, dict):
            return {key: build(item) for key, item in shape.items()}
        return [build(item) for item in shape]

    module = nn.Module()
    module.x = build(shape)
    found = list(module.named_parameters())
    assert [id(p) for _, p in found] == [id(p) for p in made]
    for name, p in found:
        at = module.x
        for key in name.split(".")[1:]:
            at = at[key] if isinstance(at, dict) else at[int(key)]
        assert at is p
        assert p.name == name


def test_two_parts_of_one_name_are_refused():
    module = nn.Module()
    parts = {1: nn.Parameter([1.0]), "1": nn.Parameter([2.0])}
    with pytest.raises(errors.ArgumentError, match=r"Module: two parts are named 'x\.1'") as caught:
        module.x = parts
    assert "keys" in caught.value.remedy
    module.x = {"a.b": nn.Parameter([1.0])}
    module.x["a"] = {"b": nn.Parameter([2.0])}
    for call in (module.state_dict, lambda: module.load_state_dict({"x.a.b": [0.0]})):
        with pytest.raises(errors.ArgumentError, match=r"two parts are named 'x\.a\.b'"):
            call()
    module.x = {1: 0.5, "1": nn.Parameter([2.0])}
    assert list(module.state_dict()) == ["x.1"]


# Parameter.


def test_a_parameter_is_a_leaf_with_a_copy_of_its_own():
    values = np.array([1.0, 2.0], np.float32)
    p = nn.Parameter(values)
    values[:] = 0
    assert p.data.tolist() == [1.0, 2.0]
    assert p.requires_grad
    assert p.is_leaf
    assert p.dtype == np.float32
    assert nn.Parameter(Tensor([1.0])).data.tolist() == [1.0]
    assert nn.Parameter([1.0], dtype=np.float32).dtype == np.float32
    assert nn.Parameter([1.0], requires_grad=False).requires_grad is False
    assert repr(p) == "Parameter((2,) float32, [1., 2.], requires_grad=True)"
    assert type(p * 2) is Tensor


def test_integers_make_no_parameter():
    with pytest.raises(errors.DTypeError) as caught:
        nn.Parameter([1, 2])
    assert caught.value.remedy


def test_a_frozen_parameter_keeps_its_place_and_gets_no_gradient():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    model[0].weight.requires_grad = False
    assert len(list(model.parameters())) == 4
    model(ROW).sum().backward()
    assert model[0].weight.grad is None
    assert model[0].bias.grad is not None


# The state.


def test_state_dict_holds_copies():
    model = nn.Linear(2, 3)
    state = model.state_dict()
    assert list(state) == ["weight", "bias"]
    assert all(type(value) is np.ndarray for value in state.values())
    state["weight"][:] = 7
    assert not (model.weight.data == 7).any()
    model.weight.data[:] = 9
    assert (state["weight"] == 7).all()


def test_load_state_dict_writes_in_place_and_keeps_the_dtype():
    model = nn.Linear(2, 1)
    arrays = [p.data for p in model.parameters()]
    state = {"weight": np.array([[0.1], [0.2]]), "bias": np.array([0.3])}  # float64
    model.load_state_dict(state)
    assert [p.data is array for p, array in zip(model.parameters(), arrays, strict=True)] == [True, True]
    assert model.weight.dtype == model.bias.dtype == np.float32
    np.testing.assert_array_equal(model.weight.data, np.array([[0.1], [0.2]], np.float32))
    state["weight"][:] = 5
    assert not (model.weight.data == 5).any()


def test_load_state_dict_takes_lists_integers_tensors_and_parameters():
    model, other = nn.Linear(2, 1), nn.Linear(2, 1)
    model.load_state_dict({"weight": [[1], [2]], "bias": Tensor([3.0])})
    assert model.weight.data.tolist() == [[1.0], [2.0]]
    assert model.bias.data.tolist() == [3.0]
    other.load_state_dict(dict(model.named_parameters()))
    np.testing.assert_array_equal(other.weight.data, model.weight.data)
    assert other.weight.data is not model.weight.data


def test_load_state_dict_may_be_given_the_models_own_arrays():
    class Pair(nn.Module):
        def __init__(self):
            self.a, self.b = nn.Parameter([1.0]), nn.Parameter([2.0])

    pair = Pair()
    pair.load_state_dict({"a": pair.b.data, "b": pair.a.data})
    assert (pair.a.item(), pair.b.item()) == (2.0, 1.0)


def test_load_state_dict_reads_an_npz_file(tmp_path):
    model, other = Outer(), Outer()
    np.savez(tmp_path / "model.npz", **model.state_dict())
    with np.load(tmp_path / "model.npz") as state:
        other.load_state_dict(state)
    for name, value in other.state_dict().items():
        np.testing.assert_array_equal(value, model.state_dict()[name])


GOOD = {"weight": np.zeros((2, 3)), "bias": np.zeros(3)}


@pytest.mark.parametrize(
    ("state", "message", "remedy"),
    [
        ({**GOOD, "wieght": np.zeros((2, 3))}, "Linear has no parameter 'wieght'", "did you mean weight?"),
        ({**GOOD, "gamma": 1.0}, "no parameter 'gamma'", "weight, bias"),
        ({**GOOD, 0: 1.0}, "no parameter 0", "weight, bias"),
        ({"weight": GOOD["weight"]}, "no value for bias", "complete"),
        ({}, "no value for weight, bias", "complete"),
        ({**GOOD, "bias": np.zeros((3, 1))}, r"bias has another shape: \(3, 1\) given, \(3,\) needed", "sizes"),
        ({**GOOD, "bias": np.zeros(1)}, "bias has another shape", "sizes"),  # which would broadcast
        ({**GOOD, "bias": 0.0}, "bias has another shape", "sizes"),
        ({"weight": GOOD["weight"].T, "bias": GOOD["bias"]}, r"\(3, 2\) given, \(2, 3\) needed", "sizes"),
        ({**GOOD, "bias": ["a", "b", "c"]}, "bias", "numbers"),
        ({**GOOD, "bias": np.zeros(3) * 1j}, "bias", "numbers"),
        ({**GOOD, "bias": [[1.0], [2.0, 3.0]]}, "bias", "numbers"),
        (None, "NoneType", "state_dict"),
        ("model.npz", "str", "state_dict"),
    ],
)
def test_a_foreign_state_is_refused_and_nothing_is_written(state, message, remedy):
    model = nn.Linear(2, 3)
    before = model.state_dict()
    with pytest.raises(errors.StateError, match=message) as caught:
        model.load_state_dict(state)  # here
    assert remedy in caught.value.remedy
    assert caught.value.location.source_line.strip() == "model.load_state_dict(state)  # here"
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_a_module_without_parameters_says_so():
    with pytest.raises(errors.StateError, match="'w'") as caught:
        nn.ReLU().load_state_dict({"w": 1.0})
    assert "none" in caught.value.remedy


def test_a_tape_does_not_go_back_over_values_that_were_loaded_over():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    loss = model(ROW).sum()
    model.load_state_dict(model.state_dict())
    with pytest.raises(errors.StaleValueError, match="overwritten"):
        loss.backward()
    model(ROW).sum().backward()


def test_an_array_in_the_place_of_a_parameter_or_buffer_is_refused_as_it_would_no_longer_be_trained_or_saved():
    for layer, name in ((nn.Linear(2, 3), "weight"), (nn.BatchNorm1d(3), "running_mean")):
        names = list(layer.state_dict())
        with pytest.raises(errors.ArgumentError, match=f"{name} would no longer be a") as caught:
            setattr(layer, name, np.zeros(3))
        assert "nn." in caught.value.remedy
        assert list(layer.state_dict()) == names


# train, eval, zero_grad.


def test_train_and_eval_reach_every_module_and_return_the_model():
    outer = Outer()
    assert all(m.training for m in outer.modules())
    assert outer.eval() is outer
    assert not any(m.training for m in outer.modules())
    assert outer.block.train() is outer.block
    assert all(m.training for m in outer.block.modules())
    assert not outer.training
    assert not outer.head.training
    outer.train(False)
    assert not any(m.training for m in outer.modules())
    assert nn.Linear(1, 1).training  # the switch of one model is not that of the class


def test_zero_grad_forgets_every_gradient():
    outer = Outer()
    outer(ROW).sum().backward()
    kept = outer.head.weight.grad
    before = kept.copy()
    assert all(p.grad is not None for p in outer.parameters())
    outer.zero_grad()
    assert all(p.grad is None for p in outer.parameters())
    np.testing.assert_array_equal(kept, before)


# Calls.


def test_a_module_without_forward_says_what_to_write():
    class Empty(nn.Module):
        pass

    with pytest.raises(TypeError, match=r"Empty has no forward\(self, x\)"):
        Empty()(1.0)


def test_a_call_passes_everything_on():
    class Any(nn.Module):
        def forward(self, *args, **kwargs):
            return args, kwargs

    assert Any()(1, 2, c=3) == ((1, 2), {"c": 3})


def test_arrays_in_a_model_with_parameters_come_out_recorded_and_not_under_no_grad():
    model = nn.Linear(2, 1)
    assert model(ROW).requires_grad
    with no_grad():
        assert not model(ROW).requires_grad


# The path of the module that is running.


def paths(tensor):
    return [node.module for node in tensor.tape() if node.op]


def test_every_node_knows_the_path_of_its_module():
    assert paths(nn.Linear(2, 1)(ROW)) == ["Linear"]
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Sequential(nn.Linear(2, 2), nn.Tanh()))
    assert paths(model(ROW)) == ["0.Linear", "1.ReLU", "2.0.Linear", "2.1.Tanh"]
    outer = Outer()
    assert paths(outer(ROW)) == [
        "block.Block",
        *("block.encoder.0.Linear", "block.encoder.1.Tanh", "block.encoder.2.Linear"),
        *("block.Block", "block.Block", "block.Block"),
        *("block.stages.0.Scale", "block.stages.2.0.Scale", "block.heads.left.Scale"),
        *("Outer", "head.Linear"),
    ]


def test_leaves_and_what_runs_outside_know_no_module():
    model = nn.Linear(2, 1)
    loss = (model(ROW) * 2).sum()
    assert paths(loss) == ["Linear", "", ""]
    assert [node.module for node in loss.tape() if not node.op] == ["", ""]


def test_a_part_called_by_itself_is_known_by_its_own_name():
    outer = Outer()
    assert paths(outer(ROW))[-1] == "head.Linear"
    assert paths(outer.head(ROW)) == ["head.Linear"]
    assert paths(outer.block.encoder[0](ROW)) == ["0.Linear"]
    assert paths(outer(ROW))[1] == "block.encoder.0.Linear"  # and by the whole path again


def test_a_module_with_a_new_owner_has_a_new_path():
    layer = nn.Linear(2, 2)
    assert paths(layer(ROW)) == ["Linear"]
    model = nn.Sequential(nn.ReLU(), layer)
    assert paths(layer(ROW)) == ["1.Linear"]
    assert paths(model(ROW)) == ["1.Linear"]
    owner = nn.Sequential(model)
    assert paths(owner(ROW)) == ["0.1.Linear"]
    model.extra = layer
    assert paths(model.extra(ROW)) == ["extra.Linear"]


def test_a_module_called_by_two_owners_follows_the_one_that_calls():
    shared = nn.Linear(2, 2)

    class Owner(nn.Module):
        def __init__(self):
            self.inner = shared

        def forward(self, x):
            return self.inner(x)

    class Both(nn.Module):
        def __init__(self):
            self.a, self.b = Owner(), Owner()

        def forward(self, x):
            return self.b(self.a(x))

    both = Both()
    for _ in range(2):
        assert paths(both(ROW)) == ["a.inner.Linear", "b.inner.Linear"]


def test_an_exception_leaves_no_path_behind():
    class Fragile(nn.Module):
        def __init__(self):
            self.inner = nn.Linear(3, 1)  # too wide

        def forward(self, x):
            return self.inner(x)

    class Careful(nn.Module):
        def __init__(self):
            self.fragile = Fragile()

        def forward(self, x):
            try:
                return self.fragile(x)
            except errors.ShapeError:
                return x * 2

    x = Tensor(ROW, requires_grad=True)
    with pytest.raises(errors.ShapeError):
        Fragile()(x)
    assert paths(x * 2) == [""]
    assert paths(Careful()(x)) == ["Careful"]


def test_threads_do_not_see_each_others_path():
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Tanh(), nn.Linear(2, 2)))
    owner = nn.Sequential(model)
    barrier = threading.Barrier(4)
    found = {}

    def work(number):
        mine = owner if number % 2 else model
        barrier.wait()
        found[number] = {tuple(paths(mine(ROW))) for _ in range(100)}

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    short = ("0.0.Linear", "0.1.0.Tanh", "0.1.1.Linear")  # the model is called 0 by its owner
    assert found == {0: {short}, 1: {short}, 2: {short}, 3: {short}}
    assert paths(Tensor(1.0, requires_grad=True) * 2) == [""]


# The line of the user at which a node was made.


def lines(tensor):
    return [node.location.source_line.strip() for node in tensor.tape() if node.op]


def test_what_a_layer_does_is_at_the_line_that_called_the_model():
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Tanh(), nn.Dropout(0.5)), nn.Linear(2, 1))
    for _ in range(2):
        first = model(ROW)  # first
        second = model(ROW)  # second
        assert lines(first) == ["first = model(ROW)  # first"] * 4
        assert lines(second) == ["second = model(ROW)  # second"] * 4
        assert {node.location.expression for node in first.tape() if node.op} == {"model(ROW)"}


def test_what_a_module_of_the_users_does_is_at_its_own_lines():
    class Own(nn.Module):
        def __init__(self):
            self.inner = nn.Sequential(nn.Linear(2, 2), Scale(), nn.Tanh())

        def forward(self, x):
            x = x + 1  # before
            x = self.inner(x)  # inside
            return x * 2  # after

    class Wider(nn.Linear):
        def forward(self, x):
            x = x * 3  # mine
            return super().forward(x)  # inherited

    x = Tensor(ROW, requires_grad=True)
    out = nn.Sequential(Own(), nn.ReLU(), Wider(2, 1))(x)  # called
    called = "out = nn.Sequential(Own(), nn.ReLU(), Wider(2, 1))(x)  # called"
    assert lines(out) == [
        "x = x + 1  # before",
        "x = self.inner(x)  # inside",
        "return x * self.factor",  # the forward of Scale
        "x = self.inner(x)  # inside",
        "return x * 2  # after",
        called,
        "x = x * 3  # mine",
        "return super().forward(x)  # inherited",
    ]
    more = out + 1  # outside
    assert lines(more)[-1] == "more = out + 1  # outside"


# Copies.


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_are_independent_keep_names_and_train_on(clone):
    model = Outer().eval()
    model(ROW).sum().backward()
    other = clone(model)
    assert [(n, p.name) for n, p in other.named_parameters()] == [(n, p.name) for n, p in model.named_parameters()]
    assert [m.training for m in other.modules()] == [False] * len(list(model.modules()))
    assert paths(other(ROW)) == paths(model(ROW))
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)
        np.testing.assert_array_equal(p.grad, q.grad)
        assert not np.shares_memory(p.data, q.data)
        assert not np.shares_memory(p.grad, q.grad)
        assert type(q) is nn.Parameter
        assert q.is_leaf
    before = model.state_dict()
    optimizer = optim.SGD(other.parameters(), lr=0.1)
    optimizer.zero_grad()
    other(ROW).sum().backward()
    optimizer.step()
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
        assert not np.array_equal(other.state_dict()[name], before[name])


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_shares_within_itself_what_was_shared(clone):
    layer = nn.Linear(2, 2)
    other = clone(nn.Sequential(layer, layer))
    assert other[0] is other[1]
    assert len(list(other.parameters())) == 2
    frozen = nn.Linear(2, 2)
    frozen.weight.requires_grad = False
    assert clone(frozen).weight.requires_grad is False


# repr.


def test_the_repr_shows_what_is_inside():
    model = nn.Sequential(
        nn.Linear(2, 3),
        nn.LeakyReLU(0.2),
        nn.Sequential(nn.Dropout(0.25), nn.Linear(3, 1, bias=False)),
    )
    assert repr(model) == (
        "Sequential(\n"
        "  (0): Linear(2, 3)\n"
        "  (1): LeakyReLU(0.2)\n"
        "  (2): Sequential(\n"
        "    (0): Dropout(0.25)\n"
        "    (1): Linear(3, 1, bias=False)\n"
        "  )\n"
        ")"
    )
    block = repr(Block())
    assert "  (stages.2.0): Scale()\n" in block
    assert "  (heads.left): Scale()\n" in block
    assert repr(Scale()) == "Scale()"
    assert repr(nn.Sequential()) == "Sequential()"
    assert repr(nn.Maxout(3, 2, 4)) == "Maxout(\n  3, 2, pieces=4\n  (linear): Linear(3, 8)\n)"


# What a reader of calls learns: changes of the mode, and which modules ran.


def test_changes_of_attributes_are_counted_and_nothing_else_is():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    before = changes()
    model.train()  # which it is
    model[1].p = model[1].p
    model(np.ones((1, 2), np.float32))
    assert changes() == before
    model[1].p = 0.25
    assert changes() > before
    before = changes()
    model.eval()
    after = changes()
    assert after > before
    model.eval()
    assert changes() == after
    model[1].training = True
    assert changes() > after


def test_observers_are_told_of_every_call_before_it_runs():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    seen = []
    observers.append(lambda module: seen.append((module, len(seen))))
    try:
        model(ROW)
    finally:
        observers.clear()
    model(ROW)
    assert [module for module, _ in seen] == [model, model[0], model[1]]
