"""``watch`` in Lightning's Trainer, which makes every step with a closure."""

import lightning
import numpy as np
import pytest
import torch
from torch import nn

from watched_runs import GROUPS, OPTIMIZERS, batches, network
from weightgas.monitoring import watch

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*`isinstance.treespec, LeafSpec.` is deprecated"),
]
STEPS = 20


class Module(lightning.LightningModule):
    """A network on the digits, watched when training begins by the trainer's optimizer or the module's wrapped one."""

    def __init__(self, kind: str, wrapped: bool, configurational: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network, self.kind, self.wrapped = network(), kind, wrapped
        self.configurational, self.gas = configurational, None

    def configure_optimizers(self):
        """The plain one."""
        return OPTIMIZERS[self.kind](self.network.parameters())

    def on_train_start(self) -> None:
        """Begin to watch."""
        optimizer = self.optimizers() if self.wrapped else self.trainer.optimizers[0]
        assert type(optimizer).__name__.startswith("Lightning") is self.wrapped
        self.gas = watch(self.network, optimizer, groups=GROUPS, every=2, **probe(self.configurational))

    def training_step(self, batch, _):
        """Cross-entropy."""
        loss = nn.functional.cross_entropy(self.network(batch[0]), batch[1])
        self.gas.loss(loss)
        return loss


def probe(configurational: bool) -> dict:
    """Options of ``watch`` for T_conf, on two batches of their own seed."""
    if not configurational:
        return {}
    with torch.random.fork_rng():
        torch.manual_seed(7)
        some = list(batches(2))
    loss_fn = lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1])  # noqa: E731
    return {"configurational": True, "batches": some, "loss_fn": loss_fn}


def data() -> list:
    torch.manual_seed(1)
    return list(batches(STEPS))


def by_lightning(folder, kind: str, wrapped: bool = False, clip: float | None = None, configurational: bool = False):
    """The module after training."""
    module, made = Module(kind, wrapped, configurational), data()
    trainer = lightning.Trainer(
        max_steps=STEPS, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, barebones=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder, gradient_clip_val=clip,
    )  # fmt: skip
    torch.manual_seed(2)
    trainer.fit(module, torch.utils.data.DataLoader(made, batch_size=None))
    return module


def by_hand(kind: str, clip: float | None = None, configurational: bool = False):
    """(model, gas) of the same run in a plain loop."""
    torch.manual_seed(0)
    model = network()
    optimizer = OPTIMIZERS[kind](model.parameters())
    made = data()
    torch.manual_seed(2)
    torch.utils.data.DataLoader(made, batch_size=None)
    gas = watch(model, optimizer, groups=GROUPS, every=2, **probe(configurational))
    iterator = iter(torch.utils.data.DataLoader(made, batch_size=None))
    for x, y in iterator:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        gas.loss(loss)
        optimizer.step()
    return model, gas


@pytest.mark.parametrize("options", [{}, {"clip": 0.5}, {"configurational": True}], ids=["plain", "clip", "conf"])
@pytest.mark.parametrize(("kind", "wrapped"), [("momentum", False), ("adamw", False), ("sgd", True)])
def test_a_trainer_is_watched_like_a_plain_loop(tmp_path, kind: str, wrapped: bool, options: dict) -> None:
    module, (model, expected) = by_lightning(tmp_path, kind, wrapped, **options), by_hand(kind, **options)
    gas = module.gas
    assert gas is not None and gas.steps == STEPS and len(gas.record) == STEPS // 2
    assert all(torch.equal(a, b) for a, b in zip(module.network.parameters(), model.parameters(), strict=True))
    for name, array in expected.record.arrays().items():
        np.testing.assert_array_equal(gas.record.arrays()[name], array)
    assert np.isfinite(gas.record.energy).all() and gas.notes() == expected.notes()
    assert not any("change between" in note for note in gas.notes())
