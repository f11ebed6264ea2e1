"""From a graph and its plan to something that runs: pure functions, below execution on purpose.

Search, sensitivity and the shipped files share one emitter and one rounding: running a model under a plan
means lowering it in memory and running that.
"""
