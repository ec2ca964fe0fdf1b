package edgebert.core;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * A verified artifact. Every file's size and SHA-256 is compared with the manifest when it is opened, and again each
 * time it is read, so that an engine is only ever handed bytes that were hashed.
 */
public final class Artifact {
    private static final String AGAIN = "copy or export it again";

    private final Source source;
    private final Manifest manifest;
    private final String id;

    private Artifact(Source source, Manifest manifest, String id) {
        this.source = source;
        this.manifest = manifest;
        this.id = id;
    }

    /** Reads and verifies everything. Throws an ArtifactError: no artifact, damaged, or of another format version. */
    public static Artifact open(Source source) {
        List<String> present = list(source);
        if (!present.contains(Manifest.NAME)) {
            throw EdgebertException.artifact(
                "no artifact: " + source.name() + " has no " + Manifest.NAME,
                "give a folder that edgebert made (edgebert run, edgebert export)");
        }
        ByteBuffer bytes = bytes(source, Manifest.NAME);
        Manifest manifest = Manifest.read(text(source, Manifest.NAME, bytes), source.name());
        checkNames(manifest.files().keySet(), source);
        TreeSet<String> missing = new TreeSet<>(manifest.files().keySet());
        missing.removeAll(present);
        TreeSet<String> extra = new TreeSet<>(present);
        extra.removeAll(manifest.files().keySet());
        extra.remove(Manifest.NAME);
        if (!missing.isEmpty() || !extra.isEmpty()) {
            List<String> found = new ArrayList<>();
            missing.forEach(name -> found.add(name + " is missing"));
            extra.forEach(name -> found.add(name + " is not listed"));
            throw EdgebertException.artifact(
                source.name() + " does not hold what its manifest lists: " + String.join(", ", found), AGAIN);
        }
        Map<String, String> hashes = new TreeMap<>(JsonWriter::byCodePoint);
        hashes.put(Manifest.NAME, sha256(bytes));
        manifest.files().forEach((name, file) -> {
            verified(source, name, file);
            hashes.put(name, file.sha256());
        });
        StringBuilder lines = new StringBuilder();
        hashes.forEach((name, hash) -> lines.append(hash).append("  ").append(name).append('\n'));
        return new Artifact(source, manifest, sha256(lines.toString().getBytes(StandardCharsets.UTF_8)));
    }

    public Manifest manifest() {
        return manifest;
    }

    /** SHA-256 over the hashes and names of all files: the same content, the same id, as on the host. */
    public String id() {
        return id;
    }

    /** The bytes of a file, hashed as they are read. */
    public ByteBuffer read(String name) {
        Manifest.File file = manifest.files().get(name);
        if (file == null) {
            throw EdgebertException.artifact(source.name() + " has no " + name, AGAIN);
        }
        return verified(source, name, file);
    }

    /** A file's content as text. */
    public String text(String name) {
        return text(source, name, read(name));
    }

    /** The file that the engine is given. */
    public ByteBuffer model() {
        return read(manifest.modelFiles().get(0));
    }

    /** What {@code golden.json} says. */
    public Map<String, Object> golden() {
        try {
            return Json.object(Json.parse(text("golden.json")), "golden.json");
        } catch (Json.Malformed error) {
            throw EdgebertException.artifact(
                source.name() + ": golden.json is malformed: " + error.getMessage(), AGAIN);
        }
    }

    private static ByteBuffer verified(Source source, String name, Manifest.File file) {
        ByteBuffer bytes = bytes(source, name);
        String where = source.name() + "/" + name + " is damaged: ";
        if (bytes.remaining() != file.bytes()) {
            String message = "%,d bytes where the manifest says %,d";
            throw EdgebertException.artifact(
                where + String.format(Locale.ROOT, message, bytes.remaining(), file.bytes()), AGAIN);
        }
        if (!sha256(bytes).equals(file.sha256())) {
            throw EdgebertException.artifact(where + "its SHA-256 is not the manifest's", AGAIN);
        }
        return bytes;
    }

    private static List<String> list(Source source) {
        try {
            List<String> files = source.files();
            checkNames(files, source);
            return files;
        } catch (IOException error) {
            throw new EdgebertException(
                EdgebertException.Kind.ArtifactError,
                source.name() + " cannot be read: " + error.getMessage(), AGAIN, error);
        }
    }

    private static ByteBuffer bytes(Source source, String name) {
        try {
            return source.read(name);
        } catch (IOException error) {
            throw new EdgebertException(
                EdgebertException.Kind.ArtifactError,
                source.name() + "/" + name + " cannot be read: " + error.getMessage(), AGAIN, error);
        }
    }

    private static String text(Source source, String name, ByteBuffer bytes) {
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(bytes.duplicate()).toString();
        } catch (CharacterCodingException error) {
            throw new EdgebertException(
                EdgebertException.Kind.ArtifactError,
                source.name() + ": its " + name + " is damaged (it is not UTF-8)", AGAIN, error);
        }
    }

    private static void checkNames(Iterable<String> names, Source source) {
        Map<String, String> folded = new HashMap<>();
        for (String name : names) {
            boolean leadsOut = name.isEmpty() || name.startsWith("/") || name.contains("\\");
            for (String part : name.split("/")) {
                leadsOut |= part.equals("..");
            }
            if (leadsOut) {
                throw EdgebertException.artifact(
                    source.name() + ": the file name " + name + " leads out of the artifact", "do not load it");
            }
            String other = folded.put(name.toLowerCase(Locale.ROOT), name);
            if (other != null) {
                throw EdgebertException.artifact(
                    source.name() + ": " + other + " and " + name + " differ in case only", "rename one of them");
            }
        }
    }

    static String sha256(byte[] bytes) {
        return sha256(ByteBuffer.wrap(bytes));
    }

    /** SHA-256 in hex of what remains in a buffer, whose position stays. */
    private static String sha256(ByteBuffer bytes) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            digest.update(bytes.duplicate());
            StringBuilder hex = new StringBuilder();
            for (byte part : digest.digest()) {
                hex.append(Character.forDigit(part >> 4 & 15, 16)).append(Character.forDigit(part & 15, 16));
            }
            return hex.toString();
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error); // every Java platform has it
        }
    }
}
