"""Train with Accelerate, or with Lightning: a network is a plain module, so that either takes it as any other.

python examples/training_loops.py accelerate    # or lightning; each is a package of its own
"""

import sys
from importlib.util import find_spec

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from scalegroup import Background, ScaleGroup, ScaleWindow
from scalegroup.models import gaussian_derivative_net

EPOCHS, RATE = 3, 0.01


def with_accelerate(net: nn.Module, batches: DataLoader) -> nn.Module:
    """Device, precision and processes are the accelerator's."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE)
    model, optimiser, batches = accelerator.prepare(net, optimiser, batches)
    model.train()
    for _ in range(EPOCHS):
        for images, labels in batches:
            optimiser.zero_grad()
            accelerator.backward(F.cross_entropy(model(images), labels))
            optimiser.step()
    return accelerator.unwrap_model(model)


def with_lightning(net: nn.Module, batches: DataLoader) -> nn.Module:
    """The loop is the trainer's; the module says what a step is."""
    import lightning  # pyright: ignore[reportMissingImports]

    class Classifier(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            images, labels = batch
            return F.cross_entropy(self.net(images), labels)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=RATE)

    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Classifier(), batches)
    return net


LOOPS = {"accelerate": with_accelerate, "lightning": with_lightning}


def main(name: str) -> None:
    if name not in LOOPS:
        sys.exit(f"got {name!r}; expected one of {', '.join(LOOPS)}")
    if find_spec(name) is None:
        sys.exit(f"{name} is not installed: pip install {name}")
    flat, labels = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
    images = flat.float().view(-1, 1, 8, 8) / 16
    torch.manual_seed(0)
    window = ScaleWindow(ScaleGroup(2**0.5), sigma0=0.5, channels=3)
    net = gaussian_derivative_net(widths=(8, 16), window=window, boundary=Background(0.0))
    net = LOOPS[name](net, DataLoader(TensorDataset(images[:600], labels[:600]), batch_size=50, shuffle=True)).eval()
    with torch.no_grad():
        right = (net(images[600:]).argmax(1) == labels[600:]).double().mean().item()
    print(f"{name}: reads {right:.1%} of {len(labels) - 600} digits that it has not seen")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "accelerate")
