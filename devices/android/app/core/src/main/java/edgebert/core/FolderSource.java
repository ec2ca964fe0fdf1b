package edgebert.core;

import java.io.IOException;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** An artifact in a folder; links are refused, since what they lead to may change. */
public final class FolderSource implements Source {
    private final Path folder;

    public FolderSource(Path folder) {
        this.folder = folder;
    }

    @Override
    public String name() {
        return folder.toString();
    }

    @Override
    public List<String> files() throws IOException {
        if (!Files.isDirectory(folder)) {
            throw EdgebertException.artifact(
                "no artifact: " + folder + " does not exist", "give a folder that edgebert made (edgebert export)");
        }
        List<Path> paths;
        try (Stream<Path> walk = Files.walk(folder)) {
            paths = walk.filter(path -> !path.equals(folder)).sorted().collect(Collectors.toList());
        }
        List<String> found = new ArrayList<>();
        for (Path path : paths) {
            if (Files.isSymbolicLink(path)) {
                throw EdgebertException.artifact(path + " is a symbolic link", "copy the file: links are not loaded");
            }
            if (Files.isDirectory(path)) {
                continue;
            }
            if (!Files.isRegularFile(path) || links(path) > 1) {
                throw EdgebertException.artifact(
                    path + " is a hard link or no plain file", "copy the file: links are not loaded");
            }
            found.add(folder.relativize(path).toString().replace(path.getFileSystem().getSeparator(), "/"));
        }
        return found;
    }

    /** How many names a file has; 1 where the file system does not tell. */
    private static int links(Path path) throws IOException {
        try {
            return (Integer) Files.getAttribute(path, "unix:nlink", LinkOption.NOFOLLOW_LINKS);
        } catch (UnsupportedOperationException | IllegalArgumentException error) {
            return 1;
        }
    }

    /** A copy, so that what was hashed cannot change any more. */
    @Override
    public ByteBuffer read(String file) throws IOException {
        try (FileChannel channel = FileChannel.open(folder.resolve(file), StandardOpenOption.READ)) {
            if (channel.size() > Integer.MAX_VALUE) {
                throw new IOException("it has more than 2 GiB");
            }
            ByteBuffer bytes = ByteBuffer.allocateDirect((int) channel.size());
            while (bytes.hasRemaining() && channel.read(bytes) >= 0) {
                continue;
            }
            ((Buffer) bytes).flip(); // ByteBuffer's own flip is newer than Android 8
            return bytes;
        }
    }
}
