"""Facts about a model file: its operators, their cost, and whether the Edge TPU would run them."""

from edge_seg.inspection.cost import (
    ModelFacts,
    OperatorKind,
    inspect_model,
    inspect_network,
    operator_macs,
    purity_violations,
)

__all__ = ["ModelFacts", "OperatorKind", "inspect_model", "inspect_network", "operator_macs", "purity_violations"]
