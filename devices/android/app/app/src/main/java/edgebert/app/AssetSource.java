package edgebert.app;

import android.content.res.AssetFileDescriptor;
import android.content.res.AssetManager;
import edgebert.core.Source;
import java.io.ByteArrayOutputStream;
import java.io.FileInputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.util.ArrayList;
import java.util.List;

/** An artifact among the app's assets; files that the package holds uncompressed are mapped out of it. */
final class AssetSource implements Source {
    private final AssetManager assets;
    private final String folder;

    AssetSource(AssetManager assets, String folder) {
        this.assets = assets;
        this.folder = folder;
    }

    @Override
    public String name() {
        return "assets/" + folder;
    }

    @Override
    public List<String> files() throws IOException {
        List<String> found = new ArrayList<>();
        list("", found);
        return found;
    }

    private void list(String below, List<String> found) throws IOException {
        String[] names = assets.list(folder + (below.isEmpty() ? "" : "/" + below));
        for (String name : names == null ? new String[0] : names) {
            String path = below.isEmpty() ? name : below + "/" + name;
            String[] inside = assets.list(folder + "/" + path);
            if (inside != null && inside.length > 0) {
                list(path, found);
            } else {
                found.add(path);
            }
        }
    }

    @Override
    public ByteBuffer read(String file) throws IOException {
        String path = folder + "/" + file;
        try (AssetFileDescriptor place = assets.openFd(path);
            FileInputStream stream = new FileInputStream(place.getFileDescriptor())) {
            long start = place.getStartOffset();
            return stream.getChannel().map(FileChannel.MapMode.READ_ONLY, start, place.getLength());
        } catch (FileNotFoundException compressed) {
            return copy(path);
        }
    }

    private ByteBuffer copy(String path) throws IOException {
        try (InputStream stream = assets.open(path, AssetManager.ACCESS_STREAMING)) {
            ByteArrayOutputStream all = new ByteArrayOutputStream();
            byte[] part = new byte[1 << 16];
            for (int count = stream.read(part); count >= 0; count = stream.read(part)) {
                all.write(part, 0, count);
            }
            ByteBuffer bytes = ByteBuffer.allocateDirect(all.size());
            bytes.put(all.toByteArray());
            ((Buffer) bytes).flip(); // ByteBuffer's own flip is newer than Android 8
            return bytes;
        }
    }
}
