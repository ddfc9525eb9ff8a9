"""LIBERO, vla-eval and torch in one Python: what vla-eval's LIBERO benchmark needs.

The interpreter and LIBERO's own packages are those of its simulator's environment, vla-eval is that
of `.clients` (scripts/test), torch that of scripts/peers/run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TORCH = Path(os.environ.get("LIBTORCH", ROOT / ".libtorch/torch")).parent
CONFIG = """\
server:
  url: {url}
  timeout: 300
output_dir: {folder}
benchmarks:
  - benchmark: "vla_eval.benchmarks.libero.benchmark:LIBEROBenchmark"
    mode: sync
    episodes_per_task: {episodes}
    max_tasks: 1
    max_steps: {steps}
    params:
      suite: {suite}
      seed: 7
      num_steps_wait: 10
      send_wrist_image: true
      send_state: true
"""


class CannotError(RuntimeError):
    """They cannot be imported together here."""


@dataclass(frozen=True)
class Together:
    """How to start a script that imports all three."""

    python: Path
    folder: Path
    variables: dict[str, str]

    @classmethod
    def make(cls, program: Path, assets: Path, clients: Path, folder: Path) -> Together:
        """Prepares a folder.

        Args:
            program: udvla-eval, which knows the simulator's environment.
            assets: LIBERO's meshes and textures.
            clients: the folder of packages with vla-eval.
            folder: an empty one.
        """
        found = subprocess.run([program, "setup", "libero", "--print"], capture_output=True)
        if found.returncode != 0:
            raise CannotError("LIBERO has no environment here (udvla-eval setup libero)")
        python = Path(found.stdout.decode().strip())
        find = (
            "import importlib.util as u; print(u.find_spec('libero').submodule_search_locations[0])"
        )
        package = subprocess.run([python, "-c", find], capture_output=True, text=True, check=True)
        # LIBERO looks for its scenes in its own package.
        root = folder / "package/libero"
        shutil.copytree(package.stdout.strip(), root)
        (root / "libero/assets").symlink_to(assets)
        config = folder / "config"
        config.mkdir()
        (config / "config.yaml").write_text(
            f"benchmark_root: {root}/libero\nbddl_files: {root}/libero/bddl_files\n"
            f"init_states: {root}/libero/init_files\ndatasets: {folder}\nassets: {assets}\n"
        )
        # After the environment's packages: those of vla-eval, and the torch of scripts/peers.
        more = [str(clients), str(TORCH), str(ROOT / ".peers/site")]
        (folder / "start.py").write_text(
            f"import sys\nsys.path[:1] = ['{root.parent}']\nsys.path += {more}\n"
            "exec(open(sys.argv.pop(1)).read())\n"
        )
        variables = {
            **os.environ, "LIBERO_CONFIG_PATH": str(config), "PYTHONPATH": "",
            "LD_LIBRARY_PATH": str(ROOT / ".peers/libraries"),
        }  # fmt: skip
        together = cls(python, folder, variables)
        script = folder / "try.py"
        script.write_text("import libero.libero.benchmark, vla_eval, torch\n")
        if together.run(script).returncode != 0:
            text = "LIBERO, vla-eval and torch cannot be imported together: scripts/peers/run"
            raise CannotError(text)
        return together

    def run(self, script: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Runs a script."""
        return subprocess.run(
            [self.python, self.folder / "start.py", script, *words],
            env=self.variables, capture_output=True, text=True, timeout=1800, cwd=self.folder,
        )  # fmt: skip

    def vla_eval(
        self, url: str, suite: str, episodes: int, steps: int
    ) -> subprocess.CompletedProcess[str]:
        """Runs vla-eval's LIBERO benchmark on the first task of a suite against a server.

        Its results are in the folder `results`.
        """
        main = self.folder / "main.py"
        main.write_text("from vla_eval.cli.main import main\nmain()\n")
        config = self.folder / "libero.yaml"
        folder = self.folder / "results"
        config.write_text(
            CONFIG.format(url=url, folder=folder, episodes=episodes, steps=steps, suite=suite)
        )
        return self.run(main, "run", "--no-docker", "--render", "cpu", "--config", config)
