"""What a model file is made of: its operators, what they cost, and whether the Edge TPU takes them."""

from edge_seg.inspection.cost import ModelFacts, OperatorKind, inspect_model, operator_macs, purity_violations

__all__ = ["ModelFacts", "OperatorKind", "inspect_model", "operator_macs", "purity_violations"]
