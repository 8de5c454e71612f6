"""Every type of source that a config may name is read by a class, found by table."""

from pathlib import Path

from tasks.config import Config
from tasks.config.corpus import SOURCE_TYPES
from tasks.sources.table import SOURCES, estimate_corpus, open_sources


def test_the_config_names_the_types_of_the_table() -> None:
    """Neither offers what the other does not have; older spellings mean a type of today."""
    assert {model.model_fields["type"].default for model in SOURCE_TYPES.values()} == set(SOURCES)


def test_sources_are_told_apart_by_their_place(tmp_path: Path) -> None:
    """Labels of two sources never meet, whatever their types."""
    (tmp_path / "a.txt").write_text("one\n\ntwo")
    corpus = [
        {"type": "files", "paths": str(tmp_path)},
        {"type": "http", "urls": "https://host/a.txt"},
        {"type": "docs", "packages": ["click"], "standard_library": False},
    ]
    sources = open_sources(Config.model_validate({"corpus": corpus}).corpus)
    assert [source.documents_label(3) for source in sources] == [
        f"documents/{n}-00003" for n in ("00", "01", "02")
    ]
    labels = [label for source in sources for label in source.externals()]
    assert labels == ["00-00000 plain/text/utf-8", "01 endings", "02 modules"]


def test_estimates_add_up(tmp_path: Path) -> None:
    """Local text is counted as it is, remote text by what the config says of it."""
    (tmp_path / "a.txt").write_text("one\n\ntwo")
    files = {"type": "files", "paths": str(tmp_path)}
    known = {"type": "http", "urls": {"url": "https://host/a.txt", "bytes": 1_000_000}}
    one, both = (
        estimate_corpus(Config.model_validate({"corpus": corpus}).corpus)
        for corpus in ([files], [files, known])
    )
    assert one == {"documents": 2, "bytes": 6}
    assert both == {"documents": 1252, "bytes": 2_500_006}
