"""Searching with measured plans: solvers that propose, an evaluator that measures, a front that keeps."""
