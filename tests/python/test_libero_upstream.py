"""Reset modes of LIBERO's adapter against the official evaluation loop."""

from __future__ import annotations

import importlib.util

import pytest

if importlib.util.find_spec("libero") is None:
    pytest.skip("`libero` is not installed here", allow_module_level=True)

import numpy as np
from test_libero import DATA, IDLE, Adapter, actions, config, real_assets
from udvla_sims.libero import tasks


class Official:
    """The official evaluation loop's calls, eager cameras included."""

    def __init__(self, adapter: Adapter, suite: str, task: int, cameras: bool) -> None:
        import robosuite
        from udvla_sims.libero import runtime

        runtime.use_assets(adapter._assets.root)
        installed = adapter._tasks[suite][task]
        problem, _ = tasks.problem_categories(installed.problem)
        self.states = tasks.initial_states(installed.initial_states)
        self.env = adapter._problems[problem](
            str(installed.problem),
            robots=["Panda"],
            controller_configs=robosuite.load_controller_config(default_controller="OSC_POSE"),
            initialization_noise=None,
            use_camera_obs=cameras,
            has_offscreen_renderer=cameras,
            camera_names=["agentview", "robot0_eye_in_hand"],
            camera_heights=256,
            camera_widths=256,
        )
        self.env.seed(0)

    def reset(self, trial: int) -> None:
        from robosuite.utils.errors import RandomizationError

        while True:
            try:
                self.env.reset()
                break
            except RandomizationError:
                continue
        self.env.sim.set_state_from_flattened(self.states[trial])
        self.env.sim.forward()
        self.env._check_success()
        self.env._post_process()
        self.env._update_observables(force=True)

    def play(self, count: int) -> list[np.ndarray]:
        """Settles, plays, and gives each tenth policy step's front picture, turned."""
        for _ in range(10):
            self.env.step(IDLE.astype(float))
        pictures = []
        for index, action in enumerate(actions(count)):
            seen = self.env.step(action.astype(float))[0]
            if index % 10 == 9:
                pictures.append(seen["agentview_image"][::-1, ::-1])
        return pictures

    def fixtures(self) -> np.ndarray:
        bodies = [self.env.obj_body_id[name] for name in self.env.fixtures_dict]
        return self.env.sim.model.body_pos[bodies].copy()


@real_assets
@pytest.mark.parametrize("suite,task", [("spatial", 7), ("long", 3), ("long", 9)])
def test_reference_mode_has_the_official_streams_fixtures(real, tmp_path, suite, task):
    adapter = Adapter(config(tmp_path, "reference", DATA))
    official = Official(real, suite, task, cameras=False)
    expected = []
    for trial in range(4):
        official.reset(trial)
        expected.append(official.fixtures())
    official.env.close()
    for trial in (3, 0, 2, 1):
        adapter.reset(suite, task, trial)
        env = adapter._simulation.env
        bodies = [env.obj_body_id[name] for name in env.fixtures_dict]
        assert np.array_equal(env.sim.model.body_pos[bodies], expected[trial])
    adapter.close()
    assert not np.array_equal(expected[0], expected[1])


@real_assets
def test_exact_mode_has_the_official_bits_and_pictures(real, tmp_path):
    official = Official(real, "spatial", 7, cameras=True)
    for trial in range(3):
        official.reset(trial)
        pictures = official.play(20)
    state = official.env.sim.get_state().flatten()
    official.env.close()
    adapter = Adapter(config(tmp_path, "exact", DATA, images=True))
    for _ in range(2):
        adapter.reset("spatial", 7, 2)
        seen = []
        for index, action in enumerate(actions(20)):
            adapter.step(action, look=index % 10 == 9)
            if index % 10 == 9:
                seen.append(adapter.observe().images[0])
        assert adapter.state_bytes() == state.astype("<f8").tobytes()
        assert all(np.array_equal(a, b) for a, b in zip(seen, pictures, strict=True))
    adapter.close()
