package edgebert.core;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;

/** Where an artifact's files are: a folder, or an app's assets. */
public interface Source {
    /** For messages. */
    String name();

    /** Relative names of all files, with slashes. */
    List<String> files() throws IOException;

    /** A whole file, from position 0, direct or mapped: what an engine takes. */
    ByteBuffer read(String file) throws IOException;
}
