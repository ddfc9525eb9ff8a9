"""CALVIN's generator of chains, which made the list that the protocol stores."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from udvla_sims.calvin import sequences
from udvla_sims.calvin.sequences import LENGTH, LETTERS, Chain

KINDS = ("rotate", "push_into", "push", "move_slider", "place", "turn", "stack", "unstack")


def encode(chains: list[Chain], subtasks: list[str]) -> str:
    """The inverse of `sequences.decode`."""
    words = []
    for state, names in chains:
        letters = [
            next(letter for letter, value in codes.items() if value == state[key])
            for key, codes in sequences.CODES.items()
        ]
        words.append("".join(letters) + ":" + "".join(LETTERS[subtasks.index(n)] for n in names))
    return " ".join(words)


def kind(name: str) -> str:
    """The kind of a sub-task; the five of a chain are of different kinds."""
    for start in KINDS:
        if name.startswith(start):
            return "rotate" if start == "push" else start
    return f"lift_{name.rsplit('_', 1)[1]}" if name.startswith("lift") else "drawer"


def draw(count: int, subtasks: list[str], states: int | None = None) -> Iterator[list[Chain]]:
    """CALVIN's random chains by initial state, before the list is shuffled.

    Five different sub-tasks are drawn until they make a possible chain of five kinds. For 1000
    chains this takes 7.1 million draws, some minutes.

    Args:
        count: chains in the whole list; their number per state depends on it.
        subtasks: names of the sub-tasks, in CALVIN's order.
        states: number of initial states to draw for; all if absent.

    Yields:
        The chains of one initial state.
    """
    initial = sequences.initial_states()
    shares = [len(part) for part in np.array_split(np.arange(count), len(initial))]
    kinds = [kind(name) for name in subtasks]
    for seed, (state, share) in enumerate(zip(initial[:states], shares, strict=False)):
        random = np.random.RandomState(seed)
        possible = {
            i for i, name in enumerate(subtasks) if len(sequences.successors(state, name)) == 1
        }
        chains: list[Chain] = []
        while len(chains) < share:
            picked = random.permutation(len(subtasks))[:LENGTH].tolist()
            if picked[0] not in possible or len({kinds[i] for i in picked}) < LENGTH:
                continue
            names = [subtasks[i] for i in picked]
            if sequences.impossible((state, names)) is None:
                chains.append((state, names))
        yield chains


def shuffled(chains: list[Chain]) -> list[Chain]:
    """The order in which CALVIN plays the chains that `draw` gives."""
    chains = list(chains)
    np.random.RandomState(0).shuffle(chains)
    return chains
