"""``watch`` in Hugging Face's Trainer, from a callback, on a small BERT that is made here."""

import numpy as np
import pytest
import torch
import transformers

from weightgas.monitoring import watch

pytestmark = pytest.mark.integration

EMBEDDINGS = [f"bert.embeddings.{name}_embeddings.weight" for name in ("word", "position", "token_type")]
"""Their sum goes into a LayerNorm: together they are scale-invariant."""
STEPS = 24


class Sentences(torch.utils.data.Dataset):
    """Random tokens, and which half of the vocabulary the first is in."""

    def __init__(self) -> None:
        self.tokens = torch.randint(1, 40, (96, 7), generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, k: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.tokens[k], "labels": (self.tokens[k, 0] >= 20).long()}


class Watching(transformers.TrainerCallback):
    """As the documentation has it: ``watch`` when training begins."""

    gas = None

    def on_train_begin(self, args, state, control, model=None, optimizer=None, **_):
        """Watch the optimizer that the trainer passes, a wrapped one."""
        assert type(optimizer).__name__ == "AcceleratedOptimizer"
        self.optimizer = optimizer
        self.gas = watch(model, optimizer, groups={"embeddings": EMBEDDINGS}, every=2)


@pytest.fixture(autouse=True)
def no_package_named_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers takes tests/datasets, which pytest's path has, for the package of that name."""
    monkeypatch.setattr("transformers.trainer.is_datasets_available", lambda: False)


def train(folder, watched: bool):
    """(weights, callback) of a training by the trainer."""
    transformers.set_seed(0)
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=8, num_labels=2,
    )  # fmt: skip
    model = transformers.BertForSequenceClassification(config)
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), max_steps=STEPS, per_device_train_batch_size=8, learning_rate=1e-2, weight_decay=0.1,
        use_cpu=True, report_to="none", save_strategy="no", logging_strategy="no", disable_tqdm=True, seed=0,
        lr_scheduler_type="constant",
    )  # fmt: skip
    callback = Watching()
    trainer = transformers.Trainer(
        model=model, args=arguments, train_dataset=Sentences(), callbacks=[callback] if watched else None
    )
    trainer.train()
    return [p.detach() for p in model.parameters()], callback


def test_the_trainer_is_watched_and_its_run_is_the_same(tmp_path) -> None:
    (weights, callback), (plain, _) = train(tmp_path, True), train(tmp_path, False)
    gas = callback.gas
    assert gas is not None and gas.attached and gas.steps == STEPS and len(gas.record) == STEPS // 2
    assert all(torch.equal(a, b) for a, b in zip(weights, plain, strict=True))
    assert not any("change between" in note or "scale-invariant" in note for note in gas.notes())
    (state,) = gas.groups()
    assert state.rule == "AdamW, betas 0.9, 0.999; decoupled decay" and np.abs(gas.record["tangency"]).max() < 1e-4
    assert (np.abs(gas.record["closure"]) < 1e-9 * gas.record["radius"] ** 2).all()
    norm = np.sqrt(sum(float((p.double() ** 2).sum()) for p in weights[:3]))
    assert gas.record["radius"][-1, 0] == pytest.approx(norm, rel=0.05)
    assert np.allclose(gas.record["decay"], -2e-3 * gas.record["radius"] ** 2, rtol=1e-3)
