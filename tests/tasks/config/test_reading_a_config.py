"""Reading a config: which file it is, what an override reaches, how a mistake is told."""

import os
from pathlib import Path
from typing import Any

import pytest

from tasks.config.corpus import FilesSource
from tasks.config.load import find_file, load_config, set_value, validate
from tasks.config.suite import load_suite
from tasks.errors import UserError

DOCS: dict[str, Any] = {"corpus": [{"type": "docs"}]}


def told(values: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        validate({**DOCS, **values}, "my.yaml")
    return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "first.yaml").write_text("name: kept")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "kept"


def test_a_file_counts_before_one_of_the_package(folder: Path) -> None:
    assert find_file("first", folder, "config", "preset") == folder / "first.yaml"
    Path("first").write_text("name: here")
    assert find_file("first", folder, "config", "preset") == Path("first")


def test_one_of_the_package_counts_before_a_folder_of_that_name(folder: Path) -> None:
    Path("first").mkdir()
    assert find_file("first", folder, "config", "preset") == folder / "first.yaml"
    Path("second").mkdir()
    with pytest.raises(UserError, match=r"^second: this is a folder, and a config is a file"):
        find_file("second", folder, "config", "preset")


def test_a_file_at_home_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert find_file("~/first.yaml", Path("none"), "config", "preset") == folder / "first.yaml"


def test_what_is_not_there_is_met_with_all_there_is(folder: Path) -> None:
    (folder / "another.yaml").touch()
    with pytest.raises(UserError) as caught:
        find_file("frist", folder, "suite", "suite")
    assert str(caught.value) == (
        "frist: there is no such suite file, and no suite of that name. Did you mean 'first'? "
        "Suites: another, first."
    )
    with pytest.raises(UserError, match=r"of that name\. Presets: another, first\.$"):
        find_file("zzz", folder, "config", "preset")


def test_a_file_beside_what_is_not_there_may_be_meant(folder: Path, tmp_path: Path) -> None:
    """A config where one is wanted, a suite where that is: no other YAML file."""
    (tmp_path / "letters.yml").write_text("name: x\ncorpus: []\n")
    (tmp_path / "leterz.yaml").write_text("tasks: []\n")
    (tmp_path / "leters.yam").mkdir()
    (tmp_path / "leters.yml").write_bytes(b"\xff corpus:")
    (tmp_path / "leteri.yaml").write_text("services: {}\n")
    with pytest.raises(UserError, match=rf"Did you mean '{tmp_path}/letters\.yml'\?"):
        find_file(f"{tmp_path}/leters.yaml", folder, "config", "preset")
    with pytest.raises(UserError, match=rf"Did you mean '{tmp_path}/leterz\.yaml'\?"):
        find_file(f"{tmp_path}/leters.yaml", folder, "suite", "suite")


def test_a_config_is_called_after_its_file_unless_it_says_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "letters.yaml"
    path.write_text("corpus: [{type: docs}]")
    assert load_config(str(path)).name == "letters"
    assert load_config(str(path), ["name=x"]).name == "x"
    path.write_text("corpus: [{type: docs}]\nname: mine")
    assert load_config(str(path)).name == "mine"
    suite = tmp_path / "asked.yaml"
    suite.write_text("tasks: [{task: neighbours, name: n}]")
    assert load_suite(str(suite)).name == "asked"
    assert load_suite(str(suite), ["tasks.0.top=7"]).tasks[0].top == 7  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("override", "made"),
    [
        ("a=1", {"a": 1, "list": [1, {"x": 2}], "none": None}),
        ("a=", {"a": None, "list": [1, {"x": 2}], "none": None}),
        ("a=b=c", {"a": "b=c", "list": [1, {"x": 2}], "none": None}),
        (" a =1", {"a": 1, "list": [1, {"x": 2}], "none": None}),
        ("a=[1, {b: true}]", {"a": [1, {"b": True}], "list": [1, {"x": 2}], "none": None}),
        ("a.b.c=x", {"a": {"b": {"c": "x"}}, "list": [1, {"x": 2}], "none": None}),
        ("none.a=1", {"list": [1, {"x": 2}], "none": {"a": 1}}),
        ("list.0=5", {"list": [5, {"x": 2}], "none": None}),
        ("list.1.x=5", {"list": [1, {"x": 5}], "none": None}),
        ("list.1.y=5", {"list": [1, {"x": 2, "y": 5}], "none": None}),
        ("list=5", {"list": 5, "none": None}),
    ],
)
def test_an_override_reaches_its_place_and_no_other(override: str, made: Any) -> None:
    values = {"list": [1, {"x": 2}], "none": None}
    set_value(values, override)
    assert values == made


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("a", "write it as a.b=value"),
        ("=1", "write it as a.b=value"),
        ("a..b=1", "write it as a.b=value"),
        ("a.=1", "write it as a.b=value"),
        ("list.2=1", "'2' does not name anything in a list of 2"),
        ("list.-1=1", "'-1' does not name anything in a list of 2"),
        ("list.01=1", "'01' does not name anything in a list of 2"),
        ("list.x=1", "'x' does not name anything in a list of 2"),
        ("list.0.x=1", "'x' does not name anything in the value 1"),
        ("list.2.x=1", "'2' does not name anything in a list of 2"),
        ("a=[", "the value is not valid YAML"),
    ],
)
def test_an_override_that_names_nothing_is_refused(override: str, words: str) -> None:
    values = {"list": [1, {"x": 2}]}
    with pytest.raises(UserError) as caught:
        set_value(values, override)
    assert str(caught.value).startswith(f"--set {override}: {words}")
    assert values == {"list": [1, {"x": 2}]}


@pytest.mark.parametrize(
    "override",
    ["https://h..x?sig=Zm9v", "list.9=https://me:Zm9v@h/x", "a=[https://h/x?token=Zm9v"],
)
def test_a_refused_override_shows_no_secret(override: str) -> None:
    with pytest.raises(UserError, match=r"\*\*\*") as caught:
        set_value({"list": []}, override)
    assert "Zm9v" not in str(caught.value)


def test_what_is_overridden_is_a_copy_of_what_yaml_shares() -> None:
    shared = {"x": {"y": 1}}
    values = {"a": shared, "b": shared, "c": [shared]}
    set_value(values, "a.x.y=2")
    set_value(values, "c.0.x.z=3")
    assert values == {
        "a": {"x": {"y": 2}},
        "b": {"x": {"y": 1}},
        "c": [{"x": {"y": 1, "z": 3}}],
    }


TASKS = "cloze, minimal_pairs, neighbours"


def tasks(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"evaluate": {"tasks": list(entries)}}


def sources(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"corpus": list(entries)}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"clena": {}}, "unknown key `clena`, did you mean `clean`?"),
        ({"zzz": 1}, "unknown key `zzz`; known are clean, corpus, downstream, engine, "),
        ({"clean": {"threshold": 1}}, "did you mean `clean.dedup.near.threshold`?"),
        ({"seed": 1}, "unknown key `seed`, did you mean `clean.seed`?"),
        ({"steps": 1}, "unknown key `steps`, did you mean `pretrain.steps`?"),
        (
            sources({"type": "files", "paths": "a", "regex": "b"}),
            "mean `corpus.0.separator.regex`?",
        ),
        ({"pretrain": {"steps": 1, "epochs": 2}}, "`pretrain`: steps and epochs are given; keep"),
        ({"clean": {"dedup": {"near": {"threshold": 2.5}}}}, "(given: 2.5)."),
        ({"clean": {"seed": "x"}}, "(given: 'x')."),
        ({"pack": {"format": True}}, "(given: True)."),
        ({"model": {"form": "x"}}, "unknown key `model.form`, did you mean `from`?"),
        (tasks({"task": "cloze", "data": "d"}), "`evaluate.tasks.0.name` is missing"),
        (
            tasks({"task": "cloze", "dta": 1}),
            "unknown key `evaluate.tasks.0.dta`, did you mean `data`",
        ),
        (sources(), "`corpus` needs at least 1 item."),
        (sources({"type": "files", "paths": ["a"], "url": 1}), "key `corpus.0.url`; known are enc"),
        (sources({"type": "http", "urls": [{"link": 1}]}), "`corpus.0.urls.0.url` is missing"),
        (sources({"paths": ["a"]}), "`corpus.0.type` is missing; types are docstrings, files, ht"),
        (sources({"type": "zzz"}), "`corpus.0.type`: there is no source type 'zzz'; types are doc"),
        (tasks({"task": "pair"}), "pair is taught first: it stands in the list `downstream`"),
        (tasks({"task": "clzoe"}), "there is no task 'clzoe', did you mean `cloze`?"),
        (tasks({}), f"`evaluate.tasks.0.task` is missing; tasks are {TASKS}."),
        ({"pack": {"row_tokens": 7}}, "input should be greater than or equal to 8 (given: 7)."),
        ({"name": "x y"}, "(given: 'x y')."),
    ],
)
def test_a_mistake_is_told_by_its_place(values: dict[str, Any], words: str) -> None:
    text = told(values)
    assert text.startswith("my.yaml: ")
    assert words in text


def test_the_first_five_mistakes_are_told_in_one_paragraph() -> None:
    text = told({name: 1 for name in ("a1", "b1", "c1", "d1", "e1", "f1")})
    assert [name in text for name in ("`a1`", "`e1`", "`f1`")] == [True, True, False]
    assert text.count("; unknown key") == 4
    assert told({"pack": {"row_tokens": 1}, "clena": 1}).count("?") <= 1


def test_a_value_of_several_lines_is_not_repeated() -> None:
    assert "given" not in told({"pack": {"row_tokens": [1, 2]}})


@pytest.mark.parametrize(
    "values",
    [
        {"store": 3, "name": "https://me:Zm9v@h/x"},
        {"name": "https://h/x?sig=Zm9v"},
        {"corpus": [{"type": "http", "urls": "https://me:Zm9v@h/x"}]},
        {"corpus": [{"type": "http", "urls": "https://h/x?sig=Zm9v"}]},
        {"corpus": [{"type": "http", "urls": "https://h/x", "headers_from_env": {"A": "Zm9v=="}}]},
        {"corpus": [{"type": "http", "urls": "https://h/x", "query_from_env": {"sig": "Zm9v=="}}]},
        {"corpus": [{"type": "http", "urls": "https://h/x", "headers_from_env": {"Zm9v:": "A"}}]},
    ],
)
def test_a_mistake_shows_no_secret(values: dict[str, Any]) -> None:
    assert "Zm9v" not in told(values)


def test_another_length_takes_the_files_own_out_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("corpus: [{type: docs}]\npretrain: {epochs: 3, seed: 5}")
    for override, length in (
        ("pretrain.steps=2", (2, None, None)),
        ("pretrain.minutes=2", (None, None, 2.0)),
        ("pretrain.epochs=2", (None, 2.0, None)),
        ("pretrain.batch_rows=2", (None, 3.0, None)),
    ):
        recipe = load_config(str(path), [override]).pretrain
        assert (recipe.steps, recipe.epochs, recipe.minutes) == length
        assert recipe.seed == 5
    path.write_text("corpus: [{type: docs}]\npretrain:")
    assert load_config(str(path), ["pretrain.steps=2"]).pretrain.steps == 2
    path.write_text("corpus: [{type: docs}]\npretrain: {epochs: 3, seed: 5}")
    recipe = load_config(str(path), ["pretrain={steps: 9}"]).pretrain
    assert (recipe.steps, recipe.epochs, recipe.seed) == (9, None, 0)


def test_overrides_count_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("corpus: [{type: docs}]")
    assert load_config(str(path), ["clean.seed=1", "clean.seed=2"]).clean.seed == 2


def test_paths_of_an_override_are_those_of_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what it names, or what lies below it."""
    (tmp_path / "c").mkdir()
    path = tmp_path / "c" / "c.yaml"
    path.write_text("corpus: [{type: files, paths: [a, b]}]\nstore: s\nmodel: {from: m}")
    monkeypatch.chdir(tmp_path)

    def paths(*overrides: str) -> list[str]:
        found = load_config("c/c.yaml", overrides)
        (source,) = found.corpus
        assert isinstance(source, FilesSource)
        assert found.model.source_folder is not None
        return [*source.paths, found.store, found.model.source_folder]

    assert paths() == ["c/a", "c/b", "c/s", "c/m"]
    assert paths("corpus.0.paths.1=x") == ["c/a", "x", "c/s", "c/m"]
    assert paths("corpus.0.paths=[x, y]") == ["x", "y", "c/s", "c/m"]
    assert paths("corpus=[{type: files, paths: [x, y]}]", " store =z") == ["x", "y", "z", "c/m"]
    assert paths("model.from=x") == ["c/a", "c/b", "c/s", "x"]
    assert paths("clean.seed=1") == ["c/a", "c/b", "c/s", "c/m"]


def test_paths_of_a_suite_are_those_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s").mkdir()
    fine = "{task: classify, train: a, dev: /b, test: c, predict: [d, ~/e]}"
    (tmp_path / "s" / "s.yaml").write_text(
        f"tasks: [{{task: cloze, name: c, data: facts}}]\ndownstream: [{fine}]"
    )
    monkeypatch.chdir(tmp_path)
    suite = load_suite("s/s.yaml", ["downstream.0.test=t"])
    assert suite.tasks[0].data == "s/facts"  # type: ignore[union-attr]
    (found,) = suite.downstream
    assert (found.train, found.dev, found.test) == ("s/a", "/b", "t")
    assert found.predict == ("s/d", "~/e")
    assert os.getcwd() == str(tmp_path)
