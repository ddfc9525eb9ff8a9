"""Chains of five sub-tasks: storage, validity, and initial states.

A list is stored as text, one word per chain: seven letters for the initial state, a colon, and
a letter per sub-task (`A` is the protocol's first one). The letters of a state are LED and light
bulb (0, 1), slider (`l`, `r`), drawer (`o`, `c`), and the positions of the red, blue and pink block
(`t`able, slider's `l`eft or `r`ight).
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

State = dict[str, int | str]
Chain = tuple[State, list[str]]

LENGTH = 5
"""Sub-tasks of a chain."""
LETTERS = string.ascii_uppercase + string.ascii_lowercase
_BLOCKS = ("red_block", "blue_block", "pink_block")
_PLACES = {"t": "table", "r": "slider_right", "l": "slider_left"}
CODES: dict[str, dict[str, int | str]] = {
    "led": {"0": 0, "1": 1},
    "lightbulb": {"0": 0, "1": 1},
    "slider": {"r": "right", "l": "left"},
    "drawer": {"c": "closed", "o": "open"},
    **{block: dict(_PLACES) for block in _BLOCKS},
}
_SLIDERS = ("slider_right", "slider_left")
_TABLE_PLACES = (
    (5.00000896e-02, -1.20000177e-01, 4.59990009e-01),
    (2.29995412e-01, -1.19995140e-01, 4.59990010e-01),
)
_SLIDER_PLACES = {
    "slider_left": (-2.40851662e-01, 9.24044687e-02, 4.60990009e-01),
    "slider_right": (7.03416330e-02, 9.24044687e-02, 4.60990009e-01),
}
ROBOT_START = np.array(
    [
        *(0.02586889, -0.2313129, 0.5712808),
        *(3.09045411, -0.02908596, 1.50013585),
        0.07999963,
        *(-1.21779124, 1.03987629, 2.11978254, -2.34205014, -0.87015899, 1.64119093, 0.55344928),
        1.0,
    ]
)
"""The robot's state at the start of every chain, as of `Robot.state`."""


def decode(text: str, subtasks: list[str]) -> list[Chain]:
    """The chains of a stored list.

    Args:
        text: words in the format of this module.
        subtasks: names of the sub-tasks, in the protocol's order.

    Raises:
        ValueError: a word is not a chain.
    """
    return [_decoded(word, subtasks) for word in text.split()]


def impossible(chain: Chain) -> str | None:
    """Why a chain cannot be played; none if it can."""
    state, names = chain
    if state not in initial_states():
        return f"its initial state {state} is not one of CALVIN's 192"
    for name in names:
        following = successors(state, name)
        if len(following) != 1:
            word = "cannot be done there" if not following else "may be done in several ways there"
            return f"`{name}` {word}"
        state = following[0]
    return None


def initial_states() -> list[State]:
    """CALVIN's 192 initial states: one or two blocks on the table, none above another."""
    states = []
    for values in itertools.product(*(codes.values() for codes in CODES.values())):
        state: State = {**dict(zip(CODES, values, strict=True)), "grasped": 0}
        places = [state[block] for block in _BLOCKS]
        if places.count("table") in (1, 2) and all(places.count(p) < 2 for p in _SLIDERS):
            states.append(state)
    return states


def successors(state: State, name: str) -> list[State]:
    """The states that a sub-task may lead to; empty if it cannot be done in `state`."""
    return [{**state, **effect} for condition, effect in _effects(state, name) if condition]


def start_of(state: State) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The robot's state [15] and the scene's state [24] of an initial state.

    The blocks' yaws and the order of the two positions on the table are drawn from a generator
    that is seeded with the state's text.

    Source: calvin_models, calvin_agent/evaluation/utils.py (`get_env_state_for_initial_condition`).
    """
    ordered = {key: state[key] for key in (*CODES, "grasped")}
    random = np.random.RandomState(_fnv(str(ordered.values())))
    table = [np.array(place) for place in _TABLE_PLACES]
    random.shuffle(table)
    scene = np.zeros(24)
    scene[0] = 0.28 if state["slider"] == "left" else 0.0
    scene[1] = 0.22 if state["drawer"] == "open" else 0.0
    scene[3] = 0.088 if state["lightbulb"] == 1 else 0.0
    scene[4:6] = state["lightbulb"], state["led"]
    for index, block in enumerate(_BLOCKS):
        second = block == "pink_block" or (block == "blue_block" and state["red_block"] == "table")
        place = _SLIDER_PLACES.get(str(state[block]))
        scene[6 + 6 * index : 9 + 6 * index] = table[int(second)] if place is None else place
        scene[11 + 6 * index] = random.uniform(np.pi / 2 - np.pi / 8, np.pi / 2 + np.pi / 8)
    return ROBOT_START.copy(), scene


def _effects(state: State, name: str) -> Iterator[tuple[bool, State]]:
    """(whether it is possible, what it changes) for each way to do a sub-task."""
    words, free = name.split("_"), not state["grasped"]
    block = f"{words[1]}_block"
    held = [block for block in _BLOCKS if state[block] == "grasped"]
    if words[0] == "rotate" or (words[0] == "push" and words[1] != "into"):
        yield free and state[block] == "table", {}
    elif name == "push_into_drawer":
        for block in _BLOCKS:
            others = [state[other] in _SLIDERS for other in _BLOCKS if other != block]
            able = free and state["drawer"] == "open" and state[block] == "table"
            yield able and all(others), {block: "drawer"}
    elif words[0] == "move":
        yield free and state["slider"] != words[2], {"slider": words[2]}
    elif words[1] == "drawer":
        after = "open" if words[0] == "open" else "closed"
        yield free and state["drawer"] != after, {"drawer": after}
    elif words[0] == "lift":
        yield free and _reachable(state, block, words[3]), {block: "grasped", "grasped": 1}
    elif name == "place_in_slider":
        for block in held:
            yield True, {block: f"slider_{state['slider']}", "grasped": 0}
    elif name == "place_in_drawer":
        for block in held:
            yield state["drawer"] == "open", {block: "drawer", "grasped": 0}
    elif name == "stack_block":
        for block, other in itertools.permutations(_BLOCKS, 2):
            able = block in held and state[other] == "table"
            yield able, {block: "stacked_top", other: "stacked_bottom", "grasped": 0}
    elif name == "unstack_block":
        for block, other in itertools.permutations(_BLOCKS, 2):
            able = (state[block], state[other]) == ("stacked_top", "stacked_bottom")
            yield free and able, {block: "table", other: "table"}
    else:
        yield free and state[words[2]] != int(words[1] == "on"), {words[2]: int(words[1] == "on")}


def _reachable(state: State, block: str, place: str) -> bool:
    """Whether a block is at `place` and reachable by the gripper."""
    if place == "slider":
        # The door covers its own side.
        other = {"right": "slider_left", "left": "slider_right"}[str(state["slider"])]
        return state[block] == other
    return state[block] == place and (place == "table" or state["drawer"] == "open")


def _decoded(word: str, subtasks: list[str]) -> Chain:
    head, _, tail = word.partition(":")
    if len(head) != len(CODES) or len(tail) != LENGTH:
        raise ValueError(f"`{word}` is not a chain of sub-tasks")
    try:
        values = [codes[c] for c, codes in zip(head, CODES.values(), strict=True)]
        names = [subtasks[LETTERS.index(letter)] for letter in tail]
    except (KeyError, IndexError, ValueError):
        raise ValueError(f"`{word}` is not a chain of sub-tasks") from None
    return {**dict(zip(CODES, values, strict=True)), "grasped": 0}, names


def _fnv(text: str) -> int:
    """The 32-bit FNV-1 hash of a text."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = value * 0x01000193 % 2**32 ^ byte
    return value
