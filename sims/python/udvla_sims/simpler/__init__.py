"""The SimplerEnv-WidowX adapter; the worker loads `Adapter` from here."""

from .adapter import Adapter

__all__ = ["Adapter"]
