package edgebert.app;

import edgebert.core.Artifact;
import edgebert.core.EdgebertException;
import edgebert.core.EdgebertException.Kind;
import edgebert.core.Engine;
import edgebert.core.Manifest;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import org.tensorflow.lite.Interpreter;

/** LiteRT on the CPU (XNNPACK): one interpreter, one signature for each sequence length. */
final class LiteRtEngine implements Engine {
    /** The buffers of one length, made once: LiteRT reads and fills them in place. */
    private static final class Buffers {
        final Map<String, Object> inputs = new HashMap<>();
        final Map<String, Object> outputs = new HashMap<>();
    }

    private final Interpreter interpreter;
    private final int threads;
    private final Map<Integer, Buffers> lengths = new HashMap<>();

    LiteRtEngine(Artifact artifact, int threads) {
        Manifest manifest = artifact.manifest();
        if (!manifest.format().equals("tflite")) {
            throw new EdgebertException(
                Kind.ArtifactError, "this app runs tflite artifacts, not " + manifest.name(),
                "export one with the format tflite");
        }
        this.threads = threads;
        try {
            Interpreter.Options options = new Interpreter.Options();
            options.setNumThreads(threads);
            options.setUseXNNPACK(true);
            interpreter = new Interpreter(artifact.model(), options);
        } catch (IllegalArgumentException | IllegalStateException | UnsatisfiedLinkError error) {
            throw new EdgebertException(
                Kind.ArtifactError, manifest.name() + " is refused by " + name() + ": " + error.getMessage(),
                "export it again, or build the app with a newer LiteRT", error);
        }
        for (int length : manifest.lengths()) {
            Buffers made = new Buffers();
            manifest.inputs().forEach(spec -> made.inputs.put(spec.name(), buffer(spec, "int32", length)));
            manifest.outputs().forEach(spec -> made.outputs.put(spec.name(), buffer(spec, "float32", length)));
            lengths.put(length, made);
        }
    }

    private static ByteBuffer buffer(Manifest.Spec spec, String dtype, int length) {
        if (!spec.dtype().equals(dtype)) {
            throw new EdgebertException(
                Kind.ArtifactError, spec.name() + " is " + spec.dtype() + ", not " + dtype, "export it again");
        }
        int size = 4;
        for (int axis : spec.shape()) {
            size *= axis < 0 ? length : axis;
        }
        return ByteBuffer.allocateDirect(size).order(ByteOrder.nativeOrder());
    }

    @Override
    public String name() {
        return "LiteRT " + BuildConfig.LITERT;
    }

    @Override
    public Map<String, Object> settings() {
        Map<String, Object> found = new LinkedHashMap<>();
        found.put("threads", threads);
        found.put("xnnpack", true);
        return found;
    }

    @Override
    public Map<String, float[]> run(Map<String, int[]> inputs, int length) {
        Buffers buffers = lengths.get(length);
        if (buffers == null) {
            throw new EdgebertException(
                Kind.UsageError, "the model has no length " + length, "it has " + lengths.keySet());
        }
        inputs.forEach((name, values) -> ((ByteBuffer) buffers.inputs.get(name)).asIntBuffer().put(values));
        buffers.outputs.values().forEach(output -> ((Buffer) output).rewind());
        interpreter.runSignature(buffers.inputs, buffers.outputs, "seq" + length);
        Map<String, float[]> found = new LinkedHashMap<>();
        buffers.outputs.forEach((name, output) -> {
            ((Buffer) output).rewind();
            float[] values = new float[((Buffer) output).capacity() / 4];
            ((ByteBuffer) output).asFloatBuffer().get(values);
            found.put(name, values);
        });
        return found;
    }

    @Override
    public void close() {
        interpreter.close();
    }
}
