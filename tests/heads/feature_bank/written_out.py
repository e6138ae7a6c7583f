"""The head once more, from the equations: for each clip alone, one row after the other, no padding.

It shares the names of the parameters with the module and nothing else; float64 throughout.
"""

import math

import torch
import torch.nn.functional as F

EPSILON = 1e-5
"""Of the layer norm."""


def logits_of(head, clip, rows, times=()):
    """Logits (classes,) of one clip (d_s,) whose window holds `rows`, a list of (d_l,)."""
    state = {name: value.detach().double() for name, value in head.state_dict().items()}
    config = head.config.operator
    clip, rows = clip.double(), [row.double() for row in rows]
    if config.kind == "non_local":
        seen = non_local(state, config, clip, rows, times)
    else:
        seen = pooled(config.kind, rows, head.config.bank_dim)
    return affine(state, "classifier.linear", torch.cat([clip, seen]))


def affine(state, name, vector):
    return state[f"{name}.weight"] @ vector + state[f"{name}.bias"]


def pooled(kind, rows, dim):
    if not rows:
        return torch.zeros(dim, dtype=torch.float64)
    columns = zip(*[row.tolist() for row in rows], strict=True)
    values = [max(c) if kind == "max" else sum(c) / len(c) for c in columns]
    return torch.tensor(values, dtype=torch.float64)


def non_local(state, config, clip, rows, times):
    query = affine(state, "operator.query_reduction", clip)
    reduced = [affine(state, "operator.row_reduction", row) for row in rows]
    if config.time_embedding == "sinusoidal":
        table = state["operator.time_embedding.projection.weight"]
        reduced = [r + table @ waves(t) for r, t in zip(reduced, times, strict=True)]
    for layer in range(config.num_layers):
        query = one_layer(state, f"operator.layers.{layer}", config, query, reduced)
    return query


def waves(seconds):
    periods = [2.0**n for n in range(1, 9)]
    sines = [math.sin(2 * math.pi * seconds / period) for period in periods]
    cosines = [math.cos(2 * math.pi * seconds / period) for period in periods]
    return torch.tensor(sines + cosines, dtype=torch.float64)


def one_layer(state, name, config, query, rows):
    added = torch.zeros_like(query)
    if rows:
        theta = affine(state, f"{name}.attention.query", query)
        phi = [affine(state, f"{name}.attention.key", row) for row in rows]
        g = [affine(state, f"{name}.attention.value", row) for row in rows]
        shares = shares_of(state, name, config, theta, phi)
        added = sum(share * value for share, value in zip(shares, g, strict=True))
        if config.order == "pre_activation":
            added = affine(state, f"{name}.out", norm(config, added).clamp(min=0))
        else:
            added = norm(config, affine(state, f"{name}.out", added))
    total = query + added
    return total if config.order == "pre_activation" else total.clamp(min=0)


def shares_of(state, name, config, theta, phi):
    if config.affinity == "concatenation":
        joint = state[f"{name}.attention.joint.weight"][0]
        return [max(0.0, float(joint @ torch.cat([theta, key]))) / len(phi) for key in phi]
    scale = 1 / math.sqrt(len(theta)) if config.is_scaled else 1.0
    inner = [float(theta @ key) * scale for key in phi]
    if config.affinity == "dot_product":
        return [value / len(phi) for value in inner]
    powers = [math.exp(value) for value in inner]
    return [power / sum(powers) for power in powers]


def norm(config, vector):
    if not config.has_layer_norm:
        return vector
    centred = vector - vector.mean()
    return centred / torch.sqrt((centred**2).mean() + EPSILON)


def batched(head, clips, windows, mask):
    """The default operator with the maps of every row written out: N clips, a window for each.

    The form in which costs are usually told; (N, d_s), (N, W, d_l) and (N, W) in, logits out.
    """
    operator = head.operator
    queries = operator.dropout(operator.query_reduction(clips))[:, None]
    rows = operator.dropout(operator.row_reduction(windows))
    for layer in operator.layers:
        attention = layer.attention
        affinity = attention.query(queries) @ attention.key(rows).transpose(1, 2)
        affinity = affinity * rows.shape[-1] ** -0.5
        shares = affinity.masked_fill(~mask[:, None], -math.inf).softmax(-1)
        seen = layer.norm(shares @ attention.value(rows))
        queries = queries + layer.dropout(layer.out(F.relu(seen)))
    return head.classifier(torch.cat([clips, queries[:, 0]], dim=1))
