"""The intermediate representation: a graphsurgeon graph, the decisions about it, and the facts of ONNX."""
