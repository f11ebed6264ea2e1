"""Distributions of the layers of which most loss is expected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwmodels import load_target
from passes.api import PassContext
from passes.execution.collect import ActivationStats
from passes.ir.model import Model
from passes.ir.setup import quantizer_setup
from passes.numerics import Histogram
from passes.testing import model_from_text
from passes.transform.assign_scales import AssignScales
from qtool.report.distributions import BINS, distributions
