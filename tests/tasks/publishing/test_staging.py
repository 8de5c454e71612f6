"""A folder is made beside its place, gets its name whole, and takes another's in one step."""

import ctypes
import errno
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.errors import StageError
from tasks.publishing import staging
from tasks.publishing.staging import put_in_place, staged_beside

HOLD = """
import sys
from pathlib import Path
from tasks.publishing.staging import staged_beside
with staged_beside(Path(sys.argv[1])) as made:
    (made / "part").write_text("half")
    print(made, flush=True)
    sys.stdin.read()
"""


def folder(path: Path, text: str) -> Path:
    path.mkdir(parents=True)
    (path / "a").write_text(text)
    return path


def test_what_is_not_named_is_gone(tmp_path: Path) -> None:
    with staged_beside(tmp_path / "deep/one") as made:
        assert [path.name for path in (tmp_path / "deep").iterdir()] == [made.name]
    assert list((tmp_path / "deep").iterdir()) == []
    with staged_beside(tmp_path / "deep/one") as made:
        put_in_place(made, tmp_path / "deep/one")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["one"]


def test_what_a_killed_process_left_goes_and_what_a_live_one_makes_stays(tmp_path: Path) -> None:
    """Of this place alone; and nothing that is called almost so."""
    place = tmp_path / "model"
    ours = ".roberta-staging"
    alike = (".model.settings", f".model.x{ours}.txt", f"model.y{ours}", f".model.settings2{ours}")
    for name in (*alike, f".model.v2.abcdefgh{ours}", ".model.abcdefgh.staging"):
        folder(tmp_path / name, "mine")
    (tmp_path / ".model.abcdefgh.roberta-staging").symlink_to(tmp_path / ".model.settings")
    mine = {path.name for path in tmp_path.iterdir()}
    command = [sys.executable, "-c", HOLD]
    made, makers = [], []
    for target in (place, place, tmp_path / "other"):
        maker = subprocess.Popen(
            [*command, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert maker.stdout is not None
        made.append(Path(maker.stdout.readline().strip()))
        makers.append(maker)
    for maker in (makers[0], makers[2]):
        maker.send_signal(signal.SIGKILL)
        maker.communicate()
    with staged_beside(place):
        assert [path.exists() for path in made] == [False, True, True]
    makers[1].communicate()
    assert {path.name for path in tmp_path.iterdir()} == mine | {made[2].name}


def test_a_folder_changes_its_name_with_the_one_that_was_there(tmp_path: Path) -> None:
    new, old = folder(tmp_path / "new", "new"), folder(tmp_path / "old", "old")
    put_in_place(new, old)
    assert ((old / "a").read_text(), (new / "a").read_text()) == ("new", "old")


def test_without_such_a_step_there_are_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same end."""
    monkeypatch.setattr(staging, "_swapped", lambda *_: False)
    test_a_folder_changes_its_name_with_the_one_that_was_there(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]


@pytest.mark.parametrize("has_swap", [True, False])
def test_where_the_new_folder_cannot_be_moved_in_the_old_one_stays(
    has_swap: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under its name, whole, and nothing beside it."""
    if not has_swap:
        monkeypatch.setattr(staging, "_swapped", lambda *_: False)
    target = folder(tmp_path / "given/target", "old")
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "given/not-there", target)
    assert (target / "a").read_text() == "old"
    assert [path.name for path in target.parent.iterdir()] == ["target"]


@pytest.mark.parametrize("has_swap", [True, False])
@pytest.mark.parametrize("is_taken", [True, False])
def test_a_folder_is_on_the_disk_before_it_has_its_name_and_its_name_after(
    is_taken: bool, has_swap: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut leaves what was there, or all of the new one, whose sources may be gone."""
    if not has_swap:
        monkeypatch.setattr(staging, "_swapped", lambda *_: False)
    new, target = folder(tmp_path / "new", "new"), tmp_path / "target"
    folder(new / "deep", "new")
    if is_taken:
        folder(target, "old")
    said = list[tuple[str, bool]]()

    def noted(path: Path) -> None:
        is_new = (target / "deep").is_dir()
        said.append((path.relative_to(tmp_path).as_posix(), is_new))

    monkeypatch.setattr(staging, "flush_file", noted)
    monkeypatch.setattr(staging, "sync_folder", noted)
    put_in_place(new, target)
    before = [(name, False) for name in ("new", "new/a", "new/deep", "new/deep/a")]
    assert sorted(said[:-1]) == before
    assert said[-1] == (".", True)


def test_a_place_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StageError, match="file/model: this cannot be written"),
        staged_beside(tmp_path / "file/model"),
    ):
        pass


@pytest.mark.parametrize("problem", [OSError(), KeyboardInterrupt()])
def test_whatever_ends_it_between_the_two_steps_the_old_folder_keeps_its_name(
    problem: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does where the process is killed there, once the next one comes."""
    monkeypatch.setattr(staging, "_swapped", lambda *_: False)
    place, usual = folder(tmp_path / "given/out", "old"), Path.rename

    def fails(self: Path, target: Path) -> Path:
        if self.name == "model":
            raise problem
        return usual(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fails)
        with pytest.raises(type(problem)), staged_beside(place) as made:
            put_in_place(folder(made / "model", "new"), place)
    assert (place / "a").read_text() == "old"
    place.rename(place.with_name(".out.before"))
    with staged_beside(place):
        assert (place / "a").read_text() == "old"
    assert [path.name for path in place.parent.iterdir()] == ["out"]


def test_a_folder_that_is_swept_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, made = tempfile.mkdtemp, list[str]()

    def swept(*words: str) -> str:
        made.append(usual(*words))
        if len(made) < 3:
            staging._sweep(tmp_path / "out")
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", swept)
    with staged_beside(tmp_path / "out") as found:
        assert str(found) == made[2]
        assert [path.name for path in tmp_path.iterdir()] == [found.name]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EACCES])
def test_a_disk_that_cannot_exchange_names_is_no_failure(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else the system says is one."""

    def refuse(*_: object) -> int:
        ctypes.set_errno(number)
        return -1

    libc = SimpleNamespace(renameat2=refuse, renamex_np=refuse)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: libc)
    new, old = folder(tmp_path / "new", "new"), folder(tmp_path / "old", "old")
    if number == errno.EACCES:
        with pytest.raises(PermissionError):
            put_in_place(new, old)
        return
    put_in_place(new, old)
    assert ((old / "a").read_text(), (new / "a").read_text()) == ("new", "old")
