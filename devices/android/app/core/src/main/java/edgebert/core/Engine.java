package edgebert.core;

import java.util.Map;

/** A model loaded into an engine. Used by one thread at a time. */
public interface Engine extends AutoCloseable {
    /** Loads a verified artifact. Throws an ArtifactError when the engine refuses it. */
    interface Loader {
        Engine load(Artifact artifact, int threads);
    }

    /** Name and version. */
    String name();

    /** What decides its speed and numbers. */
    Map<String, Object> settings();

    /**
     * One window.
     *
     * @param inputs int32 [1, length] by name
     * @param length one of the manifest's lengths
     * @return float32 by name, the whole tensor in row-major order
     */
    Map<String, float[]> run(Map<String, int[]> inputs, int length);

    @Override
    void close();
}
