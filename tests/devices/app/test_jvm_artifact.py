"""The JVM's artifact reader: the same id as Python's, and the same refusals."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jvm import Jvm

from edgebert import artifact as artifacts
from edgebert.artifact import Artifact, Manifest
from edgebert.errors import ArtifactError
from edgebert.protocols import TensorSpec


@pytest.fixture(scope="module")
def original(tokenizer_file: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """An artifact as exporters save it; its model is random bytes, which nobody here hands to an engine."""
    folder = tmp_path_factory.mktemp("artifact")
    made = folder / "made"
    (made / "licences").mkdir(parents=True)
    shutil.copyfile(tokenizer_file(), made / "tokenizer.json")
    (made / "model.tflite").write_bytes(random.Random(2).randbytes(40_000))
    (made / "config.json").write_text("{}", "utf-8")
    (made / "golden.json").write_text('{"texts": ["naïve"]}\n', "utf-8")
    (made / "licences" / "LICENSE-日本語").write_text("Apache-2.0", "utf-8")
    manifest = Manifest(
        task="text-classification", labels=("lights_off", 'a "quoted" one', "灯👍", "\u007f\u2028"), format="tflite",
        precision="int8", model_files=("model.tflite",),
        inputs=(TensorSpec("input_ids", "int32", (1, -1)), TensorSpec("attention_mask", "int32", (1, -1))),
        outputs=(TensorSpec("logits", "float32", (1, 4)),), max_length=32, lengths=(16, 32), batch=1,
        task_settings={"temperature": 1.2345678901234567, "threshold": 1e-07, "thresholds": [], "out_of_scope": None},
        lineage=({"name": "teacher", "metric": {"value": 0.1 + 0.2, "low": 5e-324, "high": 1e22}, "n": 10**20},),
        parameters=12345678901, tools={"z": "1", "\U0001f600": "2", "\uffee": "3"},
    )  # fmt: skip
    return artifacts.save(made, manifest, folder / "tflite-int8")


@pytest.fixture
def copy(original: Artifact, tmp_path: Path) -> Path:
    """A copy to spoil."""
    shutil.copytree(original.path, tmp_path / "copy")
    return tmp_path / "copy"


def refused(jvm: Jvm, folder: Path) -> str:
    """The message of the refusal, which Python makes too."""
    with pytest.raises(ArtifactError):
        artifacts.load(folder)
    found = jvm.ask("open", artifact=str(folder))
    assert found.get("error") == "ArtifactError", found
    assert found["hint"]
    return str(found["message"])


def test_the_id_is_that_of_python(jvm: Jvm, original: Artifact, tiny_artifact: Artifact) -> None:
    for artifact in (original, tiny_artifact):
        found = jvm.ask("open", artifact=str(artifact.path))
        assert found == {"id": artifact.artifact_id, "name": artifact.manifest.name}


def test_a_flipped_bit_in_any_file_is_refused(jvm: Jvm, copy: Path) -> None:
    draw = random.Random(6)
    files = sorted(path for path in copy.rglob("*") if path.is_file())
    assert len(files) == 6
    for number in range(240):
        path = files[number % len(files)]
        content = path.read_bytes()
        place = draw.randrange(len(content))
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :])
        assert "damaged" in (message := refused(jvm, copy)) or "version" in message, message
        path.write_bytes(content)
    assert "id" in jvm.ask("open", artifact=str(copy))


def test_a_truncated_file_is_refused(jvm: Jvm, copy: Path) -> None:
    for path in [path for path in copy.rglob("*") if path.is_file()]:
        content = path.read_bytes()
        for keep in (0, len(content) // 2, len(content.rstrip()) - 1):
            path.write_bytes(content[:keep])
            assert "damaged" in refused(jvm, copy)
        path.write_bytes(content)


def test_what_does_not_belong_is_refused(jvm: Jvm, copy: Path, tmp_path: Path) -> None:
    assert "does not exist" in refused(jvm, tmp_path / "absent")
    (copy / "extra.so").write_bytes(b"x")
    assert "extra.so is not listed" in refused(jvm, copy)
    (copy / "extra.so").unlink()
    (copy / "config.json").rename(tmp_path / "config.json")
    assert "config.json is missing" in refused(jvm, copy)
    (copy / "config.json").symlink_to(tmp_path / "config.json")
    assert "symbolic link" in refused(jvm, copy)
    (copy / "config.json").unlink()
    os.link(tmp_path / "config.json", copy / "config.json")
    assert "hard link" in refused(jvm, copy)
    (copy / "config.json").unlink()
    shutil.copyfile(tmp_path / "config.json", copy / "config.json")
    (copy / "CONFIG.json").write_bytes(b"{}")
    assert "differ in case only" in refused(jvm, copy)
    (copy / "CONFIG.json").unlink()
    (copy / "manifest.json").unlink()
    assert "has no manifest.json" in refused(jvm, copy)


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest and give it the checksum that fits, as whoever means harm would."""
    path = folder / "manifest.json"
    body = json.loads(path.read_text("utf-8"))
    del body["checksum"]
    change(body)
    path.write_text(artifacts._text(body | {"checksum": artifacts._checksum(body)}), "utf-8")


def test_a_wrong_manifest_is_refused_in_words(jvm: Jvm, copy: Path) -> None:
    content = (copy / "manifest.json").read_bytes()
    cases: list[tuple[Callable[[dict[str, Any]], object], str]] = [
        (lambda body: body.update(format_version=3), "format version 3; this app reads versions 1 and 2"),
        (lambda body: body.pop("task"), "task is no string"),
        (lambda body: body.update(labels="all"), "labels is no list"),
        (lambda body: body.update(files=[]), "files is no object"),
        (lambda body: body["inputs"][0].pop("shape"), "shape is no list"),
        (lambda body: body["files"].update({"../../etc/passwd": body["files"]["config.json"]}), "leads out"),
        (lambda body: body["files"].update({"/etc/passwd": body["files"]["config.json"]}), "leads out"),
        (lambda body: body["files"].update({"a\\b": body["files"]["config.json"]}), "leads out"),
        (lambda body: body.update(model_files=[]), "model_files is empty"),
    ]
    for change, message in cases:
        rewrite(copy, change)
        found = jvm.ask("open", artifact=str(copy))
        assert found.get("error") == "ArtifactError" and message in found["message"], found
        (copy / "manifest.json").write_bytes(content)
    for text in (b"", b"[]", b"{", b'{"a": 1, "a": 2}', b"\xff"):
        (copy / "manifest.json").write_bytes(text)
        assert "damaged" in refused(jvm, copy)
    (copy / "manifest.json").write_bytes(b"[" * 100_000)
    assert "nested" in jvm.ask("open", artifact=str(copy))["message"]


def test_version_1_is_read(jvm: Jvm, copy: Path) -> None:
    def older(body: dict[str, Any]) -> None:
        del body["task_settings"]
        body["format_version"] = 1

    rewrite(copy, older)
    assert jvm.ask("open", artifact=str(copy))["id"] == artifacts.load(copy).artifact_id


def test_json_is_written_as_python_writes_it(jvm: Jvm) -> None:
    """What the manifest's checksum is over: names sorted by code point, ASCII escapes, numbers as they were."""
    draw = random.Random(4)

    def value(depth: int) -> Any:
        kind = draw.randrange(7 if depth else 5)
        letters = "".join(draw.choice('az"\\/\b\f\n\r\t\x00\x7fé\u2028漢\uffee👍') for _ in range(draw.randint(0, 6)))
        number = draw.choice([0.0, 1e16, 5e-324, -0.0, draw.uniform(-1, 1) * 10 ** draw.randint(-30, 30)])
        simple: list[Any] = [letters, True, None, draw.randint(-(10**12), 10**12), number]
        if kind < 5:
            return simple[kind]
        items = [value(depth - 1) for _ in range(draw.randint(0, 5))]
        return items if kind == 5 else {f"{letters}{number}": item for number, item in enumerate(items)}

    for _ in range(300):
        body = {"value": value(3), "é": value(1)}
        for text in (json.dumps(body), json.dumps(body, indent=1, ensure_ascii=False)):
            found = jvm.ask("json", text=text)
            assert found == {"canonical": json.dumps(body, sort_keys=True, separators=(",", ":"))}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1,]", '{"a"}', "01", "1.", ".5", "+1", "nul", '"\\x"', '"\\u12"', '"a', '"\n"', "[] []", "'a'", "1 2",
     "[" * 5000, '{"a": 1, "a": 2}'],
)  # fmt: skip
def test_what_is_no_json_is_refused(jvm: Jvm, text: str) -> None:
    assert jvm.ask("json", text=text)["error"] == "DataError"
