"""Install the pinned torch: the CPU build by default, a GPU build where the user asks.

    python deployments/install_torch.py cpu      the CPU build (default)
    python deployments/install_torch.py gpu      what PyPI serves: on Linux, a CUDA build
    python deployments/install_torch.py cu130    a build of PyTorch's own index, by its tag

PyPI's Linux build brings several GB of CUDA along. So for `cpu` we first look whether pip, as
it is set up here, finds a CPU build by itself, and otherwise ask PyTorch's index for one.
"""

import json
import platform
import subprocess
import sys

PIN = "torch==2.13.0"
INDEX = "https://download.pytorch.org/whl"


def pip(*arguments: str) -> int:
    """Run pip with this interpreter; its exit code."""
    return subprocess.run([sys.executable, "-m", "pip", *arguments], check=False).returncode


def finds_cpu_build() -> bool:
    """Whether the torch that pip would install now is a CPU build; downloads nothing big."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps"]
    command += ["--ignore-installed", "--report", "-", PIN]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)["install"][0]
    except (ValueError, LookupError):
        return False
    return "+cpu" in found["metadata"]["version"] or "cpu" in found["download_info"]["url"]


def main(build: str) -> int:
    """Install one build; the exit code of pip."""
    if build == "gpu" or platform.system() != "Linux":
        return pip("install", "--quiet", PIN)
    if build == "cpu" and finds_cpu_build():
        return pip("install", "--quiet", "--no-compile", "--no-deps", PIN)  # the lock has the rest
    code = pip("install", "--quiet", PIN, "--index-url", f"{INDEX}/{build}")
    if code != 0:
        print(
            f"install_torch: {INDEX}/{build} gave no {PIN}. Check the build's name and the "
            "network, or use `make setup TORCH=gpu` for the build that PyPI serves.",
            file=sys.stderr,
        )
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "cpu"))
