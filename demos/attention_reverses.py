"""A tiny attention model learns to read backwards, and where it looks can be watched.

It is shown eight digits and has to say them in reverse. Every place of the answer asks (a query), every place of what
is shown offers a key and a value, and softmax(query . key) says how much of which value is taken:

    attention = softmax(Q K^T / sqrt(d)),    answer = attention V

Nothing tells the model that place 0 has to look at place 7, place 1 at place 6 and so on. At first it looks everywhere
alike; when it has learned, its attention is the other diagonal, for every sequence, whatever the digits are.
"""

import numpy as np

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import nn, optim, train

LENGTH, WIDTH, STEPS = 8, 32, 400
rng = np.random.default_rng(0)


class Reader(nn.Module):
    """One head of attention between an embedding and a linear layer."""

    def __init__(self):
        start = rng.normal(0, 0.3, (10 + LENGTH, WIDTH)).astype(np.float32)
        self.digits, self.places = nn.Parameter(start[:10]), nn.Parameter(start[10:])
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH, generator=rng) for _ in range(3))
        self.answer = nn.Linear(WIDTH, 10, generator=rng)

    def forward(self, shown):
        x = self.digits[shown] + self.places  # (N, LENGTH, WIDTH): what stands there, and where that is
        scores = self.query(x) @ self.key(x).swapaxes(1, 2) / WIDTH**0.5
        self.attention = F.softmax(scores)  # (N, LENGTH, LENGTH)
        return self.answer(self.attention @ self.value(x))


model = Reader()
optimizer = optim.Adam(model.parameters(), lr=0.01)
losses, watched = [], {}
for step in range(STEPS + 1):
    shown = rng.integers(10, size=(64, LENGTH))
    loss = F.cross_entropy(model(shown).transpose(0, 2, 1), shown[:, ::-1])
    losses.append(loss.item())
    if step in (0, 15, STEPS):
        watched[step] = model.attention.data.mean(axis=0)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print("Where each place of the answer (a line) looks (across), from 0 to 7:")
print("   ".join(f"step {step:<11}" for step in watched).rstrip())
for rows in zip(*[np.array(list(".:-+*#"))[np.rint(5 * each).astype(int)] for each in watched.values()], strict=True):
    print("   ".join("".join(np.repeat(row, 2)) for row in rows))
shown = rng.integers(10, size=(1000, LENGTH))
with tg.no_grad():
    said = model(shown).data.argmax(axis=2)
right = (said == shown[:, ::-1]).all(axis=1)
print(f"\nshown {shown[0]}, said {said[0]}\nof 1,000 new sequences {right.mean():.1%} are right")
print(train.chart({"Loss": {"cross-entropy": losses}}, "attention_reverses.png"))
