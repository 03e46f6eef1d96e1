"""Gender and speaker as auxiliary tasks: loss, unknown targets, missing targets."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.data.batch import Batch
from seenet.models.auxiliary.gender import Gender
from seenet.models.auxiliary.linear_task import LinearTask
from seenet.models.auxiliary.speaker import Speaker
from support.batches import batch_of

DIM, CLASSES, WEIGHT = 6, 4, 0.3
TRAIN = SimpleNamespace(speakers=torch.tensor([11, 4, -1, 7, 4, 11]), genders=torch.tensor([1, 0, -1, 1, 0, 0]))
SPEAKERS = [7, 4, -1, 11, 7]
GENDERS = [1, -1, 0, 0, 1]
CASES = [(Gender, [1, None, 0, 0, 1]), (Speaker, [1, 0, None, 2, 1])]  # target of each clip


def make_batch() -> Batch:
    return replace(batch_of([torch.ones(2)] * 5), speakers=torch.tensor(SPEAKERS), genders=torch.tensor(GENDERS))


def make_task(kind: type[LinearTask]) -> tuple[LinearTask, torch.Tensor]:
    torch.manual_seed(0)
    return kind(DIM, CLASSES, TRAIN, weight=WEIGHT), torch.randn(5, DIM, requires_grad=True)


@pytest.mark.parametrize(("kind", "targets"), CASES)
def test_linear_task_loss_and_gradients_equal_the_formula(kind: type[LinearTask], targets: list[int | None]):
    task, pooled = make_task(kind)
    main = pooled.square().mean()
    loss, auxiliary = task.loss(main, pooled, make_batch(), torch.Generator())
    logs = [torch.log_softmax(task.head.weight @ h + task.head.bias, 0) for h in pooled]
    each = [-log[target] for log, target in zip(logs, targets, strict=True) if target is not None]
    plain = sum(each) / len(each)
    torch.testing.assert_close(auxiliary, plain)
    torch.testing.assert_close(loss, main + WEIGHT * plain)
    inputs = [pooled, *task.parameters()]
    ours = torch.autograd.grad(loss, inputs, retain_graph=True)
    for mine, theirs in zip(ours, torch.autograd.grad(main + WEIGHT * plain, inputs), strict=True):
        torch.testing.assert_close(mine, theirs)
        assert theirs.abs().max() > 0


@pytest.mark.parametrize(("kind", "targets"), CASES)
def test_linear_task_head_learns_and_prediction_is_that_of_the_main_head(
    kind: type[LinearTask], targets: list[int | None]
):
    task, pooled = make_task(kind)
    optimizer = torch.optim.Adam(task.parameters(), lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        task.loss(torch.zeros(()), pooled.detach(), make_batch(), torch.Generator())[0].backward()
        optimizer.step()
    learned = task.head(pooled).argmax(1).tolist()
    assert all(target in (None, found) for target, found in zip(targets, learned, strict=True))
    probabilities = torch.randn(5, CLASSES).softmax(1)
    assert task.predict(probabilities, pooled) is probabilities


@pytest.mark.parametrize("kind", [Gender, Speaker])
def test_linear_task_loss_is_zero_when_all_targets_are_unknown(kind: type[LinearTask]):
    task, pooled = make_task(kind)
    unknown = torch.full((5,), -1)
    main = torch.tensor(1.5, requires_grad=True)
    loss, auxiliary = task.loss(
        main, pooled, replace(make_batch(), speakers=unknown, genders=unknown), torch.Generator()
    )
    assert auxiliary == 0
    assert loss == main
    assert not any(g.any() for g in torch.autograd.grad(loss, [pooled, *task.parameters()])), "zero, not NaN"


def test_speaker_target_is_unknown_for_a_speaker_outside_training():
    task, _ = make_task(Speaker)
    assert task.head.out_features == 3
    others = replace(make_batch(), speakers=torch.tensor([0, 5, 11, 12, 4]))
    assert task.targets(others).tolist() == [-1, -1, 2, -1, 0]


def test_speaker_numbers_are_not_in_the_state_dict():
    """The state dict holds the head alone and loads after a change of the speaker numbers."""
    task, pooled = make_task(Speaker)
    assert set(task.state_dict()) == {"head.weight", "head.bias"}
    moved = Speaker(DIM, CLASSES, SimpleNamespace(speakers=torch.where(TRAIN.speakers < 0, -1, TRAIN.speakers + 100)))
    moved.load_state_dict(task.state_dict())
    assert torch.equal(moved.head(pooled), task.head(pooled))
    assert moved.targets(replace(make_batch(), speakers=torch.tensor([111, 104, -1, 107, 11]))).tolist() == [
        2,
        0,
        -1,
        1,
        -1,
    ]


@pytest.mark.parametrize("choice", ["gender", "speaker"])
@pytest.mark.parametrize("values", [[-1, -1, -1], [0, -1, 0]])
def test_linear_task_raises_when_fewer_than_two_targets_are_known(config, choice: str, values: list[int]):
    train = SimpleNamespace(speakers=torch.tensor(values), genders=torch.tensor(values))
    node = config(f"aux_task={choice}").aux_task
    assert node.weight == 0.01
    count = len(set(values) - {-1})
    words = f"aux_task={choice} needs .* at least two {choice}s, .* names {count}; choose aux_task=see or aux_task=none"
    with pytest.raises(SeenetError, match=words):
        instantiate_checked(node, "aux_task", dim=DIM, num_classes=CLASSES, target_spec=train)


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_linear_task_raises_when_weight_is_invalid(weight: float):
    with pytest.raises(SeenetError, match="aux_task.weight=.*: expected 0 or more"):
        Gender(DIM, CLASSES, TRAIN, weight=weight)


def test_linear_task_loss_is_float32_under_autocast():
    task, pooled = make_task(Gender)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, auxiliary = task.loss(torch.zeros(()), pooled, make_batch(), torch.Generator())
        logits = task.head(pooled)
    assert auxiliary.dtype == torch.float32
    expected = F.cross_entropy(logits.float(), torch.tensor(GENDERS), ignore_index=-1)
    torch.testing.assert_close(auxiliary, expected)
