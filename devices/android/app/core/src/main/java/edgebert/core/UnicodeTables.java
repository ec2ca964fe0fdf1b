package edgebert.core;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.BitSet;
import java.util.HashMap;
import java.util.Map;

/**
 * What BERT's tokenizer does with each character, from a resource made by {@code tests/support/jvm_tables.py}. The
 * JVM's own tables are of another Unicode version on each Android release, and would cut some words elsewhere.
 */
final class UnicodeTables {
    private static final String RESOURCE = "/edgebert/core/unicode.txt";
    private static final int HANGUL_FIRST = 0xAC00;
    private static final int HANGUL_COUNT = 11_172;

    private final Map<String, BitSet> sets = new HashMap<>();
    private final Map<String, Map<Integer, int[]>> replacements = new HashMap<>();
    private final BitSet gap;

    /** Read once, when the first tokenizer is made. */
    private static final class Holder {
        static final UnicodeTables TABLES = new UnicodeTables();
    }

    static UnicodeTables get() {
        return Holder.TABLES;
    }

    private UnicodeTables() {
        try (InputStream stream = UnicodeTables.class.getResourceAsStream(RESOURCE)) {
            if (stream == null) {
                throw new IllegalStateException("the program was packed without its resource " + RESOURCE);
            }
            BufferedReader reader = new BufferedReader(new InputStreamReader(stream, StandardCharsets.US_ASCII));
            String section = "";
            for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                if (line.startsWith("[")) {
                    section = line.substring(1, line.length() - 1);
                } else if (!line.startsWith("#")) {
                    for (String part : line.split(" ")) {
                        add(section, part);
                    }
                }
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        gap = set("gap");
    }

    private void add(String section, String part) {
        int arrow = part.indexOf('>');
        if (arrow >= 0) {
            String[] letters = part.substring(arrow + 1).split("\\+");
            int[] codePoints = new int[letters.length];
            for (int index = 0; index < letters.length; index++) {
                codePoints[index] = Integer.parseInt(letters[index], 16);
            }
            int letter = Integer.parseInt(part.substring(0, arrow), 16);
            replacements.computeIfAbsent(section, name -> new HashMap<>()).put(letter, codePoints);
        } else {
            int dash = part.indexOf('-');
            int first = Integer.parseInt(dash < 0 ? part : part.substring(0, dash), 16);
            int last = dash < 0 ? first : Integer.parseInt(part.substring(dash + 1), 16);
            sets.computeIfAbsent(section, name -> new BitSet()).set(first, last + 1);
        }
    }

    /** {@code removed}, {@code space}, {@code ideograph}, {@code gap} or {@code punctuation}. */
    BitSet set(String name) {
        return sets.get(name);
    }

    /** Whether words end at it and it is of none. */
    boolean isGap(int codePoint) {
        return gap.get(codePoint);
    }

    /** The canonical decomposition without nonspacing marks. */
    int[] strip(int codePoint) {
        int syllable = codePoint - HANGUL_FIRST;
        if (syllable >= 0 && syllable < HANGUL_COUNT) { // Unicode 3.12, "Conjoining Jamo Behavior"
            int[] jamo = {0x1100 + syllable / 588, 0x1161 + syllable % 588 / 28, 0x11A7 + syllable % 28};
            return syllable % 28 == 0 ? new int[] {jamo[0], jamo[1]} : jamo;
        }
        if (sets.get("mark").get(codePoint)) {
            return new int[0];
        }
        int[] found = replacements.get("strip").get(codePoint);
        return found == null ? new int[] {codePoint} : found;
    }

    /** The small letters of one. */
    int[] lower(int codePoint) {
        int[] found = replacements.get("lower").get(codePoint);
        return found == null ? new int[] {codePoint} : found;
    }
}
