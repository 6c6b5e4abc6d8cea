"""Boosted trees as exporters write them: the shape of 100 rounds of depth 3 for 10 classes, with random splits."""

from pathlib import Path

import numpy as np
from onnx import helper

from bench.graphs import Graph

ROUNDS, CLASSES, DEPTH, FEATURES = 100, 10, 3, 64
BRANCHES = 2**DEPTH - 1
NODES = 2 * BRANCHES + 1


def boosted_trees(path: Path, seed: int) -> Path:
    """float32 [batch, 64] to ``label``, int64 [batch], and ``probabilities``, float32 [batch, 10].

    A tree is complete and its nodes are numbered by level: those below node i are 2i + 1 and 2i + 2.
    """
    graph, trees = Graph(seed), ROUNDS * CLASSES
    inner = np.tile(np.arange(NODES) < BRANCHES, trees)
    numbers = np.tile(np.arange(NODES), trees)
    splits = np.where(inner, graph.random.random(trees * NODES), 0.0)
    features = np.where(inner, graph.random.integers(0, FEATURES, trees * NODES), 0)
    leaves = np.flatnonzero(~inner)
    node = helper.make_node(
        "TreeEnsembleClassifier",
        ["input"],
        ["label", "probabilities"],
        domain="ai.onnx.ml",
        post_transform="SOFTMAX",
        classlabels_int64s=list(range(CLASSES)),
        base_values=[0.0] * CLASSES,
        nodes_treeids=(np.arange(trees * NODES) // NODES).tolist(),
        nodes_nodeids=numbers.tolist(),
        nodes_featureids=features.tolist(),
        nodes_values=splits.tolist(),
        nodes_modes=np.where(inner, "BRANCH_LEQ", "LEAF").tolist(),
        nodes_truenodeids=np.where(inner, 2 * numbers + 1, 0).tolist(),
        nodes_falsenodeids=np.where(inner, 2 * numbers + 2, 0).tolist(),
        class_treeids=(leaves // NODES).tolist(),
        class_nodeids=(leaves % NODES).tolist(),
        class_ids=(leaves // NODES % CLASSES).tolist(),
        class_weights=(0.1 * graph.random.standard_normal(leaves.size)).tolist(),
    )
    graph.add(node)
    return graph.save(path, ["batch", FEATURES], {"label": ["batch"], "probabilities": ["batch", CLASSES]})
