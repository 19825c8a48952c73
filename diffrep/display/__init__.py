"""Figures, as Displays in scikit-learn's pattern; needs matplotlib.

What is drawn is computed by ``from_estimator`` (or ``from_estimators``) and
stored; ``plot(ax=None)`` draws it, on an Axes of yours if you have one.
"""

from diffrep.display._accuracy import LabelEfficiencyDisplay, TimeProbeDisplay
from diffrep.display._codes import (
    CodeSwapDisplay,
    LatentDisplay,
    LatentGridDisplay,
    ReconstructionDisplay,
)
from diffrep.display._lines import (
    InformationProfileDisplay,
    LossOverTimeDisplay,
    TrainingDisplay,
)
from diffrep.display._trajectories import (
    AttentionProfileDisplay,
    TimeSimilarityDisplay,
)

__all__ = [
    "AttentionProfileDisplay",
    "CodeSwapDisplay",
    "InformationProfileDisplay",
    "LabelEfficiencyDisplay",
    "LatentDisplay",
    "LatentGridDisplay",
    "LossOverTimeDisplay",
    "ReconstructionDisplay",
    "TimeProbeDisplay",
    "TimeSimilarityDisplay",
    "TrainingDisplay",
]
