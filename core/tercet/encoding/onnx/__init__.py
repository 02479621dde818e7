"""ONNX Runtime: exporting a model as a graph, and computing with it without torch."""
