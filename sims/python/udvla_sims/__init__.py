"""Simulator adapters of udvla-eval: one module per benchmark, loaded by the worker."""
