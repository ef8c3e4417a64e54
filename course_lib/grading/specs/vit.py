"""Assignment 08 · Vision transformer and captioning."""

from __future__ import annotations

from course_lib.grading.spec import Assignment, Written
from course_lib.grading.specs import _vit_models as models
from course_lib.grading.specs import _vit_patches as patches
from course_lib.grading.specs import _vit_training as training

STAND_INS = {
    "patchify": """
def patchify(images, *, patch_size):
    return F.unfold(images, patch_size, stride=patch_size).transpose(1, 2)
""",
    "PatchEmbedding": """
class PatchEmbedding(nn.Module):
    def __init__(self, *, in_channels, patch_size, d_model):
        super().__init__()
        self.patch_size = patch_size
        self.projection = nn.Linear(in_channels * patch_size**2, d_model)

    def forward(self, images):
        return self.projection(F.unfold(images, self.patch_size, stride=self.patch_size).transpose(1, 2))
""",
    "VisionTransformer": """
class VisionTransformer(nn.Module):
    def __init__(self, *, image_size, patch_size, in_channels, num_classes, d_model, num_heads, num_layers,
                 dim_feedforward, pool="class"):
        super().__init__()
        self.pool, self.patch_size = pool, patch_size
        self.patch_embedding = nn.ModuleDict({"projection": nn.Linear(in_channels * patch_size**2, d_model)})
        length = image_size[0] // patch_size * (image_size[1] // patch_size) + (pool == "class")
        if pool == "class":
            self.class_token = nn.Parameter(0.3 * torch.randn(1, 1, d_model))
        self.positions = nn.Parameter(0.3 * torch.randn(1, length, d_model))
        self.blocks = nn.ModuleList(
            EncoderBlock(d_model=d_model, num_heads=num_heads, dim_feedforward=dim_feedforward)
            for _ in range(num_layers)
        )
        self.head = nn.Linear(d_model, num_classes)

    def encode(self, images):
        x = F.unfold(images, self.patch_size, stride=self.patch_size).transpose(1, 2)
        x = self.patch_embedding["projection"](x)
        if self.pool == "class":
            x = torch.cat([self.class_token.repeat(len(x), 1, 1), x], dim=1)
        x = x + self.positions
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, images):
        x = self.encode(images)
        return self.head(x[:, 0] if self.pool == "class" else x.mean(1))
""",
}

FIRST_WEIGHTS = "Weights are copied into the model before anything is asked of it, so how they begin is not graded."

EQUIVALENT = {
    "VisionTransformer": {
        f"self.{name} = nn.Parameter({begin})": FIRST_WEIGHTS
        for name, size in (("class_token", 1), ("positions", "length"))
        for begin in (
            f"0.3 / torch.randn(1, {size}, d_model)",
            f"torch.randn(1, {size}, d_model)",
            f"0.6 * torch.randn(1, {size}, d_model)",
        )
    },
    "attention_rollout": {
        "identity = torch.eye(weights.shape[-2])": "Each table of weights has as many rows as columns.",
    },
}

ASSIGNMENT = Assignment(
    slug="08-vit",
    notebook="vit",
    title="Vision transformer and captioning",
    exercises=[
        patches.patchify,
        patches.unpatchify,
        patches.patch_weight_from_conv,
        patches.patch_embedding,
        models.vision_transformer,
        models.attention_rollout,
        models.caption_decoder,
        training.train_classifier,
    ],
    written=[Written(name="what_a_neighbour_is", points=4)],
    stand_ins=STAND_INS,
    equivalent=EQUIVALENT,
)
