"""Hyperparameter studies on Optuna: all settings of a grid, or a search for good ones.

Only this package needs Optuna (Akiba et al., 2019); no chapter does. Each module may
import only those before it in this list: ``sqlite``, ``database``, ``plans``,
``interrupts``, ``processes``, ``study``.
"""

from utils.sweep.plans import grid
from utils.sweep.study import Study

__all__ = ["Study", "grid"]
