"""The Java programs of `docs/without-edgebert`: compiled, and the one that asks is run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from jvm import compile_core, need_javac

import edgebert
from edgebert import registry
from edgebert.artifact import Artifact

PROGRAMS = Path(__file__).parents[2] / "docs" / "without-edgebert"

#: An engine at the other end of a pipe: a line of inputs out, a line of outputs in. It stands in for `OrtEngine`,
#: whose library is not at hand; what answers is the real ONNX Runtime.
PIPE = """
import edgebert.core.*;
import java.io.*;
import java.util.*;

final class OrtEngine implements Engine {
    private final BufferedReader in = new BufferedReader(new InputStreamReader(System.in));

    OrtEngine(Artifact artifact, int threads) {
        artifact.model();
    }

    public String name() { return "pipe"; }

    public Map<String, Object> settings() { return Collections.emptyMap(); }

    public Map<String, float[]> run(Map<String, int[]> inputs, int length) {
        System.out.println(JsonWriter.write(inputs));
        Map<String, float[]> found = new HashMap<>();
        try {
            Json.object(Json.parse(in.readLine()), "outputs").forEach((name, item) -> {
                List<Object> numbers = Json.list(item, name);
                float[] data = new float[numbers.size()];
                for (int index = 0; index < data.length; index++) {
                    data[index] = ((Number) numbers.get(index)).floatValue();
                }
                found.put(name, data);
            });
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return found;
    }

    public void close() {}
}
"""

#: What `OrtEngine` uses of ONNX Runtime's Java library, as its documentation has it.
SIGNATURES = {
    "OnnxValue": "public interface OnnxValue extends AutoCloseable { void close(); }",
    "OrtException": "public class OrtException extends Exception { private static final long serialVersionUID = 1; }",
    "OnnxTensor": """public class OnnxTensor implements OnnxValue {
        public static native OnnxTensor createTensor(OrtEnvironment e, Object data) throws OrtException;
        public native java.nio.FloatBuffer getFloatBuffer(); public native void close(); }""",
    "OrtEnvironment": """public final class OrtEnvironment {
        public static native OrtEnvironment getEnvironment();
        public native OrtSession createSession(byte[] model, OrtSession.SessionOptions o) throws OrtException; }""",
    "OrtSession": """public class OrtSession implements AutoCloseable {
        public native Result run(java.util.Map<String, ? extends OnnxTensor> inputs) throws OrtException;
        public native void close() throws OrtException;
        public static class Result implements AutoCloseable, Iterable<java.util.Map.Entry<String, OnnxValue>> {
            public native void close();
            public native java.util.Iterator<java.util.Map.Entry<String, OnnxValue>> iterator(); }
        public static class SessionOptions implements AutoCloseable {
            public native void setIntraOpNumThreads(int n) throws OrtException; public native void close(); } }""",
}


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The core, with the program that asks and the engine at the other end of a pipe."""
    need_javac()
    folder = tmp_path_factory.mktemp("ask")
    (folder / "OrtEngine.java").write_text(PIPE, "utf-8")
    return compile_core(folder / "classes", PROGRAMS / "Ask.java", folder / "OrtEngine.java")


def test_the_program_answers_as_python_does(classes: Path, tiny_artifact: Artifact) -> None:
    text = "could you do the lantern thing for me 👍"
    runtime = registry.find("runtimes", "onnx")(tiny_artifact, 1)
    command = ["java", "-cp", str(classes), "Ask", str(tiny_artifact.path), text]
    lines = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        for line in map(json.loads, process.stdout):
            lines.append(line)
            if "input_ids" in line:
                found = runtime.run({name: np.array([values], dtype=np.int64) for name, values in line.items()})
                process.stdin.write(json.dumps({name: array.ravel().tolist() for name, array in found.items()}) + "\n")
                process.stdin.flush()
    runtime.close()
    assert process.returncode == 0 and len(lines) > len(tiny_artifact.golden()["texts"])
    with edgebert.load(tiny_artifact.path) as model:
        wanted = model.predict(text).to_json()
    assert lines[-1]["label"] == wanted["label"] and lines[-1]["score"] == pytest.approx(wanted["score"], abs=2e-6)


def test_the_engine_for_onnx_runtime_compiles(classes: Path, tmp_path: Path) -> None:
    sources = [PROGRAMS / "OrtEngine.java"]
    for name, body in SIGNATURES.items():
        sources.append(tmp_path / "ai/onnxruntime" / f"{name}.java")
        sources[-1].parent.mkdir(parents=True, exist_ok=True)
        sources[-1].write_text(f"package ai.onnxruntime;\n{body}\n", "utf-8")
    options = ["--release", "17", "-Xlint:all", "-Werror", "-cp", str(classes), "-d", str(tmp_path / "out")]
    done = subprocess.run(["javac", *options, *map(str, sources)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out/OrtEngine.class").is_file()
