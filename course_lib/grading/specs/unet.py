"""Assignment 09 · Semantic segmentation and U-Net."""

from __future__ import annotations

from course_lib.grading.spec import Assignment, Written
from course_lib.grading.specs import _unet_network as network
from course_lib.grading.specs import _unet_scores as scores
from course_lib.grading.specs import _unet_training as training
from course_lib.grading.specs import _unet_upsampling as upsampling

STAND_INS = {
    "DoubleConv": """
class DoubleConv(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)

    def forward(self, x):
        for conv, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2)):
            x = F.relu(norm(conv(x)))
        return x
""",
    "UNet": """
class UNet(nn.Module):
    def __init__(self, *, in_channels, out_channels, channels, depth, skips=True):
        super().__init__()
        self.skips = skips
        widths = [channels << level for level in range(depth + 1)]
        self.down = nn.ModuleList(DoubleConv(i, o) for i, o in zip([in_channels] + widths, widths[:-1]))
        self.bottom = DoubleConv(widths[-2], widths[-1])
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in widths[-2::-1])
        self.merge = nn.ModuleList(DoubleConv(2 * w if skips else w, w) for w in widths[-2::-1])
        self.head = nn.Conv2d(channels, out_channels, 1)

    def forward(self, x):
        across = []
        for block in self.down:
            across.append(block(x))
            x = F.max_pool2d(across[-1], 2)
        x = self.bottom(x)
        for up, merge in zip(self.up, self.merge):
            x, skip = up(x), across.pop()
            x = merge(torch.cat([skip, x], 1) if self.skips else x)
        return self.head(x)
""",
    "pixel_cross_entropy": """
def pixel_cross_entropy(logits, target, *, ignore=-1):
    return F.cross_entropy(logits, target, ignore_index=ignore)
""",
}

EQUIVALENT = {
    "UNet": {
        "widths = [channels * 2 ** level for level in range(depth + 2)]": "A list that is one longer gives the same.",
    },
    "pixel_cross_entropy": {
        "labels = torch.where(labelled, target, 1)": "Any class will do where the pixel is not counted.",
        "chosen = log_probability.gather(1, labels[:, None])[:, -1]": "The axis has one place, the first and the last.",
    },
    "mean_iou": {
        "return sum(ious) / len(ious)": "A tensor of one number is taken for the number.",
    },
}

ASSIGNMENT = Assignment(
    slug="09-unet",
    notebook="unet",
    title="Semantic segmentation and U-Net",
    exercises=[
        upsampling.nearest_upsample,
        upsampling.max_unpool,
        upsampling.conv_transpose2d,
        upsampling.convolution_matrix,
        upsampling.receptive_field,
        network.double_conv,
        network.unet,
        scores.pixel_cross_entropy,
        scores.dice_score,
        scores.mean_iou,
        training.train_segmenter,
    ],
    written=[Written(name="what_the_skips_carry", points=3)],
    stand_ins=STAND_INS,
    equivalent=EQUIVALENT,
)
