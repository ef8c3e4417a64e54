"""Assignment 11 · Rectified flow."""

from __future__ import annotations

from course_lib.grading.spec import Assignment, Written
from course_lib.grading.specs import _rectified_flow_paths as paths
from course_lib.grading.specs import _rectified_flow_sampling as sampling
from course_lib.grading.specs import _rectified_flow_training as training

STAND_INS = {
    "interpolate": """
def interpolate(x0, x1, t):
    t = t.view(len(x0), *(1 for _ in x0.shape[1:]))
    return x0 + t * (x1 - x0)
""",
    "velocity_target": """
def velocity_target(x0, x1):
    return -(x0 - x1)
""",
    "flow_matching_loss": """
def flow_matching_loss(velocity, x0, x1, t):
    s = t.view(len(x0), *(1 for _ in x0.shape[1:]))
    return F.mse_loss(velocity(x0 + s * (x1 - x0), t), x1 - x0)
""",
    "time_embedding": """
def time_embedding(t, *, dim, max_frequency=100.0):
    if dim % 2:
        raise ValueError(f"an even number of channels is needed, not {dim}")
    out = torch.empty(len(t), dim, dtype=t.dtype)
    for i in range(dim // 2):
        angle = max_frequency ** (2 * i / dim) * t
        out[:, 2 * i], out[:, 2 * i + 1] = torch.sin(angle), torch.cos(angle)
    return out
""",
    "euler_sample": """
def euler_sample(velocity, x0, *, steps):
    if steps < 1:
        raise ValueError(f"at least one step is needed, not {steps}")
    points = [x0]
    for k in range(steps):
        points.append(points[-1] + velocity(points[-1], torch.full(x0.shape[:1], k / steps, dtype=x0.dtype)) / steps)
    return torch.stack(points)
""",
}

OF_THE_NOISE = "Without a type, the times take PyTorch's default one, which is that of the noise here."

EQUIVALENT = {
    "euler_sample": {"t = torch.full((len(x),), number / steps)": OF_THE_NOISE},
    "heun_sample": {"t = torch.full((len(x),), number / steps)": OF_THE_NOISE},
    "time_embedding": {
        "frequencies = max_frequency ** (torch.arange(0, dim, 2) / dim)": "Whole numbers divided by a number take "
        "PyTorch's default type, which is that of the times here.",
    },
}

ASSIGNMENT = Assignment(
    slug="11-rectified-flow",
    notebook="rectified-flow",
    title="Rectified flow",
    exercises=[
        paths.interpolate,
        paths.velocity_target,
        paths.flow_matching_loss,
        paths.time_embedding,
        sampling.euler_sample,
        sampling.heun_sample,
        sampling.guided_velocity,
        sampling.reflow_pairs,
        sampling.straightness,
        paths.gaussian_velocity,
        training.train_flow,
    ],
    written=[Written(name="a_perfect_score", points=3)],
    stand_ins=STAND_INS,
    equivalent=EQUIVALENT,
)
