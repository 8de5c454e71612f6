"""What an operator does in the browser: start, watch it fail, read why, mend, retry, look."""

import json
from pathlib import Path

import pytest
from browser import Page
from served import Served


def start_from_form(page: Page, serving: Served, deployment: str, pictures: Path) -> str:
    """Open a deployment's form, look at it, and press Submit; the run's id."""
    page.set_size(1400, 1000)
    form = f"{serving.origin}/deployments/deployment/{deployment}/run"
    page.text_with(form, "Config", "Corpus", "Tokenizer", "Pretrain", "The sources of text.")
    page.screenshot(pictures / "form.png")
    page.click("Submit")
    run = serving.until(
        lambda: next(
            (
                found["id"]
                for found in serving.ask("flow_runs/filter", {})
                if found["deployment_id"] == deployment
            ),
            None,
        )
    )
    return str(run)


@pytest.mark.slow
def test_from_the_form_to_the_report_by_way_of_a_failure(
    page: Page, serving: Served, tmp_path: Path
) -> None:
    """A planted fault ends the run; its reason is read; Retry finds the earlier stages done."""
    pairs = serving.command.folder / "operator" / "pairs.jsonl"
    pairs.parent.mkdir()
    good = json.dumps({"sentence_good": "Letter 1 is.", "sentence_bad": "1 is Letter."}) + "\n"
    pairs.write_text(good)
    done = serving.command(
        "deploy", "letters.yaml", "--set", "name=operator",
        "--set", f"evaluate.blimp={{data: {pairs.parent}}}",
    )  # fmt: skip
    assert done.code == 0, done.err
    deployment = serving.deployment("pretrain/operator")["id"]

    run = start_from_form(page, serving, deployment, tmp_path)
    # What is wrong before is told before anything runs.
    serving.until(lambda: "pretrain" in serving.stages(run), 120)
    pairs.write_text("{broken\n")
    serving.wait(run, "FAILED", seconds=240)
    url = f"{serving.origin}/runs/flow-run/{run}"
    page.text_with(url, "Failed", "evaluate")
    page.wait_for("evaluate.blimp.data: pairs, line 1")  # in the log below
    page.screenshot(tmp_path / "failed.png")

    pairs.write_text(good)
    page.click("Retry")
    page.wait_for("Retry")
    page.click("Retry", ".p-modal button")
    assert serving.wait(run, "COMPLETED", seconds=240)["run_count"] == 2
    stages = serving.until(
        lambda: found if "publish" in (found := serving.stages(run)) else None, 60
    )
    assert {stages[name] for name in ("download", "clean", "tokenizer", "pack", "pretrain")} == {
        "Cached"
    }
    page.text_with(url, "Completed", "publish")
    page.screenshot(tmp_path / "completed.png")
    page.set_size(420, 900)
    page.text_with(url, "Completed")
    page.screenshot(tmp_path / "completed-narrow.png")

    page.set_size(1400, 1000)
    (told,) = [
        artifact
        for artifact in serving.ask("artifacts/latest/filter", {})
        if artifact["key"] == "operator-run"
    ]
    page.text_with(f"{serving.origin}/artifacts/artifact/{told['latest_id']}", "Open the report")
    page.text_with(page.link("Open the report"), "operator", "ledger", "scores")
    page.screenshot(tmp_path / "report.png")
    outside = [to for to in page.requests if not to.startswith((serving.origin, "data:", "blob:"))]
    assert outside == [], "the UI asks somebody else"
