"""Where PyTorch's optimisers and schedules go: writes the JSON file beside it. Needs torch, made with 2.13.

python tests/optim/reference/make_trajectories.py
"""

import json
import math
import pathlib

import torch

STEPS = 12
OPTIMIZERS = [
    ("RMSprop", {"lr": 0.05}),
    ("RMSprop", {"lr": 0.05, "alpha": 0.8, "eps": 0.01, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.02, "momentum": 0.7}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.9, "centered": True, "eps": 0.01}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.9, "centered": True, "momentum": 0.5, "weight_decay": 0.1}),
    ("Adagrad", {"lr": 0.3}),
    ("Adagrad", {"lr": 0.3, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 0.01}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 2.0, "rho": 0.7, "eps": 1e-3, "weight_decay": 0.1}),
    ("NAdam", {"lr": 0.1}),
    ("NAdam", {"lr": 0.1, "betas": (0.8, 0.9), "eps": 0.01, "weight_decay": 0.1, "momentum_decay": 0.05}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
]
# Two groups: what the first and the second set for themselves, and what both share.
GROUPED = [
    ("SGD", {"lr": 0.01}, {"momentum": 0.5, "weight_decay": 0.2}, {"lr": 0.03, "momentum": 0.9}),
    ("AdamW", {}, {"lr": 0.02, "weight_decay": 0.0}, {"lr": 0.1, "weight_decay": 0.3}),
    ("NAdam", {"betas": (0.5, 0.9)}, {"lr": 0.2}, {"lr": 0.1}),
]
LBFGS = [
    {"lr": 0.1, "max_iter": 3},
    {"lr": 0.5, "max_iter": 4, "history_size": 2},
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "max_iter": 4, "history_size": 3},
    {"line_search_fn": "strong_wolfe", "max_iter": 5, "max_eval": 4, "lr": 0.3},
]
# The learning rates (0.1 and 0.02, of two groups) after each step; `set` says at which step both are multiplied by 0.5.
SCHEDULES = [
    ("StepLR", {"step_size": 4, "gamma": 0.5}, None),
    ("StepLR", {"step_size": 3}, 5),
    ("MultiStepLR", {"milestones": [3, 7, 7, 12], "gamma": 0.3}, None),
    ("MultiStepLR", {"milestones": [3, 12], "gamma": 0.3}, 6),
    ("ExponentialLR", {"gamma": 0.9}, None),
    ("ExponentialLR", {"gamma": 0.9}, 4),
    ("CosineAnnealingLR", {"T_max": 10, "eta_min": 0.01}, None),
    ("CosineAnnealingLR", {"T_max": 30}, 11),
    ("LinearLR", {"total_iters": 8, "start_factor": 0.25}, None),
    ("LinearLR", {"total_iters": 5, "start_factor": 0.1}, 3),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 24}, None),
    ("OneCycleLR", {"max_lr": [0.5, 0.1], "total_steps": 24, "pct_start": 0.5, "anneal_strategy": "linear"}, None),
    ("OneCycleLR", {"max_lr": 0.3, "epochs": 6, "steps_per_epoch": 4, "three_phase": True, "div_factor": 5}, 7),
]
LENGTH = 23
PLATEAUS = [
    {"patience": 2},
    {"patience": 1, "factor": 0.5, "cooldown": 2, "min_lr": 0.01},
    {"patience": 0, "threshold": 0.05, "threshold_mode": "abs", "mode": "max", "factor": 0.5},
    {"patience": 1, "threshold": 0.2, "factor": 0.1, "min_lr": [0.03, 0.001]},
]
LOSSES = [round(1 / (1 + i / 4) + 0.3 * math.sin(i) ** 2, 6) for i in range(LENGTH)]


def loss_of(p, q):
    return (1 - p[0]) ** 2 + 5 * (p[1] - p[0] ** 2) ** 2 + (q**4).sum() / 4


def start():
    p = torch.tensor([-0.5, 1.0], dtype=torch.float64, requires_grad=True)
    q = torch.tensor([[1.5], [-0.25]], dtype=torch.float64, requires_grad=True)
    return p, q


def walk(p, q, optimizer):
    places = []
    for _ in range(STEPS):

        def closure():
            optimizer.zero_grad()
            loss = loss_of(p, q)
            loss.backward()
            return loss

        optimizer.step(closure)
        places.append([*p.tolist(), *q.flatten().tolist()])
    return places[3::4]


def optimizers():
    for name, options in OPTIMIZERS:
        p, q = start()
        yield {"name": name, "options": options, "places": walk(p, q, getattr(torch.optim, name)([p, q], **options))}


def grouped():
    for name, first, second, shared in GROUPED:
        p, q = start()
        groups = [{"params": [p], **first}, {"params": [q], **second}]
        places = walk(p, q, getattr(torch.optim, name)(groups, **shared))
        yield {"name": name, "first": first, "second": second, "options": shared, "places": places}


def lbfgs():
    for options in LBFGS:
        p, q = start()
        yield {"options": options, "places": walk(p, q, torch.optim.LBFGS([p, q], **options))}


def two_groups():
    p, q = start()
    return torch.optim.SGD([{"params": [p]}, {"params": [q], "lr": 0.02}], lr=0.1, momentum=0.9)


def rates(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def follow(optimizer, schedule, set_at=None, losses=None):
    found, momenta = [rates(optimizer)], [optimizer.param_groups[0]["momentum"]]
    for i in range(LENGTH):
        optimizer.step()
        if i == set_at:
            for group in optimizer.param_groups:
                group["lr"] *= 0.5
        schedule.step(*([losses[i]] if losses else []))
        found.append(rates(optimizer))
        momenta.append(optimizer.param_groups[0]["momentum"])
    return found, momenta


def schedules():
    for name, options, set_at in SCHEDULES:
        optimizer = two_groups()
        found, momenta = follow(optimizer, getattr(torch.optim.lr_scheduler, name)(optimizer, **options), set_at)
        row = {"name": name, "options": options, "set": set_at, "rates": found}
        yield {**row, "momenta": momenta} if name == "OneCycleLR" else row


def plateaus():
    for options in PLATEAUS:
        optimizer = two_groups()
        found, _ = follow(optimizer, torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options), losses=LOSSES)
        yield {"options": options, "rates": found}


def chained():
    optimizer = two_groups()
    made = torch.optim.lr_scheduler
    parts = [
        made.LinearLR(optimizer, 0.2, total_iters=4),
        made.CosineAnnealingLR(optimizer, 12),
        made.StepLR(optimizer, 2),
    ]
    return follow(optimizer, made.SequentialLR(optimizer, parts, milestones=[4, 16]))[0]


def with_two():
    """Two schedules that both move the rates."""
    optimizer = two_groups()
    made = torch.optim.lr_scheduler
    parts = [made.ExponentialLR(optimizer, 0.95), made.MultiStepLR(optimizer, [5, 9])]
    found = [rates(optimizer)]
    for _ in range(LENGTH):
        optimizer.step()
        for part in parts:
            part.step()
        found.append(rates(optimizer))
    return found


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)  # NAdam keeps a product in the default type
    made = {
        "torch": torch.__version__.partition("+")[0],
        "optimizers": [*optimizers()],
        "grouped": [*grouped()],
        "lbfgs": [*lbfgs()],
        "schedules": [*schedules()],
        "losses": LOSSES,
        "plateaus": [*plateaus()],
        "sequential": chained(),
        "two schedules": with_two(),
    }
    text = json.dumps(made).replace('{"', '\n{"')
    pathlib.Path(__file__).with_name("trajectories.json").write_text(text.strip() + "\n")
