"""The report escapes whatever was planted in names, texts and tokens."""

from tasks.publishing.templates import template


def test_whatever_a_report_shows_is_text() -> None:
    """All values but our own drawings are escaped, by the template's environment itself."""
    report = template("report.html.j2")
    planted = {"x": "<script>alert(1)</script>", "y": "' onload='a"}
    shown = report.environment.from_string("<b title='{{ y }}'>{{ x }}</b>").render(planted)
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "' onload" not in shown
    assert report.environment.loader is not None
    source, _, _ = report.environment.loader.get_source(report.environment, "report.html.j2")
    assert source.count("|safe") + source.count("| safe") == 1, "only drawings of our own"
