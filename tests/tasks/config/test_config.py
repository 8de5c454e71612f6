"""The config: what is refused, with which words, and what is identity."""

import os
from pathlib import Path

import pytest
import yaml

from tasks.config import Config
from tasks.config.corpus import DocstringsSource, FilesSource, HubSource
from tasks.config.load import PRESETS, load_config, set_value
from tasks.config.places import absolute
from tasks.engine.identity import canonical, digest_of
from tasks.errors import UserError
from tasks.sources.hub import local_folder


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "my.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("preset", sorted(PRESETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_is_valid(preset: Path) -> None:
    """Presets load as they are, by name."""
    assert load_config(preset.stem).corpus


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("corpus: [{type: docs}]\npretrian: {}", "unknown key `pretrian`, did you mean `pretrain`"),
        ("corpus: [{type: docs}]\npretrain: {stpes: 3}", "did you mean `steps`"),
        ("corpus: [{type: docs}]\npretrain: {masking: {rat: 1}}", "`pretrain.masking.rat`"),
        ("corpus: [{type: files, path: [a]}]", "did you mean `paths`"),
        ("corpus: [{type: fils, paths: [a]}]", "corpus.0"),
        ("name: x", "`corpus` is missing"),
        ("corpus: [{type: docs}]\npretrain: {steps: 0}", "`pretrain.steps`.*greater than or equal"),
        ("corpus: [{type: docs}]\npretrain: {steps: 1, epochs: 2}", "steps and epochs are given"),
        ("corpus: [{type: docs}]\nmodel: {preset: huge}", "model.preset"),
        ("- a\n- b", "a config is a mapping"),
        ("corpus: [", "line 1.*not valid YAML|not valid YAML"),
    ],
)
def test_a_mistake_is_named_with_the_nearest_right_key(
    tmp_path: Path, text: str, words: str
) -> None:
    """One paragraph: the file, the dotted path, what is wrong."""
    with pytest.raises(UserError, match=words) as caught:
        load_config(write(tmp_path, text))
    assert "my.yaml" in str(caught.value)


def test_an_unknown_preset_is_met_with_the_nearest_one() -> None:
    """A typo in a preset's name costs one look."""
    with pytest.raises(UserError, match="Did you mean 'quickstart'"):
        load_config("quickstrat")


def test_a_model_to_continue_from_brings_its_own_first_weights(tmp_path: Path) -> None:
    """A start beside `from` would be silently ignored; by default there is none to refuse."""
    base = "corpus: [{type: docs}]\nmodel: {from: somewhere"
    path = tmp_path / "config.yaml"
    path.write_text(base + "}")
    config = load_config(str(path))
    assert config.model.source_folder == str(tmp_path / "somewhere")
    assert Config.model_validate(config.model_dump(mode="json", by_alias=True)) == config
    for given in ("start: plain", "embeddings: drawn", "initializer_range: 0.05"):
        path.write_text(f"{base}, {given}}}")
        with pytest.raises(UserError, match=f"leave out {given.split(':')[0]}"):
            load_config(str(path))


def test_a_default_start_that_is_written_down_changes_no_key() -> None:
    """Else whoever writes `start: local` into a config trains everything again."""
    told = [f"model.{v}" for v in ("start=local", "embeddings=svd", "initializer_range=0.02")]
    base = load_config("babylm_2024").model
    assert digest_of(load_config("babylm_2024", told).model) == digest_of(base)
    plain = load_config("babylm_2024", ["model.start=plain"]).model
    assert plain.first_weights.embeddings == "drawn"
    assert digest_of(plain) != digest_of(base)


def test_another_length_of_the_training_replaces_the_files_own() -> None:
    """The quickstart trains for minutes; whoever asks for steps wants steps, not an error."""
    recipe = load_config("quickstart", ["pretrain.steps=500"]).pretrain
    assert (recipe.steps, recipe.minutes, recipe.batch_rows) == (500, None, 64)
    assert load_config("quickstart", ["pretrain.seed=3"]).pretrain.minutes is not None
    with pytest.raises(UserError, match="steps and epochs are given"):
        load_config("quickstart", ["pretrain.steps=500", "pretrain.epochs=1"])


def test_overrides_reach_nested_fields_and_lists() -> None:
    """--set a.b=c, with YAML values and list positions."""
    overrides = ["pretrain.steps=7", "corpus.0.max_bytes=1000", "pretrain.masking.whole_word=true"]
    config = load_config("quickstart", overrides)
    assert config.pretrain.steps == 7
    (docstrings,) = config.corpus
    assert isinstance(docstrings, DocstringsSource)
    assert docstrings.max_bytes == 1000
    assert config.pretrain.masking.whole_word is True


@pytest.mark.parametrize("override", ["steps", "=3", "corpus.7.name=x", "name.first=x"])
def test_an_override_that_leads_nowhere_is_refused(override: str) -> None:
    """A --set that names nothing is a mistake, not a new field."""
    with pytest.raises(UserError, match="--set"):
        set_value({"corpus": [{}], "name": "x"}, override)


def test_execution_fields_do_not_identify() -> None:
    """Store, workers and paths leave the identity alone; a recipe field changes it."""
    base = Config.model_validate({"corpus": [{"type": "docs"}]})
    elsewhere = Config.model_validate(
        {"corpus": [{"type": "docs"}], "store": "/x", "engine": {"workers": 7}}
    )
    other = Config.model_validate({"corpus": [{"type": "docs"}], "pretrain": {"seed": 1}})
    assert digest_of(base) == digest_of(elsewhere) != digest_of(other)


@pytest.mark.parametrize("value", [Path("x"), {1, 2}, float("nan"), b"x", {1: 2}, object()])
def test_a_value_without_a_stable_form_raises(value: object) -> None:
    """An identity that hashes badly would serve the wrong artifact."""
    with pytest.raises(TypeError):
        canonical({"field": value})


def test_presets_hold_only_differences() -> None:
    """A preset repeats no default but the shape of the model: it would drift."""
    for preset in PRESETS.glob("*.yaml"):
        values = yaml.safe_load(preset.read_text())
        config = load_config(preset.stem)
        for section in ("clean", "tokenizer", "pack", "pretrain"):
            defaults = type(getattr(config, section))()
            for field, value in (values.get(section) or {}).items():
                if field in type(defaults).model_fields:
                    assert value != getattr(defaults, field), f"{preset.stem}: {section}.{field}"


def test_paths_of_a_config_file_are_those_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the command is run; those of --set and the default store are the shell's."""
    (tmp_path / "team [1]").mkdir()
    path = tmp_path / "team [1]" / "config.yaml"
    path.write_text(
        "corpus: [{type: files, paths: [text/*.txt, /data/a.txt, '~/b.txt']}]\n"
        "evaluate: {blimp: {data: ../pairs}}\n"
    )
    monkeypatch.chdir(tmp_path)
    found = load_config("team [1]/config.yaml", ["tokenizer.from=tokens"])
    (source,) = found.corpus
    assert isinstance(source, FilesSource)
    assert source.paths == ("team [[]1]/text/*.txt", "/data/a.txt", "~/b.txt")
    assert found.evaluate.blimp is not None
    assert found.evaluate.blimp.data == "team [1]/../pairs"
    assert found.tokenizer.source_folder == "tokens"
    assert found.store == "./artifacts"
    assert load_config("team [1]/config.yaml", ["store=s"]).store == "s"
    path.write_text(path.read_text() + "store: here\n")
    assert load_config("team [1]/config.yaml").store == "team [1]/here"
    monkeypatch.chdir(path.parent)
    assert load_config("config.yaml").store == "here"


def test_a_dataset_is_a_folder_where_there_is_one_beside_the_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it is a name on the hub: a file of that name, or a folder elsewhere, change nothing."""
    (tmp_path / "team" / "letters").mkdir(parents=True)
    (tmp_path / "team" / "imdb").write_text("a file")
    (tmp_path / "org" / "reports").mkdir(parents=True)
    path = tmp_path / "team" / "config.yaml"
    names = ("letters", "org/reports", "imdb", "./letters")
    path.write_text(yaml.safe_dump({"corpus": [{"type": "hub", "dataset": n} for n in names]}))
    monkeypatch.chdir(tmp_path)

    def datasets(*overrides: str) -> list[str]:
        found = load_config("team/config.yaml", overrides).corpus
        return [source.dataset for source in found if isinstance(source, HubSource)]

    assert datasets() == ["./team/letters", "org/reports", "imdb", "./team/./letters"]
    assert datasets("corpus.1.dataset=org/reports")[1] == "./org/reports"
    found = [local_folder(source) for source in load_config("team/config.yaml").corpus]  # type: ignore[arg-type]
    assert [folder is not None for folder in found] == [True, False, False, True]


def test_paths_mean_the_same_to_run_and_to_deploy_behind_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`..` of a linked folder is that of the folder, not of the link, for every path alike."""
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "l").symlink_to("../real/deep")
    text = "corpus: [{type: files, paths: [../data/*.txt]}]\nstore: ../st\n"
    (tmp_path / "real" / "deep" / "c.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    found = load_config("links/l/c.yaml")
    for config in (found, absolute(found, tmp_path)):
        (source,) = config.corpus
        assert isinstance(source, FilesSource)
        (pattern,) = source.paths
        assert os.path.normpath(pattern) == str(tmp_path / "real" / "data" / "*.txt")
        assert os.path.abspath(config.store) == str(tmp_path / "real" / "st")


def test_what_yaml_shares_is_overridden_once(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "corpus: [{type: files, paths: &p [/a.txt]}, {type: files, name: b, paths: *p}]\n"
    )
    found = load_config(str(path), ["corpus.0.paths.0=/b.txt"])
    assert [source.paths for source in found.corpus] == [("/b.txt",), ("/a.txt",)]  # type: ignore[union-attr]
    for wrong in ("corpus.00.paths.0=/b", "corpus.\u0660.paths.0=/b", "corpus.\u00b2=3"):
        with pytest.raises(UserError, match="does not name anything"):
            load_config(str(path), [wrong])


def test_a_preset_is_one_however_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PRESETS.parents[1])
    by_name, by_path = load_config("base"), load_config("deployments/presets/base.yaml")
    assert by_name == by_path


def test_a_home_that_is_nobodys_is_a_name(tmp_path: Path) -> None:
    """No traceback of the library that looks for it."""
    with pytest.raises(UserError, match="no such config file"):
        load_config("~nobody-of-that-name/c.yaml")


def test_a_folder_is_no_config(tmp_path: Path) -> None:
    """Whoever names the folder with his text learns where that belongs."""
    with pytest.raises(UserError, match=r"this is a folder.*`paths`"):
        load_config(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("corpus: [{type: file, paths: [a]}]", "no source type 'file', did you mean `files`?"),
        (
            "corpus: [{type: docs}]\npretrain: {learning_rate: 1.0}",
            "`pretrain.learning_rate`, did you mean `pretrain.optimizer.learning_rate`?",
        ),
        ("corpus: [{type: docs}]\npretrain: {stepz: 1}", "did you mean `steps`?"),
    ],
)
def test_what_was_meant_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as told:
        load_config(str(path))
    assert said in str(told.value)


@pytest.mark.parametrize(
    "text",
    ["[" * 5000, "a: 2026-13-01", "a: !!int ''", "a: !!bool perhaps", "a: !!timestamp soon"],
)
def test_yaml_that_stands_for_nothing_is_refused(text: str, tmp_path: Path) -> None:
    """Whatever its library makes of it; in a file and in an override."""
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(UserError, match=r"odd\.yaml.*this is not valid YAML"):
        load_config(str(tmp_path / "odd.yaml"))
    with pytest.raises(UserError, match="the value is not valid YAML"):
        load_config("quickstart", [f"name={text.removeprefix('a: ')}"])
