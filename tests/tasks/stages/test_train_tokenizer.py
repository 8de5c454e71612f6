"""The tokenizer: RoBERTa's in every detail, the same on every machine, blocked when unfit."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_corpus import real_texts, run_small, texts_of, write_texts
from tokenizers import Tokenizer

from tasks.engine.records import Artifact
from tasks.errors import StageError, UserError
from tasks.stages.train_tokenizer import sample_texts
from tasks.tokenizing.bpe import load_encoder, save_tokenizer, train_bpe
from tasks.tokenizing.check import check_tokenizer

BYTES = '"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}'
SPECIAL = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
SENTENCES = [f"The {word} number {n} is told again." for n in range(30) for word in ("old", "new")]


@pytest.fixture(scope="module")
def scripts(shared_data: Path) -> list[str]:
    """Ten thousand lines of real text in a dozen languages, child speech, wire reports."""
    languages = real_texts(shared_data, "multilingual/xquad_paragraphs.jsonl.gz")
    chinese = real_texts(shared_data, "multilingual/zh_wiki_cmrc_trial.jsonl.gz")
    wire = real_texts(shared_data, "reuters/reuters.jsonl.gz")
    speech = real_texts(shared_data, "babylm_2024/switchboard.train.gz")
    blns = (shared_data / "corpus/unicode/blns.txt").read_text(encoding="utf-8").splitlines()
    lines = [
        *itertools.chain(languages, itertools.islice(chinese, 200), blns),
        *itertools.islice(speech, 4000),
        *itertools.islice((line for text in wire for line in text.split("\n")), 3500),
    ]
    assert len(lines) > 10_000
    return lines


@pytest.fixture(scope="module")
def folder(scripts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of 3,000 tokens learnt from every tenth of those lines."""
    place = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(train_bpe(scripts[::10], 3000, 2, 32), place)
    return place


def tokenizer_of(store: Path, texts: Path, **options: Any) -> Artifact:
    return run_small(store, texts, "tokenizer", tokenizer=options)["tokenizer"].artifact


def test_ids_are_robertas(folder: Path) -> None:
    """The four special tokens come first, `<mask>` last, all bytes between; nothing is twice."""
    vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    assert {token: vocabulary[token] for token in SPECIAL} == SPECIAL
    assert sorted(vocabulary.values()) == list(range(3000))
    assert vocabulary["<mask>"] == 2999
    assert sorted(vocabulary.values())[4:260] == sorted(vocabulary[t] for t in byte_letters())


def byte_letters() -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    return list(ByteLevel.alphabet())


@pytest.mark.parametrize("name", ["RobertaTokenizerFast", "AutoTokenizer"])
def test_stock_reads_the_folder_and_gives_the_same_ids(
    name: str, folder: Path, scripts: list[str]
) -> None:
    """Ten thousand lines in a dozen scripts, and masks: the stock classes and ours agree."""
    import transformers

    stock = getattr(transformers, name).from_pretrained(folder)
    ours = Tokenizer.from_file(str(folder / "tokenizer.json"))
    lines = [
        *scripts[:: 1 if name == "AutoTokenizer" else 5],
        "A <mask> here.",
        "A<mask>here",
        "<s>spelled</s> out  <mask>",
        "",
        " ",
    ]

    expected = stock(lines)["input_ids"]
    assert [encoding.ids for encoding in ours.encode_batch(lines)] == expected
    assert stock.mask_token_id == 2999
    assert [stock.bos_token_id, stock.pad_token_id, stock.eos_token_id] == [0, 1, 2]
    assert stock.model_max_length == 512


def test_the_space_before_a_mask_belongs_to_it(folder: Path) -> None:
    """`is <mask>` and `is<mask>` are the same to the model, as in stock RoBERTa."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.encode("it is <mask>.").ids == tokenizer.encode("it is<mask>.").ids
    assert tokenizer.encode("it is <mask>.").ids.count(2999) == 1


@given(
    st.text(max_size=40), st.sampled_from(["<mask>", "</s>", "<s>", "<pad>", "<unk>", " <mask>"])
)
@settings(max_examples=80, deadline=None)
def test_corpus_text_cannot_spell_a_special_token(folder: Path, text: str, spelled: str) -> None:
    """A page that says `</s>` gives ordinary tokens when it is packed, and comes back whole."""
    encoder = load_encoder(folder / "tokenizer.json")
    page = f"{text}{spelled}{text}"
    ids = encoder.encode(page, add_special_tokens=False).ids
    assert not {0, 1, 2, 3, 2999} & set(ids)
    assert encoder.decode(ids, skip_special_tokens=False) == page


def test_a_user_can_spell_a_special_token(folder: Path) -> None:
    """In inference it is the other way round: `<mask>` is the mask."""
    from tasks.inference.model_folder import load_tokenizer

    ids = load_tokenizer(folder).encode("a </s> and <mask>").ids
    assert ids.count(2) == 2
    assert 2999 in ids


def test_training_text_full_of_special_tokens_teaches_none(tmp_path: Path) -> None:
    """However often a corpus spells one, no merge ends in a special token's id."""
    texts = ["<s> <mask> </s><mask><mask> <pad> <unk>" for _ in range(300)]
    tokenizer = train_bpe(texts, 400, 2, 32)
    save_tokenizer(tokenizer, tmp_path)
    encoder = load_encoder(tmp_path / "tokenizer.json")
    ids = encoder.encode(texts[0], add_special_tokens=False).ids
    assert not {0, 1, 2, 3, tokenizer.get_vocab_size() - 1} & set(ids)


def test_naughty_strings_come_back_as_they_were(folder: Path, shared_data: Path) -> None:
    """Byte-level means any text can be told, also what was never seen in training."""
    text = (shared_data / "corpus/unicode/blns.txt").read_text(encoding="utf-8")
    encoder = load_encoder(folder / "tokenizer.json")
    for line in [text, *text.split("\n"), "\x00\x01 \U0010ffff \u0378"]:
        ids = encoder.encode(line, add_special_tokens=False).ids
        assert encoder.decode(ids, skip_special_tokens=False) == line


TRAIN = """
import hashlib, json, sys
from pathlib import Path
from tasks.tokenizing.bpe import save_tokenizer, train_bpe
texts = json.loads(Path(sys.argv[1]).read_text())
save_tokenizer(train_bpe(texts, 1500, 2, 32), Path(sys.argv[2]))
"""


def test_training_is_the_same_with_any_number_of_threads(
    tmp_path: Path, scripts: list[str]
) -> None:
    """Byte for byte, in another process, with one thread, two and four."""
    texts = tmp_path / "texts.json"
    texts.write_text(json.dumps(scripts[::8]))
    root = str(Path(__file__).parents[3])
    for threads in ("1", "2", "4"):
        environment = {**os.environ, "PYTHONPATH": root, "RAYON_NUM_THREADS": threads}
        environment["TOKENIZERS_PARALLELISM"] = "true"
        command = [sys.executable, "-c", TRAIN, str(texts), str(tmp_path / threads)]
        subprocess.run(command, env=environment, check=True)
    made = [
        {path.name: path.read_bytes() for path in (tmp_path / threads).iterdir()}
        for threads in ("1", "2", "4")
    ]
    assert made[0] == made[1] == made[2]
    assert len(made[0]) == 4


def test_a_tokenizer_that_cuts_words_to_pieces_is_blocked(tmp_path: Path) -> None:
    """Before anything is packed, with the figure and what to change."""
    texts = write_texts(tmp_path / "in", SENTENCES)
    check = {"check": {"max_tokens_per_word": 2.0}}
    with pytest.raises(
        UserError, match=r"into \d\.\d\d tokens .*max_tokens_per_word \(2\)"
    ) as caught:
        tokenizer_of(tmp_path / "store", texts, vocab_size=262, **check)
    assert "vocab_size" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "store").glob("3-tokenizer/*/manifest.json"))
    fit = tokenizer_of(tmp_path / "store", texts, vocab_size=500, **check)
    assert 1 <= fit.summary["tokens_per_word"] <= 2


def test_a_tokenizer_that_loses_text_is_a_defect() -> None:
    """The check that stands between an overflow in training and a wasted training."""
    from tokenizers import decoders, models, pre_tokenizers

    lossy = Tokenizer(models.BPE({"<unk>": 0, "a": 1}, [], unk_token="<unk>"))
    lossy.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    lossy.decoder = decoders.ByteLevel()
    with pytest.raises(StageError, match="does not give back this text as it was: 'ab'"):
        check_tokenizer(lossy, ["a", "ab"], None)


def test_fertility_is_measured_on_text_with_spaces_alone(folder: Path) -> None:
    """Chinese has no words between spaces; it must not pass for very long ones."""
    encoder = load_encoder(folder / "tokenizer.json")
    english, chinese = "the house is old and the house is red", "北京是中华人民共和国的首都"
    alone = check_tokenizer(encoder, [english], None).tokens_per_word
    mixed = check_tokenizer(encoder, [english, chinese], None)
    assert alone == mixed.tokens_per_word
    assert mixed.documents == 2
    assert check_tokenizer(encoder, [chinese], 1.1).tokens_per_word is None


def test_a_folder_of_ones_own_is_taken_over_to_the_id(tmp_path: Path, folder: Path) -> None:
    """`from:` trains nothing; the ids are those of the folder, and its bytes are the identity."""
    texts = write_texts(tmp_path / "in", SENTENCES)
    other = tmp_path / "elsewhere"
    shutil.copytree(folder, other)
    taken = tokenizer_of(tmp_path / "store", texts, **{"from": str(folder)})
    names = ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json")
    for name in names:
        made = taken.file(f"tokenizer/{name}").local()
        assert made.read_bytes() == (folder / name).read_bytes()
    outcome = run_small(tmp_path / "store", texts, "tokenizer", tokenizer={"from": str(other)})
    assert outcome["tokenizer"].state == "cached"


def test_an_older_tokenizer_file_is_taken_over(tmp_path: Path, folder: Path) -> None:
    """Merges as strings and `<mask>` among the added tokens only, as older files have it."""
    values = json.loads((folder / "tokenizer.json").read_text())
    values["model"]["merges"] = [" ".join(merge) for merge in values["model"]["merges"]]
    values["model"]["vocab"].pop("<mask>")
    (tmp_path / "old").mkdir()
    (tmp_path / "old/tokenizer.json").write_text(json.dumps(values))
    texts = write_texts(tmp_path / "in", SENTENCES)
    taken = tokenizer_of(tmp_path / "store", texts, **{"from": str(tmp_path / "old")})
    path = taken.file("tokenizer/tokenizer.json").local()
    assert path.read_bytes() == (folder / "tokenizer.json").read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no .*tokenizer.json"),
        ("not json", "not a byte-level BPE"),
        ('{"model": {"type": "WordPiece", "vocab": {"a": 0}}}', "not a byte-level BPE"),
        (
            f'{{"model": {{"vocab": {{"<s>": 1}}, "merges": []}}, {BYTES}}}',
            "special tokens the ids",
        ),
        (f'{{"model": {{"vocab": {{}}, "merges": []}}, {BYTES}, "normalizer": 1}}', "normalizer"),
        ('{"model": {"vocab": {}, "merges": []}}', "pre-tokenizer"),
        ('{"model": {"vocab": {}, "merges": []}, "pre_tokenizer": [1]}', "pre-tokenizer"),
        (
            '{"model": {"vocab": {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4000000000, '
            f'"<mask>": 5}}, "merges": []}}, {BYTES}}}',
            "does not number its 6 tokens",
        ),
        (
            '{"model": {"vocab": {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4, '
            f'"<mask>": 5}}, "merges": ["a zz"]}}, {BYTES}}}',
            "do not fit its vocabulary",
        ),
    ],
)
def test_a_folder_that_is_no_roberta_tokenizer_is_refused(
    content: str | None, message: str, tmp_path: Path
) -> None:
    """In one paragraph that names the file."""
    texts = write_texts(tmp_path / "in", SENTENCES)
    (tmp_path / "from").mkdir()
    if content is not None:
        (tmp_path / "from/tokenizer.json").write_text(content)
    with pytest.raises(UserError, match=message):
        tokenizer_of(tmp_path / "store", texts, **{"from": str(tmp_path / "from")})


def test_a_small_corpus_gives_a_small_vocabulary(tmp_path: Path) -> None:
    """Fewer frequent pairs than asked for: all ids are in use, `<mask>` is still the last."""
    texts = write_texts(tmp_path / "in", ["a document of a few words only", *SENTENCES[:2]])
    artifact = tokenizer_of(tmp_path / "store", texts, vocab_size=30_000)
    size = artifact.summary["vocab_size"]
    vocabulary = json.loads(artifact.file("tokenizer/vocab.json").local().read_text())
    assert 261 <= size < 400
    assert sorted(vocabulary.values()) == list(range(size))
    assert vocabulary["<mask>"] == size - 1


def test_a_sample_follows_from_ids_and_is_about_as_large_as_asked(tmp_path: Path) -> None:
    """The same documents every time; all of them when the corpus is small enough."""
    folder = write_texts(tmp_path / "in", [f"document number {n:05}" for n in range(2000)])
    loose = {"dedup": {"near": None}}
    artifact = run_small(tmp_path / "store", folder, "clean", clean=loose)["clean"].artifact
    files = artifact.files("train/")
    quarter = list(sample_texts(files, 0.25))
    assert abs(len(quarter) - 500) < 80
    assert quarter == list(sample_texts(files, 0.25))
    assert set(quarter) < set(sample_texts(files, 0.5))
    assert list(sample_texts(files, 1.0)) == texts_of(artifact, "train/")
    (nearest,) = sample_texts(files, 0.0)
    assert nearest in set(sample_texts(files, 0.01))


def test_text_without_spaces_has_a_headline_too(tmp_path: Path) -> None:
    """Chinese has no words to count tokens for; the stage says bytes a token instead."""
    lines = [f"第{n}章讲述了一个很长的故事，关于海洋和山脉以及许多人。" for n in range(40)]
    artifact = tokenizer_of(tmp_path / "store", write_texts(tmp_path / "texts", lines))
    assert artifact.summary["tokens_per_word"] is None
    assert artifact.manifest["headline"].endswith(" bytes a token")


def test_a_sample_is_never_empty(tmp_path: Path) -> None:
    """One book, longer than the sample: the merges would be learnt from nothing, and unchecked."""
    book = " ".join(f"Sentence {n} of the book is {n * 7} words from its end." for n in range(500))
    folder = write_texts(tmp_path / "texts", [book])
    small = {"sample_bytes": 1000, "check": {"sample_bytes": 1000, "max_tokens_per_word": None}}
    artifact = tokenizer_of(tmp_path / "store", folder, vocab_size=400, **small)
    assert artifact.summary["check"]["documents"] == 1
    assert artifact.summary["vocab_size"] == 400
