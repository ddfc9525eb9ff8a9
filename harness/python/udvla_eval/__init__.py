"""udvla-eval for notebooks: start runs, follow them, read them as frames (docs/python.md)."""

from udvla_eval.evaluation import Evaluation, Progress, evaluate, resume
from udvla_eval.program import ProgramError
from udvla_eval.runs import Run, read_run

__all__ = ["Evaluation", "ProgramError", "Progress", "Run", "evaluate", "read_run", "resume"]
