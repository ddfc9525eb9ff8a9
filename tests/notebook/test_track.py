"""`python -m udvla_eval.track`: what trackers hold is what `episodes.jsonl` says, once."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from conftest import FAKE, PROGRAM
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

KEY = "long-task03-trial000"
# Its module is a stub that writes down what it is given.
STUB = """
import json, os
class Run:
    def log(self, metrics, step):
        with open(os.path.join(os.environ["TRACKIO_DIR"], "logged"), "a") as file:
            file.write(json.dumps([step, metrics]) + "\\n")
    def finish(self):
        pass
def init(**words):
    assert words["resume"] == "allow" and words["name"], words
    return Run()
def Markdown(text):
    return text
"""


def start(run: Path, *words: str | Path, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "udvla_eval.track", run, "--interval", "0.1", *words]
    return subprocess.Popen(
        [str(word) for word in command], stderr=subprocess.PIPE, text=True, **options
    )


def track(run: Path, *words: str | Path) -> str:
    """Follows a run to its end; what was printed."""
    process = start(run, *words)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return errors


def expected(run: Path) -> dict[int, dict[str, float]]:
    """What is logged at every step, counted anew from the records before it."""
    records = [json.loads(line) for line in (run / "episodes.jsonl").read_text().splitlines()]
    steps = {}
    for step, record in enumerate(records, start=1):
        before = [one for one in records[:step] if one["suite"] == record["suite"]]
        last = {(one["task"], one["trial"]): one for one in before}.values()
        ok = [one for one in last if one["status"] == "ok"]
        numbers = {"n": len(ok), "errors": len(last) - len(ok)}
        if ok:
            numbers["success_rate"] = sum(one["stages_completed"] for one in ok) / len(ok)
        if record["status"] == "ok":
            numbers["steps"] = record["steps"]
        steps[step] = {f"{record['suite']}/{name}": number for name, number in numbers.items()}
    return steps


def events(logdir: Path) -> list[tuple[int, dict[str, float | str]]]:
    """Step and values of every event, in the order of the files."""
    found = []
    for file in sorted(logdir.rglob("events.out.tfevents.*")):
        for event in EventFileLoader(str(file)).Load():
            values = {
                value.tag: (value.tensor.string_val or value.tensor.float_val)[0]
                for value in event.summary.value
            }
            if values:
                found.append((event.step, values))
    return found


def assert_logged(logdir: Path, run: Path, tables: int = 1) -> None:
    logged = events(logdir)
    episodes = [event for event in logged if "tables/text_summary" not in event[1]]
    assert max(Counter(step for step, _ in episodes).values()) == 1
    wanted = expected(run)
    assert [step for step, _ in episodes] == list(wanted)
    for step, values in episodes:
        assert values == pytest.approx(wanted[step], rel=1e-6), step
    texts = [values["tables/text_summary"] for step, values in logged if len(values) == 1]
    assert len(texts) == tables
    assert texts[-1].decode() == (run / "tables/summary.md").read_text()


def test_a_tracker_that_is_killed_and_restarted_has_every_episode_once(tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [
        PROGRAM, "libero", "--simulator", FAKE, "--no-progress", "--policy", "random", "--trials=2",
        "--suite=long", "--suite=goal", "--workers=1", "--sim-option=step_ms=2", "--out", run,
    ]  # fmt: skip
    playing = subprocess.Popen([str(w) for w in words], stdout=-3, stderr=-3)
    logdir = tmp_path / "logs"
    tracker = start(run, "--to", "tensorboard", "--logdir", logdir)
    for count in (3, 12):
        while len(events(logdir)) < count:
            assert playing.poll() is None and tracker.poll() is None
            time.sleep(0.1)
        tracker.kill()
        tracker.communicate()
        tracker = start(run, "--to", "tensorboard", "--logdir", logdir)
    assert tracker.wait(120) == 0, tracker.communicate()
    assert playing.wait(120) == 0
    assert len(expected(run)) == 40
    assert_logged(logdir, run)


def test_an_episode_that_ran_after_an_error_is_no_error_any_more(play, program) -> None:
    run = play("run", "--retries=0", f"--sim-option=raise={KEY}", code=4)
    track(run, "--to", "tensorboard")
    logdir = run / "tracking/tensorboard"
    assert_logged(logdir, run)
    track(run, "--to", "tensorboard")
    assert_logged(logdir, run)
    assert [values["long/errors"] for _, values in events(logdir)[-2:-1]] == [1]
    ended = program("resume", run, "--no-progress", "--retries=1")
    assert ended.returncode == 0, ended.stderr
    track(run, "--to", "tensorboard")
    assert_logged(logdir, run, tables=2)
    assert events(logdir)[-2][1]["long/errors"] == 0 and len(expected(run)) == 11
    # What a tracker leaves in the directory bothers no other command.
    assert program("tables", run).returncode == 0


def test_a_torn_line_waits_and_the_parents_end_is_the_trackers(play, tmp_path: Path) -> None:
    run = play("run")
    records = run / "episodes.jsonl"
    text = records.read_text()
    whole = text.splitlines(keepends=True)
    records.write_text("".join(whole[:4]) + whole[4][:50])
    logdir = tmp_path / "logs"
    # The status of `run.json` does not end it: it can be that of an earlier process.
    words = ["--to", "tensorboard", "--logdir", logdir, "--until-stdin-closes"]
    tracker = start(run, *words, stdin=subprocess.PIPE)
    while len(events(logdir)) < 4:
        assert tracker.poll() is None
        time.sleep(0.1)
    time.sleep(0.5)
    assert tracker.poll() is None and len(events(logdir)) == 4
    # A resumed run removes the torn line.
    records.write_text("".join(whole[:4]))
    records.write_text(text)
    assert tracker.stdin is not None
    tracker.stdin.close()
    assert tracker.wait(60) == 0
    assert_logged(logdir, run)


def test_a_missing_package_is_named_with_the_command_that_installs_it(play) -> None:
    run = play("run")
    before = sorted(run.rglob("*"))
    for check in ([], ["--check"]):
        tracker = start(run, "--to", "trackio", *check)
        _, errors = tracker.communicate(timeout=60)
        assert tracker.returncode == 2
        assert f"hint: {sys.executable} -m pip install trackio" in errors
        assert "Traceback" not in errors
    assert sorted(run.rglob("*")) == before
    assert start(run, "--to", "tensorboard", "--check").wait(60) == 0


def test_a_tracker_that_fails_says_that_the_run_is_not_affected(play, tmp_path: Path) -> None:
    run = play("run")
    (tmp_path / "file").touch()
    tracker = start(run, "--to", "tensorboard", "--logdir", tmp_path / "file")
    _, errors = tracker.communicate(timeout=60)
    assert tracker.returncode == 1
    assert "error: tensorboard failed, the run is not affected" in errors


def test_trackio_gets_every_episode_and_the_tables_once(
    play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = play("run")
    (tmp_path / "trackio.py").write_text(STUB)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ['PYTHONPATH']}")
    (tmp_path / "logs").mkdir()
    for _ in range(2):
        track(run, "--to", "trackio", "--logdir", tmp_path / "logs")
    logged = [json.loads(line) for line in (tmp_path / "logs/logged").read_text().splitlines()]
    *episodes, (step, tables) = logged
    assert dict(episodes) == expected(run) and len(episodes) == step == 10
    assert sorted(tables) == ["tables/summary", "tables/tasks"]
    assert tables["tables/summary"].splitlines()[2].startswith("| long | 10 |")


def test_a_run_sends_its_results_while_it_is_played(play, program, tmp_path: Path) -> None:
    words = ["--track=tensorboard", f"--track-python={sys.executable}", "--retries=0"]
    run = play("run", *words, f"--sim-option=raise={KEY}", code=4)
    logdir = run / "tracking/tensorboard"
    assert_logged(logdir, run)
    ended = program("resume", run, "--no-progress", "--retries=1", *words[:2])
    assert ended.returncode == 0 and "tensorboard" not in ended.stderr, ended.stderr
    assert_logged(logdir, run, tables=2)


def test_runs_share_a_folder_of_a_tracker(play, tmp_path: Path) -> None:
    words = ["--track=tensorboard", f"--track-python={sys.executable}"]
    runs = [play(name, *words, f"--track-dir={tmp_path / 'logs'}") for name in ("a", "b")]
    folders = sorted((tmp_path / "logs").iterdir())
    assert [folder.name[:2] for folder in folders] == ["a-", "b-"]
    for run, folder in zip(runs, folders, strict=True):
        assert_logged(folder, run)


def test_an_interrupted_run_has_sent_what_it_played(tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [
        PROGRAM, "libero", "--simulator", FAKE, "--no-progress", "--policy", "random", "--trials=5",
        "--suite=long", "--workers=1", "--sim-option=step_ms=5", "--out", run,
        "--track=tensorboard", f"--track-python={sys.executable}",
    ]  # fmt: skip
    playing = subprocess.Popen(
        [str(w) for w in words], stdout=-3, stderr=subprocess.PIPE, text=True, process_group=0
    )
    while len(events(run / "tracking/tensorboard")) < 2:
        assert playing.poll() is None
        time.sleep(0.1)
    # As Ctrl-C in a terminal: the tracker gets it too.
    os.killpg(playing.pid, signal.SIGINT)
    _, errors = playing.communicate(timeout=120)
    assert playing.returncode == 3 and "tensorboard" not in errors, errors
    assert 2 <= len(expected(run)) < 50
    assert_logged(run / "tracking/tensorboard", run)


@pytest.mark.parametrize("fault", ["raise OSError('no disk')", "os.kill(os.getpid(), 9)"])
def test_a_run_is_complete_whatever_happens_to_its_tracker(
    play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd, fault: str
) -> None:
    (tmp_path / "trackio.py").write_text(STUB.replace("with open(", f"{fault}\n        with open("))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ['PYTHONPATH']}")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    ended = play.ended("run", "--track=trackio", f"--track-python={sys.executable}")
    assert ended.returncode == 0
    assert "note: `trackio` does not have all results: " in ended.stderr
    assert len(expected(tmp_path / "run")) == 10
    if "OSError" in fault:
        assert "no disk" in ended.stderr
        assert "no disk" in (tmp_path / "run/logs/track.log").read_text()


def test_a_run_does_not_start_without_the_package_of_its_tracker(play, tmp_path: Path) -> None:
    for python, text in [(sys.executable, "pip install trackio"), ("/none", "--track-python PATH")]:
        for more in ([], ["--dry-run"]):
            ended = play.ended("run", "--track=trackio", f"--track-python={python}", *more)
            assert ended.returncode == 2 and "hint: " in ended.stderr and text in ended.stderr
            assert "Traceback" not in ended.stderr
            assert not (tmp_path / "run").exists()


def wandb_history(logdir: Path) -> dict[int, dict[str, float]]:
    """Records of the offline runs: LevelDB's log format, with a header of seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    steps: dict[int, dict[str, float]] = {}
    for file in sorted(logdir.rglob("*.wandb")):
        data, at, record = file.read_bytes(), 7, b""
        while at + 7 <= len(data):
            if 32768 - at % 32768 < 7:
                at += 32768 - at % 32768
                continue
            _, length, kind = struct.unpack_from("<IHB", data, at)
            record += data[at + 7 : at + 7 + length]
            at += 7 + length
            if kind in (1, 4):  # A whole record, or its last part.
                history = Record.FromString(record).history
                record = b""
                for item in history.item:
                    key = item.key or "/".join(item.nested_key)
                    value = json.loads(item.value_json)
                    if not key.startswith("_"):
                        assert key not in steps.get(history.step.num, {}), key
                        steps.setdefault(history.step.num, {})[key] = value
    return steps


def test_wandb_gets_every_episode_and_the_tables_once(
    play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = play("run")
    logdir = tmp_path / "logs"
    logdir.mkdir()
    for name in ("CONFIG_DIR", "CACHE_DIR", "DATA_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path / name))
    monkeypatch.setenv("WANDB_MODE", "offline")
    for _ in range(2):
        track(run, "--to", "wandb", "--logdir", logdir)
    steps = wandb_history(logdir)
    # A table is a file, and several keys.
    tables = {key: steps[10].pop(key) for key in list(steps[10]) if key.startswith("tables/")}
    assert (tables["tables/summary/nrows"], tables["tables/tasks/nrows"]) == (1, 10)
    assert steps == expected(run) and len(steps) == 10
