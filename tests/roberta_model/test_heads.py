"""Heads and the encoder under them: each comes from and goes into stock's folders on its own."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from small_models import draw_weights, our_model, random_ids, small_config, stock_model
from transformers import RobertaConfig, RobertaForSequenceClassification

from roberta_model.architectures import HEADS, load_model
from roberta_model.heads import (
    RobertaWithHead,
    SequenceClassificationHead,
    TokenClassificationHead,
    labels_of,
)
from roberta_model.huggingface import load_encoder, load_under_head, save_model
from roberta_model.masked_lm import MaskedLMHead, load_masked_lm
from roberta_model.training.start import draw_weights as draw_plainly

LABELS = ("bad", "so so", "good")
CONFIG = small_config()
IDS_BT, MASK_BT = random_ids((3, 24), CONFIG.vocab_size, [24, 9, 2])


def our_classifier(seed: int = 0) -> RobertaWithHead:
    model = SequenceClassificationHead(CONFIG, LABELS).on_encoder(CONFIG)
    draw_weights(model, seed)
    model.eval()
    return model


def stock_classifier(seed: int = 0) -> RobertaForSequenceClassification:
    names = dict(enumerate(LABELS))
    values = {**CONFIG.to_huggingface(), "id2label": names, "classifier_dropout": 0.3}
    model = RobertaForSequenceClassification(RobertaConfig(**values))
    draw_weights(model, seed)
    model.eval()
    return model


def assert_same_logits(ours: RobertaWithHead, stock: RobertaForSequenceClassification) -> None:
    with torch.inference_mode():
        expected_BC = stock(input_ids=IDS_BT, attention_mask=MASK_BT).logits
        found_BC = ours(IDS_BT, MASK_BT)
    assert expected_BC.abs().max() > 0.05, "logits near zero would agree whatever is computed"
    torch.testing.assert_close(found_BC, expected_BC, atol=1e-5, rtol=0)


def test_a_classifier_we_write_is_stocks(tmp_path: Path) -> None:
    """Same logits, padded or not; every weight is found, and the classes have their names."""
    ours = our_classifier()
    save_model(ours, tmp_path)
    loaded: Any = RobertaForSequenceClassification.from_pretrained(
        tmp_path, output_loading_info=True
    )
    stock, told = loaded
    assert not any(told[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert stock.config.id2label == dict(enumerate(LABELS))
    assert_same_logits(ours, stock.eval())
    assert_same_logits(load_model(tmp_path), stock)


def test_a_classifier_stock_writes_is_read(tmp_path: Path) -> None:
    """Weights, classes and dropout, and it goes back into the same file of weights."""
    stock = stock_classifier(seed=5)
    stock.save_pretrained(tmp_path / "stock")
    ours = load_model(tmp_path / "stock")
    assert_same_logits(ours, stock)
    head = ours.head_module
    assert isinstance(head, SequenceClassificationHead)
    assert (head.labels, head.dropout.p) == (LABELS, 0.3)
    save_model(ours, tmp_path / "back")
    assert_same_logits(load_model(tmp_path / "back"), stock)


def test_the_encoder_is_read_from_the_folder_of_any_roberta(tmp_path: Path) -> None:
    """Under a masked LM, under a classifier, and alone as stock writes it and as we do."""
    stock, classifier = stock_model(CONFIG), stock_classifier(seed=2)
    classifier.roberta.load_state_dict(stock.roberta.state_dict())
    for model, name in ((stock, "lm"), (classifier, "classes"), (stock.roberta, "alone")):
        model.save_pretrained(tmp_path / name)
    save_model(load_encoder(tmp_path / "lm"), tmp_path / "ours")
    with torch.inference_mode():
        expected = stock.roberta(input_ids=IDS_BT, attention_mask=MASK_BT).last_hidden_state
    for name in ("lm", "classes", "alone", "ours"):
        found = load_encoder(tmp_path / name)(IDS_BT, MASK_BT)
        wrong = (found - expected).abs()[MASK_BT.bool()].max()
        assert wrong < 1e-5, name
    assert transformers.AutoModel.from_pretrained(tmp_path / "ours").config.hidden_size == 32


def test_a_new_head_goes_on_a_pretrained_encoder(tmp_path: Path) -> None:
    """Fine-tuning begins with the encoder's weights and the head's own, drawn as stock does."""
    pretrained = our_model(CONFIG, seed=3)
    save_model(pretrained, tmp_path)
    head = SequenceClassificationHead(CONFIG, LABELS)
    draw_plainly(head, CONFIG.initializer_range, seed=1)
    assert not head.out.bias.any()
    assert head.dense.weight.std().item() == pytest.approx(0.02, rel=0.1)
    drawn = {name: value.clone() for name, value in head.state_dict().items()}
    model = load_under_head(tmp_path, head)
    assert model.head_module is head
    theirs = dict(pretrained.named_parameters())
    for name, value in model.named_parameters():
        kept = drawn.get(name.removeprefix("classifier."))
        assert torch.equal(value, theirs[name] if kept is None else kept), name
    assert model(IDS_BT, MASK_BT).shape == (3, len(LABELS))


@pytest.mark.parametrize("architecture", HEADS)
def test_the_table_of_architectures_is_stocks(architecture: str, tmp_path: Path) -> None:
    """Each name is a class of stock's, whose weights outside the encoder are the head's."""
    kind = HEADS[architecture]
    stock = getattr(transformers, architecture)(RobertaConfig(**CONFIG.to_huggingface()))
    head = kind.from_huggingface(CONFIG, json.loads(stock.config.to_json_string()))
    ours = {head.stock_name(name) for name, _ in head.named_parameters()}
    assert ours == {n for n, _ in stock.named_parameters() if not n.startswith("roberta.")}
    assert head.to_huggingface()["architectures"] == [architecture]


def test_another_head_than_the_folders_is_refused(tmp_path: Path) -> None:
    """A classifier has no masked LM's head, and an unknown architecture is no known one."""
    save_model(our_classifier(), tmp_path)
    with pytest.raises(ValueError, match=r"lack lm_head\..*no whole RobertaForMaskedLM"):
        load_masked_lm(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for named in (["RobertaForCausalLM"], None, []):
        (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": named}))
        with pytest.raises(ValueError, match="known are RobertaForMaskedLM, RobertaForSequence"):
            load_model(tmp_path)


def test_classes_that_are_not_numbered_are_refused(tmp_path: Path) -> None:
    """Which logit is which class must not be guessed."""
    save_model(our_classifier(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "id2label": {"1": "a", "2": "b"}}))
    with pytest.raises(ValueError, match=r"config\.json: id2label must number the classes"):
        load_model(tmp_path)


def test_classes_of_one_name_are_refused_where_scores_are_told_by_name() -> None:
    """Of two scores one would be lost, and the rest would not add up to 1; a tag is only a name."""
    values = {"id2label": {"0": "bad", "1": "good", "2": "bad"}}
    with pytest.raises(ValueError, match="id2label calls several classes 'bad'"):
        SequenceClassificationHead.from_huggingface(CONFIG, values)
    tagger = TokenClassificationHead.from_huggingface(CONFIG, values)
    assert tagger.labels == ("bad", "good", "bad")


@pytest.mark.parametrize("values", [{"num_labels": 1}, {"num_labels": 3}, {}])
def test_classes_without_names_are_as_many_as_stock_has(values: dict[str, Any]) -> None:
    """As `num_labels` says, else two."""
    names: dict[int, str] = vars(RobertaConfig(**values))["id2label"]
    assert labels_of(values) == tuple(names[number] for number in sorted(names))


@pytest.mark.parametrize("count", [0, 1_000_001])
def test_no_classes_and_far_too_many_are_refused(count: int) -> None:
    """Before a name is made for each."""
    with pytest.raises(ValueError, match=f"num_labels must be from 1 to .*, not {count:,}"):
        labels_of({"num_labels": count})


@pytest.mark.parametrize(
    ("names", "told", "problem"),
    [
        (["LABEL_0"], None, "regression"),
        (["LABEL_0"], "multi_label_classification", "multi_label_classification"),
        (["no", "yes"], None, "single_label_classification"),
    ],
)
def test_logits_without_a_problem_mean_what_they_do_in_stock(
    names: list[str], told: str | None, problem: str
) -> None:
    """One of a folder that names no problem, as cross-encoders do, is a value and no class."""
    values = {"id2label": dict(zip("01", names, strict=False)), "problem_type": told}
    assert SequenceClassificationHead.from_huggingface(CONFIG, values).problem == problem


def test_a_problem_that_is_not_known_is_refused() -> None:
    """Whoever reads such logits as classes would answer anything."""
    with pytest.raises(ValueError, match="problem_type must be one of .*, not 'ranking'"):
        SequenceClassificationHead.from_huggingface(CONFIG, {"problem_type": "ranking"})


def test_parameters_of_the_masked_lm_keep_their_names_and_order() -> None:
    """Checkpoints hold moments in this order: another one would give them to other weights."""
    names = [name for name, _ in our_model(CONFIG).named_parameters()]
    assert names[:2] == ["embeddings.token_type", "embeddings.word.weight"]
    assert names[5] == "layers.0.attention.qkv.weight"
    assert names[-5:] == [f"lm_head.{n}" for n in ("bias", *_dense_and_norm())]
    assert isinstance(our_model(CONFIG).head_module, MaskedLMHead)


def _dense_and_norm() -> list[str]:
    return [f"{part}.{kind}" for part in ("dense", "norm") for kind in ("weight", "bias")]
