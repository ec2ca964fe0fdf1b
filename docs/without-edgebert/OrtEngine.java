import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import edgebert.core.Artifact;
import edgebert.core.Engine;
import java.nio.ByteBuffer;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;

/** ONNX Runtime on the CPU. */
final class OrtEngine implements Engine {
    private final OrtEnvironment environment = OrtEnvironment.getEnvironment();
    private final OrtSession session;
    private final int threads;

    OrtEngine(Artifact artifact, int threads) {
        this.threads = threads;
        ByteBuffer model = artifact.model();
        byte[] bytes = new byte[model.remaining()];
        model.get(bytes);
        try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
            options.setIntraOpNumThreads(threads);
            session = environment.createSession(bytes, options);
        } catch (OrtException error) {
            throw new IllegalStateException(error);
        }
    }

    @Override
    public String name() {
        return "onnxruntime";
    }

    @Override
    public Map<String, Object> settings() {
        return Collections.singletonMap("threads", threads);
    }

    @Override
    public Map<String, float[]> run(Map<String, int[]> inputs, int length) {
        Map<String, OnnxTensor> tensors = new HashMap<>();
        try {
            for (Map.Entry<String, int[]> input : inputs.entrySet()) {
                long[][] batch = new long[1][length];
                for (int index = 0; index < length; index++) {
                    batch[0][index] = input.getValue()[index];
                }
                tensors.put(input.getKey(), OnnxTensor.createTensor(environment, batch));
            }
            try (OrtSession.Result result = session.run(tensors)) {
                Map<String, float[]> found = new LinkedHashMap<>();
                result.forEach(output -> found.put(output.getKey(), floats((OnnxTensor) output.getValue())));
                return found;
            }
        } catch (OrtException error) {
            throw new IllegalStateException(error);
        } finally {
            tensors.values().forEach(OnnxTensor::close);
        }
    }

    private static float[] floats(OnnxTensor tensor) {
        float[] values = new float[tensor.getFloatBuffer().remaining()];
        tensor.getFloatBuffer().get(values);
        return values;
    }

    @Override
    public void close() {
        try {
            session.close();
        } catch (OrtException error) {
            throw new IllegalStateException(error);
        }
    }
}
