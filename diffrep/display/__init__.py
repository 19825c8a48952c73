"""Displays, which follow scikit-learn's interface; they need matplotlib.

``from_estimator`` or ``from_estimators`` compute and store the results;
``plot(ax=None)`` draws them, optionally on your own Axes.
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
