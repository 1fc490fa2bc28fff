"""Train on a folder of images, one folder in it for each class: `python examples/train_on_your_images.py FOLDER`.

It trains at one size and reads held-out images at half and twice that size as well; needs torchvision.
"""

import argparse
from pathlib import Path

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, random_split
from torchvision.datasets import ImageFolder
from torchvision.transforms import CenterCrop, Compose, Resize, ToTensor

from scalegroup import ScaleGroup, ScaleWindow, plan_window
from scalegroup.models import GaussianDerivativeNet, gaussian_derivative_net, save_trained


@torch.no_grad()
def accuracy(net: GaussianDerivativeNet, batches: DataLoader, factor: float) -> float:
    """On images scaled by a factor."""
    right = total = 0
    for images, labels in batches:
        scaled = F.interpolate(images, scale_factor=factor, mode="bicubic", antialias=factor < 1)
        right += int((net(scaled).argmax(1) == labels).sum())
        total += len(labels)
    return right / total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=65, help="pixels across, in training")
    parser.add_argument("--object-size", type=float, help="pixels across of the objects in these; plans the channels")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--output", type=Path, default=Path("trained.safetensors"))
    options = parser.parse_args()

    images = ImageFolder(options.folder, Compose([Resize(options.size), CenterCrop(options.size), ToTensor()]))
    torch.manual_seed(0)
    train, held_out = (DataLoader(part, batch_size=16, shuffle=True) for part in random_split(images, [0.8, 0.2]))

    # channels for objects of half to twice the size, with one to spare on each side
    window = training_window = ScaleWindow(ScaleGroup(2**0.5), sigma0=1.0, channels=7, first=-2)
    if options.object_size is not None:
        sizes = (options.object_size / 2, options.object_size * 2)
        plan = plan_window(image_size=2 * options.size, object_sizes=sizes, trained_size=options.object_size)
        window, training_window = plan.window, plan.training_window
        print(plan)
    net = gaussian_derivative_net(window=window, in_channels=3, num_classes=len(images.classes))
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.epochs * len(train), eta_min=5e-5)
    for epoch in range(options.epochs):
        net.train()
        for pictures, labels in train:
            loss = F.cross_entropy(net(pictures, window=training_window), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        net.eval()
        print(f"epoch {epoch + 1}: held-out accuracy {accuracy(net, held_out, 1.0):.1%}")
    for factor in (0.5, 2.0):
        print(f"at {factor:g} times the size: {accuracy(net, held_out, factor):.1%}")
    save_trained(net, options.output, {"classes": images.classes, "size": options.size})
    print(f"wrote {options.output}: gaussian_derivative_net(weights={str(options.output)!r})")


if __name__ == "__main__":
    main()
