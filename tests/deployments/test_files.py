"""The files for real installations, each checked by the tool that reads it, where it is here."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from command import Command, ask, prefect_server

from flows.commands.serve import serve
from flows.serving.pool import POOL
from tasks.config import Config

DEPLOYMENTS = Path(__file__).resolve().parents[2] / "deployments"
ROOT = DEPLOYMENTS.parent


@pytest.mark.slow
def test_prefect_deploys_all_as_it_is(tmp_path: Path) -> None:
    """`prefect deploy --all` makes the five, with their schedules and a form."""
    prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
    with prefect_server(tmp_path) as api:
        environment = Command(tmp_path, tmp_path, api).environment()
        for words in (
            ["work-pool", "create", "roberta", "--type", "process"],
            ["deploy", "--all", "--prefect-file", "deployments/prefect.yaml"],
        ):
            done = subprocess.run(
                [*prefect, *words],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done
        for flow in ("pretrain", "refresh", "evaluate", "verify", "prune"):
            made = ask(api, f"deployments/name/{flow}/quickstart")
            assert made["parameters"]["config"]["name"] == "quickstart"
            assert "Config" in made["parameter_openapi_schema"]["definitions"]
        assert ask(api, "deployments/name/refresh/quickstart")["schedules"]


def test_the_configs_in_it_are_configs() -> None:
    """Every deployment's parameters are what its flow takes."""
    file = yaml.safe_load((DEPLOYMENTS / "prefect.yaml").read_text())
    for each in file["deployments"]:
        Config.model_validate(each["parameters"]["config"])
        path, _, name = each["entrypoint"].partition(":")
        assert f"def {name}(" in (ROOT / path).read_text()


@pytest.mark.parametrize("unit", sorted((DEPLOYMENTS / "systemd").iterdir()), ids=lambda p: p.name)
def test_systemd_takes_the_units(unit: Path, tmp_path: Path) -> None:
    """With programs that are there in place of those of an installation."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = unit.read_text().replace("/opt/roberta/.venv/bin/", "/bin/")
    text = text.replace("ExecStart=/bin/roberta", "ExecStart=/bin/true")
    copied = tmp_path / unit.name
    copied.write_text(text.replace("ExecStart=/bin/prefect", "ExecStart=/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", copied], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr


def test_units_and_containers_call_the_command_as_it_is() -> None:
    """What they pass to `roberta serve` are options of it; workers ask the pool it makes."""
    unit = (DEPLOYMENTS / "systemd" / "roberta.service").read_text()
    (line,) = [each for each in unit.splitlines() if each.startswith("ExecStart=")]
    services = yaml.safe_load((DEPLOYMENTS / "docker" / "compose.yaml").read_text())["services"]
    known = {option for parameter in serve.params for option in parameter.opts}
    for words in (line.split()[1:], services["server"]["command"]):
        assert words[0] == "serve"
        assert {word for word in words if word.startswith("--")} <= known
    assert services["worker"]["command"] == ["worker", "start", "--pool", POOL, "--type", "process"]
    other = (DEPLOYMENTS / "systemd" / "roberta-worker.service").read_text()
    assert f"worker start --pool {POOL} --type process" in other


def test_the_job_template_leaves_nothing_to_a_form() -> None:
    """The manifest is a Job's; command, image and environment are not the starter's to choose."""
    template = json.loads((DEPLOYMENTS / "kubernetes" / "job-template.json").read_text())
    assert template["variables"]["properties"] == {}
    assert "{{" not in json.dumps(template["job_configuration"])
    manifest = template["job_configuration"]["job_manifest"]
    assert (manifest["apiVersion"], manifest["kind"]) == ("batch/v1", "Job")
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    assert container["name"] == "prefect-job"
    assert {"name": "ROBERTA_ROOTS", "value": "/var/lib/roberta"} in container["env"]
    assert manifest["spec"]["backoffLimit"] == 0, "Prefect tries again, not Kubernetes"
